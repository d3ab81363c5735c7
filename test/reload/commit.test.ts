import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { AuditEvent } from "../../gateway/core/audit.ts";
import { ConfigError, StorageError } from "../../gateway/core/errors.ts";
import { silentLogger } from "../../gateway/core/log.ts";
import { type ApplyRequest, CommitDesk } from "../../gateway/reload/commit.ts";
import { hashOf, replaceText } from "../../gateway/reload/config-file.ts";
import { ConfigHistory } from "../../gateway/reload/history.ts";
import { recoverPending } from "../../gateway/reload/recover.ts";
import type { ReloadPlan } from "../../gateway/reload/reloader.ts";

const OLD = "gateway: { id: old }\n";
const NEW = "gateway: { id: new }\n";
const LIVE: ReloadPlan = { whole: false, steps: [{ part: "uplink cloud", action: "restart", why: "url changed" }] };
const HTTP: ReloadPlan = { whole: true, steps: [{ part: "http", action: "restart", why: "port changed" }] };

let folder: string;
let file: string;
let history: ConfigHistory;
let well: Map<string, boolean>;
let trail: AuditEvent[];
let reloads: string[];
let plan: ReloadPlan;
let fault: Error | undefined;
let full: boolean;
let desk: CommitDesk;
let wallMs = 1_000;

function make(): CommitDesk {
  return new CommitDesk({
    file,
    history,
    reloader: {
      plan: () => Promise.resolve(plan),
      async reload(by) {
        reloads.push(`${by}: ${(await readFile(file, "utf8")).includes("new") ? "new" : "old"}`);
        const now = fault;
        fault = undefined;
        if (now) throw now;
        return plan;
      },
    },
    planOf: (text) =>
      text.includes("wrong") ? Promise.reject(new ConfigError("m.yaml:1:1: wrong")) : Promise.resolve(plan),
    condition: () => well,
    audit: () => ({
      record: (event) => {
        trail.push(event);
        return Promise.resolve();
      },
    }),
    log: silentLogger,
    replace: (path, text) => (full ? Promise.reject(new StorageError("no space left")) : replaceText(path, text)),
  });
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "millrace-commit-"));
  file = join(folder, "millrace.yaml");
  await writeFile(file, OLD, { mode: 0o640 });
  history = new ConfigHistory(join(folder, "data"), () => wallMs++);
  well = new Map([
    ["link a", true],
    ["uplink cloud", true],
    ["device far", false],
  ]);
  trail = [];
  reloads = [];
  plan = LIVE;
  fault = undefined;
  full = false;
  desk = make();
});
afterEach(async () => {
  vi.useRealTimers();
  await rm(folder, { recursive: true, force: true });
});

const wish = (more: Partial<ApplyRequest> = {}): ApplyRequest => ({
  text: NEW,
  base: hashOf(OLD),
  note: "a try",
  confirmMs: 60_000,
  always: true,
  by: "anna",
  ...more,
});
const present = () => readFile(file, "utf8");
const waiting = () => vi.waitFor(() => expect(desk.state().state).toBe("waiting"));
const over = () => vi.waitFor(() => expect(desk.state().state).toBe("none"));

describe("a configuration on probation", () => {
  it("stays when it is confirmed, with who did so", async () => {
    await desk.apply(wish());
    await waiting();
    expect(await present()).toBe(NEW);
    expect(desk.state()).toMatchObject({
      id: 2,
      by: "anna",
      note: "a try",
      mustConfirm: true,
      unhealthy: [],
      plan: LIVE,
    });
    expect(desk.state().leftMs).toBeGreaterThan(50_000);
    const ended = await desk.confirm("bert");
    expect(ended).toEqual({
      state: "none",
      unhealthy: [],
      last: { id: 2, outcome: "confirmed", why: "confirmed by bert" },
    });
    expect(await recoverPending(history)).toBeUndefined();
    expect((await history.list()).map(({ id, outcome, by }) => [id, outcome, by])).toEqual([
      [2, "confirmed", "anna"],
      [1, "found", ""],
    ]);
    expect(trail.map(({ actor, action }) => `${actor} ${action}`)).toEqual(["bert config.confirm"]);
  });

  it("goes back at the deadline when nobody confirms it", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    await desk.apply(wish());
    await vi.waitFor(() => expect(desk.state().state).toBe("waiting"));
    await vi.advanceTimersByTimeAsync(60_000);
    await vi.waitFor(() => expect(desk.state().state).toBe("none"));
    expect(await present()).toBe(OLD);
    expect(reloads).toEqual(["anna: new", "commit-confirm: old"]);
    expect(desk.state().last).toEqual({ id: 2, outcome: "reverted", why: "nobody confirmed it" });
    expect((await stat(file)).mode & 0o777).toBe(0o640);
  });

  it.each([
    ["stays by itself where all is as well as before", LIVE, "", "confirmed", /as well as before/],
    ["goes back where something is less well", LIVE, "uplink cloud", "reverted", /not well: uplink cloud/],
    ["goes back where something new is not well", LIVE, "link new", "reverted", /not well: link new/],
    ["goes back unconfirmed where the way in changed", HTTP, "", "reverted", /nobody confirmed it/],
  ] as const)("without `always`: %s", async (_, planned, ill, outcome, why) => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    plan = planned;
    await desk.apply(wish({ always: false }));
    await vi.waitFor(() => expect(desk.state().state).toBe("waiting"));
    if (ill !== "") well.set(ill, false);
    if (ill !== "") expect(desk.state().unhealthy).toEqual([ill]);
    await vi.advanceTimersByTimeAsync(60_000);
    await vi.waitFor(() => expect(desk.state().state).toBe("none"));
    expect(desk.state().last).toMatchObject({ outcome, why: expect.stringMatching(why) });
    expect(await present()).toBe(outcome === "reverted" ? OLD : NEW);
  });

  it("goes back at once when it is taken back, or does not start", async () => {
    await desk.apply(wish());
    await waiting();
    expect(desk.revert("anna").state).toBe("reverting");
    await over();
    expect(await present()).toBe(OLD);
    fault = new ConfigError("did not start: no room");
    await desk.apply(wish());
    await over();
    expect(await present()).toBe(OLD);
    expect(desk.state().last?.why).toBe("did not start: no room");
  });

  it("changes nothing for a wrong text, another base, or while one waits", async () => {
    await expect(desk.apply(wish({ text: "wrong\n" }))).rejects.toThrow("m.yaml:1:1");
    await expect(desk.apply(wish({ base: hashOf("another") }))).rejects.toThrow(/changed since.*load it anew/);
    expect(await present()).toBe(OLD);
    expect(reloads).toEqual([]);
    await desk.apply(wish());
    await waiting();
    await expect(desk.apply(wish({ base: hashOf(NEW), text: OLD }))).rejects.toThrow(/another change waits/);
    await desk.confirm("anna");
    await expect(desk.confirm("anna")).rejects.toThrow("no change waits");
  });

  it("waits for nothing where the file cannot be replaced: what is put there by hand stays at the next start", async () => {
    // No room for the ending of the file beside it, whoever runs this.
    file = join(folder, `${"m".repeat(245)}.yaml`);
    await writeFile(file, OLD);
    desk = make();
    await expect(desk.apply(wish())).rejects.toThrow(/cannot be replaced/);
    expect(await present()).toBe(OLD);
    expect(desk.state().state).toBe("none");
    expect(reloads).toEqual([]);
    await writeFile(file, NEW);
    expect(await recoverPending(history)).toBeUndefined();
    expect(await present()).toBe(NEW);
  });

  it("waits on where its confirmation cannot be written, and is confirmed once it can", async () => {
    await desk.apply(wish());
    await waiting();
    const note = join(folder, "data", "config-history", "pending.json");
    await rm(note);
    await mkdir(note);
    await expect(desk.confirm("anna")).rejects.toThrow(/pending.json cannot be removed/);
    expect(desk.state().state).toBe("waiting");
    await rm(note, { recursive: true });
    expect((await desk.confirm("anna")).last).toMatchObject({ outcome: "confirmed" });
  });

  it("by itself, too: it is kept as soon as that can be written", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    await desk.apply(wish({ always: false }));
    await vi.waitFor(() => expect(desk.state().state).toBe("waiting"));
    const note = join(folder, "data", "config-history", "pending.json");
    await rm(note);
    await mkdir(note);
    await vi.advanceTimersByTimeAsync(60_000);
    await vi.waitFor(() => expect(desk.state().leftMs).toBeGreaterThan(0));
    await rm(note, { recursive: true });
    await vi.advanceTimersByTimeAsync(10_000);
    await vi.waitFor(() => expect(desk.state().last).toMatchObject({ outcome: "confirmed" }));
  });

  it("is confirmed or taken back once, by whoever was first", async () => {
    await desk.apply(wish());
    await waiting();
    const confirmed = desk.confirm("anna");
    expect(() => desk.revert("bert")).toThrow("no change waits");
    await expect(desk.confirm("bert")).rejects.toThrow("no change waits");
    expect((await confirmed).last?.why).toBe("confirmed by anna");
    expect(await present()).toBe(NEW);
  });

  it("is put back as soon as the disk takes it", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    await desk.apply(wish());
    await vi.waitFor(() => expect(desk.state().state).toBe("waiting"));
    full = true;
    desk.revert("anna");
    await vi.advanceTimersByTimeAsync(25_000);
    expect(desk.state().state).toBe("reverting");
    expect(await present()).toBe(NEW);
    full = false;
    await vi.advanceTimersByTimeAsync(10_000);
    await vi.waitFor(() => expect(desk.state().last).toMatchObject({ outcome: "reverted", why: "taken back by anna" }));
    expect(await present()).toBe(OLD);
  });

  it("does not write over what somebody edited meanwhile", async () => {
    await desk.apply(wish());
    await waiting();
    await writeFile(file, "gateway: { id: by-hand }\n");
    desk.revert("anna");
    await over();
    expect(await present()).toBe("gateway: { id: by-hand }\n");
    expect(desk.state().last?.why).toMatch(/changed by hand/);
  });

  it("keeps its texts for the gateway's user alone, and the last 50 of them", async () => {
    for (let n = 0; n < 60; n++) await history.add({ text: `${n}`, by: "anna", note: "", outcome: "confirmed" });
    const place = join(folder, "data", "config-history");
    const names = await readdir(place);
    expect(names).toHaveLength(50);
    expect((await stat(place)).mode & 0o777).toBe(0o700);
    expect((await stat(join(place, names[0] ?? ""))).mode & 0o777).toBe(0o600);
    expect((await history.list())[0]?.text).toBe("59");
  });
});

describe("a start that finds a text that nobody confirmed", () => {
  it("goes back to the one before", async () => {
    await desk.apply(wish());
    await waiting();
    expect(await recoverPending(history)).toMatch(/configuration 2 was not confirmed .* back to configuration 1/);
    expect(await present()).toBe(OLD);
    expect(await recoverPending(history)).toBeUndefined();
    expect((await history.get(2))?.outcome).toBe("reverted");
  });

  it("finds one of the two whole files, wherever the power went", async () => {
    // Before the file was replaced: the note is there, the file is the old one.
    const before = await history.present(OLD);
    const applied = await history.add({ text: NEW, by: "anna", note: "", outcome: "waiting" });
    await history.wait({ id: applied.id, before: before.id, file });
    expect(await recoverPending(history)).toMatch(/back to configuration 1/);
    expect(await present()).toBe(OLD);
    // A piece that was being written beside it is not taken for anything.
    await writeFile(`${file}.abcd.new`, "gateway: { i");
    expect(await recoverPending(history)).toBeUndefined();
    expect(await present()).toBe(OLD);
  });

  it("leaves a file alone that somebody changed since", async () => {
    await desk.apply(wish());
    await waiting();
    await writeFile(file, "gateway: { id: by-hand }\n");
    expect(await recoverPending(history)).toMatch(/changed by hand since and is left/);
    expect(await present()).toBe("gateway: { id: by-hand }\n");
  });
});
