import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { type Kept, keptSessions } from "../broker/session-support.ts";
import { cleanUpAll } from "../broker/support.ts";
import { needProgram, Process, root, scratch } from "../support/processes.ts";
import { Random, seedOf } from "../support/random.ts";
import { Disk, MODELS } from "./power-cut/disk.ts";
import { parseTrace, TRACED } from "./power-cut/trace.ts";

/**
 * Power cuts while plans are kept for a line: the system calls of a real process on a simulated disk, which is left after any
 * of them as a power cut could leave it. MILLRACE_CUT_POINTS (default 40 a model; long run 600), MILLRACE_SEED.
 */
const points = Number(process.env["MILLRACE_CUT_POINTS"] ?? 40);
const random = new Random(seedOf(process.env["MILLRACE_SEED"]));
const home = scratch("session-cut");
const dataDir = join(home.path, "data");
const report = join(home.path, "report");
const program = join(root, "test", "faults", "programs", "session-load.mjs");
/** Two lives; the second writes its file anew while it goes on. */
const LIVES = [
  { first: 1, plans: 60, bytes: 200 },
  { first: 1000, plans: 120, bytes: 20_000 },
];

afterAll(() => home.remove());

async function traced(life: (typeof LIVES)[number]): Promise<string[]> {
  const file = join(home.path, `trace-${life.first}`);
  const what = ["-f", "-y", "-xx", "-s", "4000000", "-o", file, "-e", `trace=${TRACED}`, "-e", "signal=none"];
  const options = JSON.stringify({ dataDir, report, ...life });
  const child = new Process(needProgram("strace", "strace"), [...what, process.execPath, program, options], {
    env: { UV_THREADPOOL_SIZE: "4" },
  });
  await child.line(/^done/, 120_000);
  await child.exited;
  return readFileSync(file, "latin1").split("\n");
}

/** What was promised so far. */
class Promises {
  readonly admitted = new Set<number>();
  readonly settled = new Set<number>();
  state = 0;

  take(text: string): void {
    const [, kind, number] = /^([asr]) (\d+)/.exec(text) ?? [];
    if (kind === "a") this.admitted.add(Number(number));
    else if (kind === "s") this.settled.add(Number(number));
    else if (kind === "r") this.state = Number(number);
  }

  faults(kept: Kept): string[] {
    const session = kept.store.sessions.get("line");
    const plans = [...(session?.owed() ?? [])].map(({ message }) => Number.parseInt(String(message.payload), 10));
    const there = new Set(plans);
    const lost = [...this.admitted].filter((plan) => !this.settled.has(plan) && !there.has(plan));
    const state = [...kept.store.retained.all()].map(({ payload }) => Number.parseInt(String(payload), 10))[0] ?? 0;
    return [
      ...lost.map((plan) => `lost ${plan}`),
      ...(plans.length === there.size ? [] : ["doubled"]),
      ...plans.filter((plan, index) => index > 0 && plan < (plans[index - 1] ?? 0)).map((plan) => `disordered ${plan}`),
      ...(state < this.state ? [`retained ${state} instead of ${this.state}`] : []),
      ...(this.admitted.size > 0 && session?.subscriptions.size !== 1 ? ["no subscription"] : []),
    ];
  }
}

describe("a power cut while plans are kept", () => {
  it(`loses none in ${points} points a model`, { timeout: points * 2_000 + 180_000 }, async () => {
    mkdirSync(dataDir);
    const lines: string[] = [];
    for (const life of LIVES) lines.push(...(await traced(life)));
    const calls = parseTrace(lines);
    const inside = calls.flatMap((call, index) => {
      const path = "path" in call ? call.path : "to" in call ? call.to : "";
      return path.startsWith(dataDir) ? [index] : [];
    });
    const at = new Set<number>();
    while (at.size < Math.min(points, inside.length)) at.add(inside[random.whole(0, inside.length - 1)] ?? 0);
    const disk = new Disk(dataDir);
    const promises = new Promises();
    const failures: string[] = [];
    let alarms = 0;
    for (const [index, call] of calls.entries()) {
      disk.apply(call);
      if (call.kind === "write" && call.path === report) promises.take(call.data.toString());
      if (!at.has(index)) continue;
      for (const model of MODELS) {
        const path = join(home.path, `${model}-${index}`);
        mkdirSync(path, { recursive: true });
        disk.leave(model, path, random);
        const kept = await keptSessions({ path });
        if (kept.loss) alarms++;
        failures.push(...promises.faults(kept).map((fault) => `${model} ${index}: ${fault}`));
        await cleanUpAll();
        rmSync(path, { recursive: true });
      }
    }
    const { admitted, settled } = promises;
    const done = {
      points: at.size,
      models: MODELS.length,
      calls: inside.length,
      admitted: admitted.size,
      settled: settled.size,
    };
    const renames = calls.filter((call) => call.kind === "rename" && call.to.startsWith(dataDir)).length;
    console.log(
      JSON.stringify({
        suite: "session-power-cut",
        seed: random.seed,
        ...done,
        renames,
        alarms,
        failures: failures.length,
      }),
    );
    expect(failures.slice(0, 10), `MILLRACE_SEED=${random.seed}`).toEqual([]);
    expect(admitted.size).toBe(LIVES.reduce((sum, { plans }) => sum + plans, 0));
    expect(renames).toBeGreaterThan(LIVES.length);
  });
});
