import { createHash } from "node:crypto";
import { cp, mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ConfigError } from "../../gateway/core/errors.ts";
import { silentLogger } from "../../gateway/core/log.ts";
import { noMetrics } from "../../gateway/core/metrics.ts";
import { CrashGuard } from "../../gateway/queue/crash-guard.ts";
import { moreCrc, originCrc, recordHeadCrc } from "../../gateway/queue/crc.ts";
import { HEADER_KEY, seqKey } from "../../gateway/queue/keys.ts";
import { LevelSegments } from "../../gateway/queue/level-segments.ts";
import { encodeHeader, encodeMeta } from "../../gateway/queue/meta.ts";
import { Quarantine } from "../../gateway/queue/quarantine.ts";
import {
  levelQueue,
  message,
  messages,
  reader,
  readMany,
  seqsOf,
  startedQueue,
  testClock,
  testFolder,
  textOf,
} from "./support.ts";

const COUNT = 300;

/** A stopped store with some segments of telemetry. */
async function stored(): Promise<string> {
  const dataDir = await testFolder();
  const queue = await startedQueue(dataDir);
  await queue.open("up", reader());
  for (let n = 1; n <= COUNT; n += 10) await queue.append("telemetry", messages(10, n, "plant/a", 700));
  await queue.close();
  return dataDir;
}

async function segmentsOf(dataDir: string): Promise<string[]> {
  const row = join(dataDir, "queue", "telemetry");
  return (await readdir(row)).sort().map((name) => join(row, name));
}

async function hashOf(folder: string): Promise<string> {
  const hash = createHash("sha256");
  for (const name of (await readdir(folder, { recursive: true })).sort()) {
    hash.update(name);
    if ((await stat(join(folder, name))).isFile()) hash.update(await readFile(join(folder, name)));
  }
  return hash.digest("hex");
}

const guilty = () => Promise.resolve(false);

async function opened(dataDir: string, probe: (folder: string) => Promise<boolean> = guilty) {
  const queue = await startedQueue(dataDir, { probe });
  await queue.open("up", reader());
  return queue;
}

describe("the breaker of crash loops", () => {
  async function crashed(dataDir: string, segment: string, times: number, clock = testClock): Promise<CrashGuard> {
    for (let n = 0; n < times; n++) {
      const guard = new CrashGuard(join(dataDir, "state", "opening"), clock, guilty);
      await guard.start();
      await guard.begin(segment);
      await guard.close();
    }
    const guard = new CrashGuard(join(dataDir, "state", "opening"), clock, guilty);
    await guard.start();
    await guard.close();
    return guard;
  }

  it("sets a sealed segment aside unopened after three crashes in it, as an exact gap", async () => {
    const dataDir = await stored();
    const [, segment = ""] = await segmentsOf(dataDir);
    await crashed(dataDir, segment, 3);
    const queue = await opened(dataDir, guilty);
    const [gap, ...more] = queue.gaps("up");
    expect(gap).toMatchObject({ reason: "damaged", exact: true });
    expect(more).toEqual([]);
    const count = gap?.count ?? 0;
    expect(count).toBeGreaterThan(0);
    expect(await readMany(queue, "up", "telemetry", COUNT - count)).toHaveLength(COUNT - count);
    expect(await readdir(join(dataDir, "quarantine"))).toHaveLength(1);
  });

  it("sets one that was not sealed aside, as a gap of at least what was in it", async () => {
    const dataDir = await stored();
    const segment = (await segmentsOf(dataDir)).at(-1) ?? "";
    await rm(join(segment, "SEAL.json"));
    await crashed(dataDir, segment, 3);
    const queue = await opened(dataDir, guilty);
    expect(queue.gaps("up")).toMatchObject([{ reason: "damaged", exact: false, to: COUNT }]);
  });

  it("keeps one that a process of its own can read: the three were killed by others", async () => {
    const dataDir = await stored();
    const [, segment = ""] = await segmentsOf(dataDir);
    await crashed(dataDir, segment, 3);
    const queue = await opened(dataDir, () => Promise.resolve(true));
    expect(queue.gaps("up")).toEqual([]);
    expect(await readMany(queue, "up", "telemetry", COUNT)).toHaveLength(COUNT);
  });

  it("does nothing after two, after a reading that came to its end, after ten minutes, after a restart of the machine", async () => {
    const dataDir = await stored();
    const [, segment = ""] = await segmentsOf(dataDir);
    expect(await (await crashed(dataDir, segment, 2)).bars(segment)).toBe(false);
    const fine = await opened(dataDir);
    await readMany(fine, "up", "telemetry", COUNT);
    await fine.close();
    expect(await (await crashed(dataDir, segment, 2)).bars(segment)).toBe(false);
    expect(await (await crashed(dataDir, segment, 1)).bars(segment)).toBe(true);
    const later = { ...testClock, now: () => ({ ...testClock.now(), monoMs: performance.now() + 600_001 }) };
    expect(await (await crashed(dataDir, segment, 0, later)).bars(segment)).toBe(false);
    expect(await (await crashed(dataDir, segment, 0, { ...testClock, bootId: "other" })).bars(segment)).toBe(false);
  });

  it("lives with a file that is damaged or a folder", async () => {
    const dataDir = await stored();
    await mkdir(join(dataDir, "state", "opening", "x"), { recursive: true }).catch(() => {});
    for (const text of ["", "{", "[]\n", '{"boot":1,"begun":{"a":"b"}}\n']) {
      await rm(join(dataDir, "state", "opening"), { recursive: true, force: true });
      await writeFile(join(dataDir, "state", "opening"), text);
      expect(await (await crashed(dataDir, "x/y", 0)).bars("x/y")).toBe(false);
    }
  });
});

describe("quarantine", () => {
  it("keeps what was damaged until its limit, and then drops the oldest", async () => {
    const dataDir = await testFolder();
    const told: unknown[] = [];
    const log = { ...silentLogger, warn: (values: unknown) => void told.push(values) };
    const quarantine = new Quarantine({ dataDir, maxBytes: 2500, log, metrics: noMetrics });
    for (const name of ["c", "b", "a"]) {
      await mkdir(join(dataDir, "row", name), { recursive: true });
      await writeFile(join(dataDir, "row", name, "file"), Buffer.alloc(1000));
      await quarantine.add(join(dataDir, "row", name));
    }
    expect(await readdir(join(dataDir, "quarantine"))).toEqual(["00000002-row-b", "00000003-row-a"]);
    expect(told).toMatchObject([{ name: "00000001-row-c", bytes: 1000 }]);
  });

  it("takes a segment in which damage was found, once its records were delivered", async () => {
    const dataDir = await stored();
    const [, segment = ""] = await segmentsOf(dataDir);
    const log = join(segment, (await readdir(segment)).find((name) => name.endsWith(".log")) ?? "");
    const bytes = await readFile(log);
    await writeFile(log, bytes.fill(0, 8192, 12_288));
    const queue = await opened(dataDir);
    const lost = async () => queue.gaps("up").reduce((sum, { count }) => sum + count, 0);
    for (let read = 0; read + (await lost()) < COUNT; ) {
      const entries = await readMany(queue, "up", "telemetry", 1);
      await queue.settle("up", "telemetry", seqsOf(entries));
      read += entries.length;
    }
    expect(queue.gaps("up")).toMatchObject([{ reason: "damaged", exact: true }]);
    await queue.close();
    const [kept = ""] = await readdir(join(dataDir, "quarantine"));
    expect(kept).toContain("00000001-telemetry-");
    expect(await readdir(join(dataDir, "quarantine", kept))).toContain("DAMAGED");
  });
});

describe("a store of a newer version is refused untouched", () => {
  const origin = { store: "0123456789abcdef0123456789abcdef", stream: "telemetry", epoch: 7 } as const;

  async function refused(dataDir: string, where: string): Promise<void> {
    const before = await hashOf(dataDir);
    const start = levelQueue(dataDir).start();
    await expect(start).rejects.toBeInstanceOf(ConfigError);
    const error: unknown = await start.catch((reason: unknown) => reason);
    const text = error instanceof Error ? error.message : "";
    for (const part of [dataDir, "format 2", where, "reads up to 1"]) expect(text).toContain(part);
    expect(await hashOf(dataDir)).toBe(before);
  }

  /** A store whose one segment has such a header and, if so, a record of format 2. */
  async function withSegment(header: Buffer, record?: Buffer): Promise<string> {
    const dataDir = await testFolder();
    const row = join(dataDir, "queue", "telemetry");
    await mkdir(row, { recursive: true });
    const key = HEADER_KEY;
    const right = { ...origin, format: 1, first: 1, generation: 0, boot: "b", heads: {} };
    const open = await new LevelSegments(1024).create(join(row, `${"1".padStart(16, "0")}-0`), {
      key,
      value: encodeHeader(right),
    });
    await open.write([{ key, value: header }, ...(record ? [{ key: seqKey(1), value: record }] : [])], true);
    await open.close();
    return dataDir;
  }

  it("by its identity", async () => {
    const dataDir = await stored();
    const path = join(dataDir, "state", "store.json");
    const { crc: _, ...identity } = JSON.parse(await readFile(path, "utf8"));
    const newer = { ...identity, format: 2 };
    await writeFile(path, JSON.stringify({ ...newer, crc: moreCrc(0, Buffer.from(JSON.stringify(newer))) }));
    await refused(dataDir, "store.json");
  });

  it("by a seal, without an identity", async () => {
    const dataDir = await stored();
    await rm(join(dataDir, "state", "store.json"));
    const path = join((await segmentsOf(dataDir))[1] ?? "", "SEAL.json");
    const { crc: _, ...seal } = JSON.parse(await readFile(path, "utf8"));
    const newer = { ...seal, format: 2 };
    await writeFile(path, JSON.stringify({ ...newer, crc: moreCrc(0, Buffer.from(JSON.stringify(newer))) }));
    await refused(dataDir, "SEAL.json");
  });

  it("by the record of a segment whose header is unreadable", async () => {
    const record = Buffer.alloc(60);
    record.writeUInt32BE(0x0202_0100, 0);
    const base = originCrc(origin);
    record.writeUInt32BE(moreCrc(recordHeadCrc(base, 1, 0x0202_0100), record.subarray(8)), 4);
    const dataDir = await withSegment(Buffer.from("no header"), record);
    await mkdir(join(dataDir, "state"));
    await writeFile(
      join(dataDir, "state", "store.json"),
      JSON.stringify({ format: 1, store: origin.store, epoch: 7, machine: "machine-1", created: 1 }),
    );
    const [segment = ""] = await segmentsOf(dataDir);
    const log = join(segment, "000003.log");
    const bytes = await readFile(log);
    const at = bytes.indexOf('"format":1');
    bytes.fill(0x20, at, at + 10);
    await writeFile(log, bytes);
    await refused(dataDir, "telemetry");
  });

  it("by the header of a segment that was not sealed", async () => {
    const json = JSON.stringify({ format: 2, store: origin.store, stream: origin.stream, epoch: 7, anything: "else" });
    const value = encodeMeta(originCrc(origin), HEADER_KEY, json);
    const dataDir = await testFolder();
    const folder = join(dataDir, "queue", "telemetry", `${"1".padStart(16, "0")}-0`);
    await mkdir(join(dataDir, "queue", "telemetry"), { recursive: true });
    const open = await new LevelSegments(1024)
      .create(folder, { key: HEADER_KEY, value })
      .catch((error: unknown) => error);
    expect(open).toBeInstanceOf(ConfigError);
    await refused(dataDir, folder);
  });

  it("but a flipped bit that looks like one is damage", async () => {
    const dataDir = await stored();
    const path = join(dataDir, "state", "store.json");
    await writeFile(path, (await readFile(path, "utf8")).replace('"format":1', '"format":3'));
    const queue = await opened(dataDir);
    expect(await readMany(queue, "up", "telemetry", COUNT)).toHaveLength(COUNT);
    expect(queue.gaps("up")).toEqual([]);
  });
});

describe("state that was damaged", () => {
  it("of seqs: the older slot never leads to a seq being given again", async () => {
    const dataDir = await stored();
    const path = join(dataDir, "state", "seq");
    const bytes = await readFile(path);
    const newer = bytes.readBigUInt64BE(4) > bytes.readBigUInt64BE(bytes.length / 2 + 4) ? 0 : bytes.length / 2;
    await writeFile(path, bytes.fill(0x5a, newer, newer + 64));
    const queue = await opened(dataDir);
    await queue.append("telemetry", [message("next")]);
    const entries = await readMany(queue, "up", "telemetry", COUNT + 1);
    const last = entries.at(-1);
    expect(last?.seq).toBeGreaterThan(20_000);
    const gaps = queue.gaps("up").filter(({ stream }) => stream === "telemetry");
    expect(gaps).toMatchObject([{ reason: "power-loss", from: COUNT + 1, to: last?.prev, exact: false }]);
  });

  it("of uplinks: one that would begin now is owed everything, since it may have been there before", async () => {
    const dataDir = await stored();
    await rm(join(dataDir, "state", "uplinks"));
    const queue = await startedQueue(dataDir);
    await queue.open("up", reader(["#"], { from: "now" }));
    expect(await readMany(queue, "up", "telemetry", COUNT)).toHaveLength(COUNT);
  });

  it("folders and files in each other's places are set aside", async () => {
    const dataDir = await stored();
    for (const name of ["seq", "uplinks", "cursor-up", "boots", "store.json"]) {
      await rm(join(dataDir, "state", name));
      await mkdir(join(dataDir, "state", name));
    }
    await rm(join(dataDir, "queue", "events"), { recursive: true });
    for (const name of ["events", "trash"]) {
      await rm(join(dataDir, "queue", name), { recursive: true, force: true });
      await writeFile(join(dataDir, "queue", name), "x");
    }
    await writeFile(join(dataDir, "quarantine"), "x");
    const queue = await opened(dataDir);
    expect((await readMany(queue, "up", "telemetry", COUNT)).map(textOf).at(-1)).toBe(`${COUNT}`);
    await queue.append("events", [message("fine")]);
    expect((await readdir(join(dataDir, "quarantine"))).length).toBe(7);
  });
});

it("a store of version 0.1, in which reading had made tables of logs, is read completely", async () => {
  const dataDir = await testFolder();
  await cp(join(import.meta.dirname, "..", "golden", "store-0.1"), dataDir, { recursive: true });
  const queue = await opened(dataDir);
  for (const stream of ["events", "telemetry"] as const) {
    const entries = await readMany(queue, "up", stream, 140);
    expect(seqsOf(entries)).toEqual(Array.from({ length: 140 }, (_, i) => i + 11));
    for (const { content } of entries) {
      const text =
        content.kind === "samples" ? String(content.samples[0]?.value) : Buffer.from(content.payload).toString();
      expect(text).toMatch(new RegExp(`^${stream} \\d+\\.+$`));
      expect(content.kind === "samples" ? content.source.topic : content.topic).toMatch(/^plant\/(press-1|scan)$/);
    }
  }
  expect(queue.gaps("up")).toEqual([]);
  expect(queue.stats().quarantined).toBe(0);
});
