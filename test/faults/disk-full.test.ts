import { closeSync, mkdirSync, openSync, statfsSync, unlinkSync, writeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, describe, expect, it } from "vitest";
import { STREAMS } from "../../gateway/core/record.ts";
import { Ledger } from "../support/ledger.ts";
import { needProgram, Process, root, scratch, until } from "../support/processes.ts";
import { Random, seedOf } from "../support/random.ts";
import { StoreChecker } from "../support/store-checker.ts";

/**
 * A file system of 64 MiB that another file fills to the last byte under load, and that has room again later. Needs root
 * for a mount of its own. MILLRACE_SEED.
 */
const MIB = 1024 * 1024;
const random = new Random(seedOf(process.env["MILLRACE_SEED"]));
const home = scratch("full");
const checker = new StoreChecker();
const program = join(root, "test", "faults", "programs", "queue-load.mjs");
const started: Process[] = [];

afterAll(async () => {
  for (const child of started) await child.stop("SIGKILL");
  checker.close();
  home.remove();
});

interface Numbers {
  readonly appended: number;
  readonly read: number;
  readonly refused: number;
  readonly failed: number;
  /** Refused and lost; of those, while they were being written. */
  readonly shed: number;
  readonly cut: number;
  readonly healthy: boolean;
  readonly dropped?: number;
}

function numbersOf(line: string | undefined): Numbers {
  return JSON.parse(line?.slice(line.indexOf("{")) ?? "{}") as Numbers;
}
const lastOf = (child: Process) => numbersOf(child.lines.findLast((line) => line.startsWith("now ")));

/** Writes into `path` until the last byte is taken, or `leave` bytes are left. Gives the bytes. */
function fill(path: string, free: () => number, leave: number): number {
  const file = openSync(path, "a");
  let written = 0;
  try {
    for (let piece = leave > 0 ? 64 * 1024 : MIB; piece >= 1 && (leave === 0 || free() > leave); ) {
      try {
        written += writeSync(file, Buffer.alloc(piece, 1));
      } catch {
        piece = Math.floor(piece / 2);
      }
    }
  } finally {
    closeSync(file);
  }
  return written;
}

describe.each([
  { policy: "drop-oldest", minFree: 0 },
  { policy: "drop-oldest", minFree: 4 * MIB },
  { policy: "refuse", minFree: 0 },
  { policy: "refuse", minFree: 4 * MIB },
])("a full disk, $policy, minFree $minFree", ({ policy, minFree }) => {
  it("loses nothing, stays alive and recovers by itself", { timeout: 120_000 }, async () => {
    const name = `${policy}-${minFree}`;
    const mount = join(home.path, name);
    const report = join(home.path, `${name}.report`);
    mkdirSync(mount);
    const settings = {
      dataDir: join(mount, "data"),
      report,
      seed: random.whole(0, 2 ** 31),
      lanes: 1,
      batch: [1, 8],
      size: [100, 8000],
      // What is free is looked at once a second: slow enough that the floor is seen before it is passed.
      pauseMs: minFree > 0 ? 25 : 0,
      later: true,
      shed: true,
      wait: true,
      queue: { segment: MIB, sync: 100, maxBytes: 512 * MIB, minFree, eventsPolicy: policy, telemetryPolicy: policy },
    };
    const unshare = needProgram("unshare", "util-linux");
    const script = 'mount -t tmpfs -o size=64m none "$1" && shift && exec "$@"';
    const child = new Process(
      unshare,
      [...["-m", "sh", "-c", script, "sh", mount], ...[process.execPath, program, JSON.stringify(settings)]],
      { stdin: true },
    );
    started.push(child);
    await child.line(/^waiting/).catch((error: unknown) => {
      throw new Error("this suite needs root for a mount of its own (unshare -m, mount -t tmpfs)", { cause: error });
    });
    // The mount is only there for the process, and for who goes through it.
    const inside = join("/proc", String(child.child.pid), "root", mount);
    const free = () => statfsSync(inside).bavail * 4096;
    child.tell("go");
    await child.line(/^ready/);
    await until("some segments are there", () => free() < (minFree > 0 ? 58 : 40) * MIB, 30_000);
    const filler = join(inside, "filler");
    let filled = 0;
    const ms = performance.now();
    // Below the floor the policy acts before the disk refuses anything.
    for (let n = 0; minFree > 0 && n < 15; n++) {
      filled += fill(filler, free, minFree - MIB);
      await pause(100);
    }
    const floor = lastOf(child);
    // Room that the queue gives up goes to the other file as well.
    for (let n = 0; n < 10; n++) {
      filled += fill(filler, free, 0);
      await pause(100);
    }
    expect(child.running, child.lines.slice(-5).join("\n")).toBe(true);
    const full = lastOf(child);
    await pause(300);
    const held = lastOf(child);
    unlinkSync(filler);
    const freed = performance.now();
    await until("appended again", () => lastOf(child).appended > held.appended + 500, 30_000);
    await until("healthy again", () => lastOf(child).healthy, 30_000);
    const recoveredMs = Math.round(performance.now() - freed);
    child.tell("read");
    await until("delivered", () => lastOf(child).read > 500, 30_000);
    child.tell("stop");
    const done = numbersOf(await child.line(/^done/, 30_000));
    const ledger = new Ledger();
    ledger.follow(report);
    const looked = await checker.lookAtCopy(join(inside, "data"));
    child.tell("exit");
    expect(await child.exited).toBe(0);
    const figures = { policy, minFree, seed: settings.seed, filled, fullMs: Math.round(freed - ms), recoveredMs };
    console.log(JSON.stringify({ suite: "disk-full", ...figures, floor, full, ...done }));
    expect(looked).not.toHaveProperty("error");
    if ("error" in looked) return;
    const dropped = [...ledger.gapsTold, ...looked.gaps].filter(({ reason }) => reason === "dropped");
    const missing = ledger.missing(looked);
    expect({ wrong: ledger.wrong, ...ledger.check(looked, false), cut: 0, lost: [] }).toEqual({
      ...{ wrong: [], lost: [], unreported: [], reused: [], cut: 0 },
      duplicates: expect.any(Number) as number,
    });
    // What is missing is what was dropped, by policy, to the record.
    const refused = [...ledger.gapsTold, ...looked.gaps].filter(({ reason }) => reason === "refused");
    expect(looked.gaps.filter(({ reason }) => !["dropped", "power-loss", "refused"].includes(reason))).toEqual([]);
    // What was refused before it had a seq is told in a few gaps, to the record; what is counted may be there all the same.
    expect(refused.reduce((sum, { count }) => sum + count, 0)).toBe(done.shed);
    expect(refused.length).toBeLessThan(10);
    expect(refused.every(({ stream, exact }) => stream === "telemetry" && (exact || done.cut > 0))).toBe(true);
    for (const stream of STREAMS) {
      const told = dropped.filter((gap) => gap.stream === stream);
      const gone = missing.filter((id) => id.startsWith(stream));
      expect(told.every(({ exact }) => exact)).toBe(true);
      expect(told.reduce((sum, { count }) => sum + count, 0)).toBe(gone.length);
      if (policy === "refuse") expect(gone).toEqual([]);
    }
    expect(done.healthy).toBe(true);
    if (minFree > 0 && policy === "refuse") expect(floor.refused).toBeGreaterThan(0);
    if (policy === "refuse") expect(held.refused).toBeGreaterThan(floor.refused);
    if (policy === "refuse") expect(done.shed).toBeGreaterThan(0);
    if (policy === "drop-oldest") expect(done.dropped).toBeGreaterThan(0);
  });
});
