import { appendFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { auditFolder, filesIn } from "../../gateway/audit/chain.ts";
import { AuditJournal } from "../../gateway/audit/journal.ts";
import { verifyFile, verifyFolder } from "../../gateway/audit/verify.ts";
import { AuditWatch } from "../../gateway/audit/watch.ts";
import { runAudit } from "../../gateway/cli/audit.ts";
import type { AuditEvent } from "../../gateway/core/audit.ts";
import type { Instant } from "../../gateway/core/clock.ts";
import { silentLogger } from "../../gateway/core/log.ts";
import { noMetrics } from "../../gateway/core/metrics.ts";
import { testIo } from "../cli/io.ts";

let dataDir: string;
let folder: string;
let now: Instant;
const clock = { bootId: "boot", now: () => now };
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "millrace-audit-"));
  folder = auditFolder(dataDir);
  now = { wallMs: Date.UTC(2026, 0, 1), monoMs: 1000, clock: "synced" };
});
afterEach(() => rm(dataDir, { recursive: true, force: true }));

function journal(limits?: { fileBytes: number; files: number }): AuditJournal {
  return new AuditJournal({ dataDir, clock, log: silentLogger, metrics: noMetrics, ...(limits && { limits }) });
}

function login(n: number): AuditEvent {
  return { actor: `user-${n}`, address: "192.0.2.1", action: "login", outcome: "ok" };
}

/** A trail of so many entries, closed. */
async function trail(count: number, limits?: { fileBytes: number; files: number }): Promise<void> {
  const one = journal(limits);
  await one.start();
  for (let n = 1; n <= count; n++) await one.record(login(n));
  await one.stop();
}

async function path(): Promise<string> {
  return join(folder, (await filesIn(folder)).at(-1) ?? "");
}

/** The lines of the newest file, changed. */
async function edit(change: (lines: string[]) => string[]): Promise<void> {
  const file = await path();
  const lines = readFileSync(file, "utf8").trimEnd().split("\n");
  writeFileSync(file, `${change(lines).join("\n")}\n`);
}

async function faults(): Promise<string[]> {
  return (await verifyFolder(folder)).faults.map(({ what }) => what);
}

describe("the audit trail", () => {
  it("holds, over restarts, for nobody else to read", async () => {
    await trail(3);
    await trail(2);
    expect(await verifyFolder(folder)).toMatchObject({ entries: 5, from: 1, to: 5, faults: [] });
    expect((await stat(await path())).mode & 0o777).toBe(0o600);
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
  });

  it("keeps entries of one moment in their order, each on disk before it is told", async () => {
    const one = journal();
    await one.start();
    await Promise.all(Array.from({ length: 200 }, (_, n) => one.record(login(n))));
    const lines = (await readFile(await path(), "utf8")).trimEnd().split("\n");
    expect(lines.map((line) => JSON.parse(line).actor)).toEqual(Array.from({ length: 200 }, (_, n) => `user-${n}`));
    await one.stop();
    expect(await faults()).toEqual([]);
  });

  it("whatever is in a name, an entry is one line", async () => {
    const one = journal();
    await one.start();
    await one.record({ ...login(1), actor: 'a"\n{"seq":99}\u2028\u0000', detail: "x".repeat(10_000) });
    await one.record(login(2));
    await one.stop();
    expect(await faults()).toEqual([]);
    const [first] = (await readFile(await path(), "utf8")).split("\n");
    expect(JSON.parse(first ?? "")).toMatchObject({ actor: 'a"\n{"seq":99}\u2028\u0000' });
    expect(first?.length).toBeLessThan(1000);
  });

  it.each<[string, (lines: string[]) => string[], RegExp[]]>([
    ["changed", (l) => l.with(2, (l[2] ?? "").replace("user-3", "user-9")), [/behind 2: its content was changed/]],
    ["removed", (l) => l.toSpliced(2, 1), [/^entry 3 is missing before entry 4/]],
    ["two removed", (l) => l.toSpliced(2, 2), [/^entries 3 to 4 are missing before entry 5/]],
    ["the first removed", (l) => l.slice(1), [/entries before 2 are missing, and no entry tells/]],
    [
      "reordered",
      (l) => [l[0], l[2], l[1], l[3], l[4]].map(String),
      [/entry 2 is missing before/, /entry 2 is out of order/],
    ],
    ["repeated", (l) => l.toSpliced(3, 0, l[1] ?? ""), [/entry 2 is out of order: it comes behind 3/]],
    ["cut at the end", (l) => l.slice(0, 3), [/entries 4 to 5 are missing at the end/]],
    [
      "cut in the middle of a line",
      (l) => l.with(4, (l[4] ?? "").slice(0, 50)),
      [/not a whole line/, /entries 5 to 5 are missing/],
    ],
    ["emptied", () => [], [/./, /entries 1 to 5 are missing/]],
    ["something between", (l) => l.toSpliced(2, 0, "hello"), [/behind 2: it is not a whole line/]],
  ])("%s: is found and named", async (_, change, expected) => {
    await trail(5);
    await edit(change);
    const found = await faults();
    expect(found).toHaveLength(expected.length);
    for (const [index, pattern] of expected.entries()) expect(found[index]).toMatch(pattern);
  });

  it("one entry replaced by another that fits by itself is found by the next", async () => {
    await trail(5);
    const { lineOf, readLine } = await import("../../gateway/audit/chain.ts");
    await edit((lines) => {
      const before = readLine(lines[1] ?? "");
      if ("fault" in before) throw new Error(before.fault);
      return lines.with(2, lineOf(before, { ...login(3), actor: "somebody else" }, now).line);
    });
    expect(await faults()).toEqual(["entry 4 does not follow entry 3: one of them was replaced"]);
  });

  it("a chain that was made anew is found by a hash that was noted elsewhere", async () => {
    await trail(3);
    const { head = "" } = await verifyFolder(folder);
    expect((await verifyFolder(folder, head)).faults).toEqual([]);
    rmSync(folder, { recursive: true });
    now = { ...now, wallMs: now.wallMs + 1 };
    await trail(3);
    expect(await faults()).toEqual([]);
    expect((await verifyFolder(folder, head)).faults[0]?.what).toContain("made anew or cut");
  });

  it("goes on in new files with the chain, and tells when the oldest goes", async () => {
    await trail(100, { fileBytes: 2000, files: 4 });
    const names = await filesIn(folder);
    expect(names).toHaveLength(4);
    expect(names[0]).not.toBe("audit-000000000001.ndjson");
    const report = await verifyFolder(folder);
    expect(report.faults).toEqual([]);
    expect(report.from).toBeGreaterThan(1);
    // Somebody takes one more away.
    await rm(join(folder, names[0] ?? ""));
    expect((await faults())[0]).toMatch(/^entries before \d+ are missing, and no entry tells/);
  });

  it("a file taken out of the middle is missed", async () => {
    await trail(40, { fileBytes: 2000, files: 50 });
    await rm(join(folder, (await filesIn(folder))[2] ?? ""));
    expect((await faults())[0]).toMatch(/^entries \d+ to \d+ are missing before/);
  });

  it("goes on behind a line that a kill cut short, which was never told as written", async () => {
    await trail(3);
    appendFileSync(await path(), '{"seq":4,"time":"20');
    await trail(1);
    expect(await verifyFolder(folder)).toMatchObject({ entries: 4, to: 4, faults: [] });
  });

  it("goes on where somebody was at the files, leaves them as they are, and says so", async () => {
    await trail(5);
    await edit((lines) => lines.slice(0, 2));
    await trail(1);
    const report = await verifyFolder(folder);
    expect(report.faults.map(({ what }) => what)).toEqual(["entries 3 to 5 are missing before entry 6"]);
    const last = (await readFile(await path(), "utf8")).split("\n");
    expect(JSON.parse(last[0] ?? "")).toMatchObject({ seq: 6, action: "audit.damaged" });
    expect((await readdir(folder)).filter((name) => name.endsWith(".ndjson"))).toHaveLength(2);
  });

  it("while the disk refuses nothing waits, and how much was missed is told afterwards", async () => {
    const one = journal();
    await one.start();
    const obstacle = join(folder, "audit-000000000001.ndjson");
    await mkdir(obstacle);
    await one.record(login(1));
    await one.record(login(2));
    await rm(obstacle, { recursive: true });
    await one.record(login(3));
    const seen = (await one.newest(9)).map(({ seq, action, actor, detail }) => [seq, action, actor, detail]);
    expect(seen).toEqual([
      [2, "login", "user-3", undefined],
      [1, "audit.missed", "gateway", "2 entries could not be written"],
    ]);
    await one.stop();
    expect(await faults()).toEqual([]);
  });

  it("that cannot note its end is written all the same, and goes on from its last line", async () => {
    const one = journal();
    await one.start();
    await one.record(login(1));
    await mkdir(join(folder, "head.json.new"));
    await one.record(login(2));
    await one.stop();
    await rm(join(folder, "head.json.new"), { recursive: true });
    await trail(1);
    expect(await verifyFolder(folder)).toMatchObject({ entries: 3, faults: [] });
  });

  it("gives the newest first, in pages, and an export that can be verified by itself", async () => {
    const one = journal({ fileBytes: 1000, files: 50 });
    await one.start();
    for (let n = 1; n <= 20; n++) await one.record(login(n));
    expect((await one.newest(3)).map(({ seq }) => seq)).toEqual([20, 19, 18]);
    expect((await one.newest(2, 5)).map(({ seq }) => seq)).toEqual([4, 3]);
    const file = join(dataDir, "export.ndjson");
    for await (const piece of one.export()) appendFileSync(file, piece);
    expect(await verifyFile(file)).toMatchObject({ entries: 20, faults: [] });
    await one.stop();
  });
});

describe("what nobody does", () => {
  it("is written down: start, steps of the clock, records that were dropped, stop", async () => {
    const seen: AuditEvent[] = [];
    const audit = { record: (event: AuditEvent) => Promise.resolve(void seen.push(event)) };
    let dropped = 0;
    const watch = new AuditWatch({ audit, clock, stats: () => ({ dropped, quarantined: 0 }) });
    now = { wallMs: 1_000_000, monoMs: 1000, clock: "unsynced" };
    await watch.start("millrace.yaml", "version 1");
    now = { wallMs: 1_000_900, monoMs: 1500, clock: "unsynced" };
    watch.look();
    now = { wallMs: 5_000_000, monoMs: 2000, clock: "synced" };
    dropped = 7;
    await watch.stop();
    await watch.stop();
    expect(seen.map(({ action, detail }) => [action, detail])).toEqual([
      ["gateway.start", "version 1"],
      ["clock.step", "by 3998600 ms"],
      ["clock.state", "synced"],
      ["queue.drop", "7 records were dropped, each told as a gap"],
      ["gateway.stop", undefined],
    ]);
  });
});

describe("millrace audit", () => {
  it("verifies, shows and exports", async () => {
    await trail(3);
    const good = testIo();
    expect(await runAudit(["verify", "--data", dataDir], good)).toBe(0);
    expect(good.stdout()).toMatch(/^the chain holds: 3 entries, 1 to 3; the last hash is [0-9a-f]{64}\n$/);
    const shown = testIo();
    await runAudit(["show", "--data", dataDir, "--last", "1"], shown);
    expect(shown.stdout()).toMatch(/^3 {2}2026-01-01T00:00:00.000Z {2}user-3 {2}192.0.2.1 {2}login {2}ok\n$/);
    const exported = testIo();
    await runAudit(["export", "--data", dataDir], exported);
    const file = join(dataDir, "x.ndjson");
    writeFileSync(file, exported.stdout());
    expect(await runAudit(["verify", file], testIo())).toBe(0);
  });

  it("says where the chain breaks, and ends with 1", async () => {
    await trail(5);
    await edit((lines) => lines.toSpliced(2, 1));
    const io = testIo();
    expect(await runAudit(["verify", "--data", dataDir], io)).toBe(1);
    expect(io.stdout()).toBe(
      "audit-000000000001.ndjson:3: entry 3 is missing before entry 4\n" +
        "the audit trail was cut, changed or damaged: 1 fault in 4 entries, 1 to 5\n",
    );
  });

  it("does not let an entry steer the terminal", async () => {
    const one = journal();
    await one.start();
    await one.record({ ...login(1), actor: "\u001b[2J\u009b2J\u202eevil" });
    await one.stop();
    const io = testIo();
    await runAudit(["show", "--data", dataDir], io);
    expect(io.stdout()).toContain("?[2J?2J?evil");
  });

  it("says where there is none, and what is wrong with the question", async () => {
    const io = testIo();
    expect(await runAudit(["verify", "--data", dataDir], io)).toBe(66);
    expect(io.stderr()).toContain("there is no audit trail in");
    for (const args of [
      ["look"],
      ["show", "x"],
      ["verify", "a", "b"],
      ["show", "--data", dataDir, "--config", "/nothing"],
    ]) {
      expect([64, 66]).toContain(await runAudit(args, testIo()));
    }
  });
});
