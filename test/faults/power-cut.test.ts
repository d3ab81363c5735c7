import { cpSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { Ledger } from "../support/ledger.ts";
import { needProgram, Process, root, scratch } from "../support/processes.ts";
import { Random, seedOf } from "../support/random.ts";
import { type Looked, StoreChecker } from "../support/store-checker.ts";
import { Disk, MODELS, type Model } from "./power-cut/disk.ts";
import { type Call, parseTrace, TRACED } from "./power-cut/trace.ts";

/**
 * Power cuts, without pulling a plug: the system calls of a real process are written down by strace; a simulated disk
 * is told them one by one and left, after any of them, as a power cut could leave it. What is opened then holds all
 * that had been acknowledged as durable by that call, and tells of the rest.
 * MILLRACE_CUT_POINTS (default 40 a model; long run 600), MILLRACE_SEED. With MILLRACE_KEEP the traces and the stores of
 * failed cuts stay; MILLRACE_CUT_TRACE names the folder of such traces, to cut them again.
 */
const points = Number(process.env["MILLRACE_CUT_POINTS"] ?? 40);
const random = new Random(seedOf(process.env["MILLRACE_SEED"]));
const given = process.env["MILLRACE_CUT_TRACE"];
const home = given === undefined ? scratch("cut") : { path: given, remove: () => {} };
const checker = new StoreChecker();
const program = join(root, "test", "faults", "programs", "queue-load.mjs");
const dataDir = join(home.path, "data");
const report = join(home.path, "report");

afterAll(() => {
  checker.close();
  if (process.env["MILLRACE_KEEP"]) console.log(home.path);
  else home.remove();
});

/** A life of the program under strace; the lines that strace wrote. */
async function traced(name: string, settings: object, end: RegExp): Promise<string[]> {
  const strace = needProgram("strace", "strace");
  const file = join(home.path, name);
  if (given !== undefined) return readFileSync(file, "latin1").split("\n");
  const what = ["-f", "-y", "-xx", "-s", "4000000", "-o", file, "-e", `trace=${TRACED}`, "-e", "signal=none"];
  const options = { dataDir, report, ...settings };
  const child = new Process(strace, [...what, process.execPath, program, JSON.stringify(options)], {
    env: { UV_THREADPOOL_SIZE: "4" },
  });
  await child.line(end, 120_000);
  // The process, not strace: it ends with what it traces.
  if (child.running) process.kill(Number(/^pid (\d+)/.exec(await child.line(/^pid /))?.[1]), "SIGKILL");
  await child.exited;
  return readFileSync(file, "latin1").split("\n");
}

/** Two lives: the first is killed and leaves its segments open; the second opens, delivers, removes and goes on. */
async function trace(): Promise<Call[]> {
  const common = { lanes: 2, batch: [1, 5], size: [20, 3000], pauseMs: 4, queue: { segment: 64 * 1024, sync: 100 } };
  // The end of the first life is still in the page cache when the second begins.
  const unsynced = { ...common.queue, sync: 60_000 };
  const first = {
    ...common,
    round: 1,
    seed: random.whole(0, 2 ** 31),
    appends: 30,
    settle: 0.4,
    idle: 1500,
    queue: unsynced,
  };
  const second = { ...common, round: 2, seed: random.whole(0, 2 ** 31), appends: 30, settle: 1, idle: 1500 };
  const lines = await traced("trace-1", first, /^idle/);
  return parseTrace([...lines, ...(await traced("trace-2", second, /^idle/))]);
}

/** What changes the disk but appending to a log: segments made, sealed, opened and removed, state written. */
function isPhase(call: Call): boolean {
  if (call.kind === "close" || (call.kind === "open" && !call.flags.includes("O_CREAT"))) return false;
  if (call.kind === "rename" || call.kind === "link") return call.from.startsWith(dataDir);
  if (!call.path.startsWith(dataDir)) return false;
  return !(/\/(LOG|\d+\.log)$/.test(call.path) && (call.kind === "write" || call.kind === "sync"));
}

/** Indices of calls after which the power is cut: as many of the phases as there may be, and others. */
function chosen(calls: readonly Call[]): { at: Set<number>; phases: number } {
  const inside = calls.flatMap((call, index) => ("path" in call && call.path.startsWith(dataDir) ? index : []));
  const phases = calls.flatMap((call, index) => (isPhase(call) ? index : []));
  const at = new Set<number>();
  const take = (from: number[], most: number) => {
    const left = [...from];
    for (let n = 0; n < most && left.length > 0; n++) at.add(left.splice(random.whole(0, left.length - 1), 1)[0] ?? 0);
  };
  take(phases, Math.ceil(points * 0.85));
  take(
    inside.filter((index) => !at.has(index)),
    points - at.size,
  );
  return { at, phases: phases.length };
}

/** What the cuts came to. */
class Results {
  readonly failures: string[] = [];
  duplicates = 0;
  /** Per model, the most records that one cut cost and a gap told. */
  readonly mostCut = Object.fromEntries(MODELS.map((model) => [model, 0]));

  add(model: Model, where: string, looked: Looked, ledger: Ledger): void {
    if ("error" in looked) {
      this.failures.push(`${model} ${where}: does not open: ${looked.error}`);
      return;
    }
    for (const found of looked.again ? [looked, looked.again] : [looked]) {
      const { lost, unreported, reused, cut, duplicates } = ledger.check(found, false);
      const wrong = [...lost, ...unreported.map((id) => `unreported ${id}`), ...reused.map((id) => `reused ${id}`)];
      const gaps = found.gaps.map(({ stream, from, to, reason }) => `${stream} ${from}-${to} ${reason}`).join(", ");
      const text = `${wrong.length}: ${wrong.slice(0, 5).join(", ")}; gaps: ${gaps}`;
      if (wrong.length > 0) this.failures.push(`${model} ${where}: ${text}`);
      this.duplicates += duplicates;
      this.mostCut[model] = Math.max(this.mostCut[model] ?? 0, cut);
    }
  }
}

/** Cuts the power in every model at the present call. */
async function cut(disk: Disk, where: string, ledger: Ledger, results: Results): Promise<void> {
  for (const model of MODELS) {
    const folder = checker.folder();
    disk.leave(model, folder, random);
    const before = results.failures.length;
    const untouched = `${folder}-before`;
    cpSync(folder, untouched, { recursive: true });
    results.add(model, where, await checker.look(folder, true), ledger);
    if (results.failures.length > before) cpSync(untouched, join(home.path, `${model}-${before}`), { recursive: true });
    rmSync(untouched, { recursive: true, force: true });
    rmSync(folder, { recursive: true, force: true });
  }
}

describe("a power cut after any system call", () => {
  it(`loses nothing in ${points} points a model`, { timeout: points * 8_000 + 180_000 }, async () => {
    const calls = await trace();
    const { at, phases } = chosen(calls);
    const disk = new Disk(dataDir);
    const ledger = new Ledger();
    const results = new Results();
    for (const [index, call] of calls.entries()) {
      disk.apply(call);
      if (call.kind === "write" && call.path === report) ledger.take(call.data.toString());
      if (at.has(index)) await cut(disk, `after call ${index} (${nameOf(call)})`, ledger, results);
    }
    // The simulated disk went the way of the real one.
    for (const [path, content] of disk.contents()) {
      expect(content.equals(readFileSync(join(dataDir, path))), `${path} as simulated`).toBe(true);
    }
    const { acknowledged, wrong } = ledger;
    const { failures, duplicates, mostCut } = results;
    const { seed } = random;
    const done = { points: at.size, models: MODELS.length, calls: calls.length, phases, acknowledged, duplicates };
    console.log(JSON.stringify({ suite: "power-cut", seed, ...done, mostCut, failures: failures.length }));
    expect({ wrong, failures: failures.slice(0, 10) }, `MILLRACE_SEED=${seed}`).toEqual({ wrong: [], failures: [] });
    expect(acknowledged).toBeGreaterThan(200);
  });
});

function nameOf(call: Call): string {
  const text = Object.values({ ...call, data: "", flags: "" }).join(" ");
  return text.replaceAll(dataDir, "").slice(0, 120);
}
