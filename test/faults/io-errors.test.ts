import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, describe, expect, it } from "vitest";
import { STREAMS } from "../../gateway/core/record.ts";
import { Ledger } from "../support/ledger.ts";
import { needProgram, Process, root, scratch, until } from "../support/processes.ts";
import { Random, seedOf } from "../support/random.ts";
import { StoreChecker } from "../support/store-checker.ts";

/**
 * One failed system call, the N-th that writes to or syncs the store, once or from then on until the fault is gone.
 * strace makes it fail; with one thread in libuv's pool the N-th is the N-th of the process.
 * MILLRACE_IO_POINTS: how many N of each call; default 3 spread over the run, long run 200: every one.
 */
const points = Number(process.env["MILLRACE_IO_POINTS"] ?? 3);
const random = new Random(seedOf(process.env["MILLRACE_SEED"]));
const home = scratch("io");
const checker = new StoreChecker();
const program = join(root, "test", "faults", "programs", "queue-load.mjs");
const started: Process[] = [];
const APPENDS = 45;
const RECORDS = 5;
const CALLS = { write: "ENOSPC", pwrite64: "EIO", fdatasync: "EIO", fsync: "EIO" } as const;
const ENDED = /^(done|idle)/;
type Name = keyof typeof CALLS;

afterAll(async () => {
  for (const child of started) await child.stop("SIGKILL");
  checker.close();
  home.remove();
});

/** Every path of the store that may be written: strace takes paths, not folders. */
function pathsOf(dataDir: string): string[] {
  const state = ["seq", "uplinks", "cursor-up", "store.json"].flatMap((name) => [name, `${name}.new`]);
  const segments = STREAMS.flatMap((stream) =>
    Array.from({ length: APPENDS + 2 }, (_, n) => String(1 + n * RECORDS).padStart(16, "0")).flatMap((first) =>
      [0, 1].map((generation) => join(dataDir, "queue", stream, `${first}-${generation}`)),
    ),
  );
  const files = ["", "000001.dbtmp", "000002.dbtmp", "000003.log", "000004.dbtmp", "000005.ldb", "SEAL.json.new"];
  const manifests = ["MANIFEST-000001", "MANIFEST-000002", "MANIFEST-000004"];
  return [
    ...["", "state", "queue", "queue/trash", ...STREAMS.map((stream) => `queue/${stream}`)],
    ...state.map((name) => `state/${name}`),
  ]
    .map((name) => join(dataDir, name))
    .concat(segments.flatMap((segment) => [...files, ...manifests].map((name) => join(segment, name))));
}

interface Run {
  readonly child: Process;
  readonly strace: Process;
  readonly trace: string;
  readonly dataDir: string;
  readonly report: string;
}

/** A program that waits for a word, with strace attached to it. */
async function attached(name: string, inject: readonly string[], idle: boolean): Promise<Run> {
  const dataDir = join(home.path, name);
  const report = `${dataDir}.report`;
  const trace = `${dataDir}.trace`;
  const load = { lanes: 1, appends: APPENDS, batch: [RECORDS, 0], size: [900, 0], pauseMs: 1, settle: 0.9 };
  const settings = {
    ...load,
    dataDir,
    report,
    wait: true,
    idle: idle ? 1 : 0,
    queue: { segment: 64 * 1024, sync: 50, telemetryPolicy: "refuse" },
  };
  const child = new Process(process.execPath, [program, JSON.stringify(settings)], {
    env: { UV_THREADPOOL_SIZE: "1" },
    stdin: true,
  });
  started.push(child);
  await child.line(/^waiting/);
  const only = pathsOf(dataDir).flatMap((path) => ["-P", path]);
  const what = ["-f", "-p", String(child.child.pid), "-o", trace, "-e", `trace=${Object.keys(CALLS).join(",")}`];
  const strace = new Process(needProgram("strace", "strace"), [...what, ...inject, ...only]);
  started.push(strace);
  await strace.line(/attached/);
  return { child, strace, trace, dataDir, report };
}

/** Lets it run to its end, with the fault gone after a while where it lasts; compares the store with what was promised. */
async function finish(run: Run, where: string, idle: boolean): Promise<{ hit: boolean; acknowledged: number }> {
  const { child, strace, trace, dataDir, report } = run;
  child.tell("go");
  const injected = () => readFileSync(trace, "latin1").includes("(INJECTED)");
  await until(`${where}: hit or done`, () => injected() || child.lines.some((line) => ENDED.test(line)), 30_000);
  // A fault that lasts is felt more than once before it goes.
  await pause(150);
  if (strace.running) strace.child.kill("SIGINT");
  await strace.exited;
  await child.line(ENDED, 30_000);
  // Alive, and it did not end by itself; half of them are killed before they close the store.
  expect(child.running, where).toBe(true);
  if (idle) await child.stop("SIGKILL");
  const ledger = new Ledger();
  ledger.follow(report);
  const looked = await checker.lookAtCopy(dataDir);
  child.tell("exit");
  expect(await child.exited, where).toBe(idle ? "SIGKILL" : 0);
  expect(looked, where).not.toHaveProperty("error");
  if ("error" in looked) throw new Error(looked.error);
  const { lost, unreported, reused } = ledger.check(looked, false);
  const missing = ledger.missing(looked);
  expect({ missing, lost, unreported, reused, wrong: ledger.wrong }, where).toEqual({
    missing: [],
    ...{ lost: [], unreported: [], reused: [], wrong: [] },
  });
  return { hit: injected(), acknowledged: ledger.acknowledged };
}

/** How often each call is made in a run without faults. */
async function counts(): Promise<Record<Name, number>> {
  const run = await attached("plain", [], false);
  run.child.tell("go");
  await run.child.line(/^done/, 30_000);
  run.child.tell("exit");
  await run.child.exited;
  await run.strace.exited;
  const calls = readFileSync(run.trace, "latin1").split("\n");
  const count = (name: Name) => calls.filter((line) => line.includes(` ${name}(`)).length;
  return { write: count("write"), pwrite64: count("pwrite64"), fdatasync: count("fdatasync"), fsync: count("fsync") };
}

function chosen(count: number): number[] {
  const most = Math.min(count, 200);
  if (points >= most) return Array.from({ length: most }, (_, n) => n + 1);
  return Array.from({ length: points }, (_, n) => 1 + Math.floor(((n + random.next()) * most) / points));
}

describe("a system call that fails", () => {
  it("costs nothing that was acknowledged, and is got over", { timeout: 60_000 + points * 60_000 }, async () => {
    const made = await counts();
    const runs = (Object.keys(CALLS) as Name[]).flatMap((name) =>
      chosen(made[name]).flatMap((n) => ["", "+"].map((lasts) => ({ name, n, lasts }))),
    );
    const figures = { points: runs.length, hit: 0, acknowledged: 0 };
    const left = [...runs];
    const worker = async () => {
      for (let next = left.shift(); next; next = left.shift()) {
        const { name, n, lasts } = next;
        const where = `${name} ${n}${lasts}, MILLRACE_SEED=${random.seed}`;
        const inject = ["-e", `inject=${name}:error=${CALLS[name]}:when=${n}${lasts}`];
        const idle = n % 2 === 0;
        const run = await attached(`${name}-${n}${lasts}`, inject, idle);
        const { hit, acknowledged } = await finish(run, where, idle);
        for (const path of [run.dataDir, run.trace, run.report]) rmSync(path, { recursive: true, force: true });
        if (hit) figures.hit++;
        figures.acknowledged += acknowledged;
      }
    };
    await Promise.all([worker(), worker()]);
    console.log(JSON.stringify({ suite: "io-errors", seed: random.seed, calls: made, ...figures, lost: 0 }));
    expect(figures.hit).toBeGreaterThan(runs.length / 2);
  });
});
