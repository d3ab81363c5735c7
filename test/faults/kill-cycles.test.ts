import { closeSync, existsSync, ftruncateSync, openSync, readdirSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, describe, expect, it } from "vitest";
import { STREAMS, type StreamName } from "../../gateway/core/record.ts";
import { Ledger } from "../support/ledger.ts";
import { Process, root, scratch } from "../support/processes.ts";
import { Random, seedOf } from "../support/random.ts";
import { StoreChecker } from "../support/store-checker.ts";

/**
 * SIGKILL at random moments of a process that appends, reads, settles, rolls and removes segments, or opens its store.
 * At least a quarter of the cycles leave a torn tail as a power cut would: the last bytes of the newest log cut off,
 * zeroed or overwritten, never what was fsynced before the last durable acknowledgement.
 * MILLRACE_CRASH_CYCLES (default 100; 2000; 10000), MILLRACE_SEED.
 */
const cycles = Number(process.env["MILLRACE_CRASH_CYCLES"] ?? 60);
const random = new Random(seedOf(process.env["MILLRACE_SEED"]));
const home = scratch("kill");
const checker = new StoreChecker();
const program = join(root, "test", "faults", "programs", "queue-load.mjs");
const dataDir = join(home.path, "data");
const report = join(home.path, "report");
const figures = { torn: 0, opening: 0, cut: 0, duplicates: 0, failedStarts: 0, damaged: 0 };

afterAll(() => {
  checker.close();
  if (process.env["MILLRACE_KEEP"]) console.log(home.path);
  else home.remove();
});

const catchesUp = (cycle: number) => cycle % 6 === 5;

function settings(cycle: number, tear: boolean) {
  const segment = 1024 * random.whole(64, 256);
  return {
    dataDir,
    report,
    round: cycle,
    seed: random.whole(0, 2 ** 31),
    lanes: random.whole(1, 3),
    // Every sixth life catches up, so that segments go.
    settle: catchesUp(cycle) ? 1 : 0.5 + random.next() / 2,
    pauseMs: catchesUp(cycle) ? 30 : 0,
    logs: tear,
    durable: tear ? 0.02 : 0.3,
    queue: { segment, sync: tear ? 60_000 : random.whole(10, 300) },
  };
}

/** Waits, for some seconds at most, until it reads no more than it appends. */
async function caughtUp(child: Process): Promise<void> {
  const read = () => Number(/"read":(\d+)/.exec(child.lines.findLast((line) => line.startsWith("now ")) ?? "")?.[1]);
  for (let turn = 0, before = -1; turn < 15 && !(read() - before < 60); turn++) {
    before = read();
    await pause(250);
  }
}

/** One life of the program, ended by SIGKILL while it opens its store or some time after. */
async function live(cycle: number, tear: boolean): Promise<void> {
  const child = new Process(process.execPath, [program, JSON.stringify(settings(cycle, tear))]);
  const opening = !tear && !catchesUp(cycle) && random.chance(0.2);
  if (opening) figures.opening++;
  await child.line(opening ? /^begin/ : /^ready/, 30_000).catch(() => {});
  if (catchesUp(cycle)) await caughtUp(child);
  await pause(opening ? random.next() * 60 : random.next() ** 2 * 500);
  const end = await child.stop("SIGKILL");
  if (end === "SIGKILL") return;
  figures.failedStarts++;
  throw new Error(`cycle ${cycle} ended by itself with ${end}: ${child.lines.slice(-20).join("\n")}`);
}

function endOf(log: string): number {
  const bytes = readFileSync(log);
  return bytes.findLastIndex((byte) => byte !== 0) + 1;
}

/** The last bytes of the newest log of a stream, as a power cut would leave them. Gives whether there were any to hurt. */
function tearTail(stream: StreamName, logs: ReadonlyMap<string, number>): boolean {
  const row = join(dataDir, "queue", stream);
  const folder = join(row, readdirSync(row).sort().at(-1) ?? "");
  const log = readdirSync(folder).find((name) => name.endsWith(".log"));
  // What is sealed was fsynced as a whole before.
  if (!log || existsSync(join(folder, "SEAL.json")) || existsSync(join(folder, "SEAL.json.new"))) return false;
  const path = join(folder, log);
  // Zeros may stand ahead of what was written.
  const size = endOf(path);
  const safe = logs.get(path) ?? 0;
  if (size <= safe) return false;
  const from = random.whole(safe, size - 1);
  const file = openSync(path, "r+");
  const kind = random.whole(0, 3);
  if (kind === 0) ftruncateSync(file, from);
  else if (kind === 1) writeSync(file, Buffer.alloc(size - from), 0, size - from, from);
  else if (kind === 2) writeSync(file, random.bytes(size - from), 0, size - from, from);
  else {
    // Pages reach the card in any order: one in the midst is missing.
    const length = Math.min(4096, size - from);
    writeSync(file, Buffer.alloc(length), 0, length, from);
  }
  closeSync(file);
  return true;
}

/** Opens a copy of what the kill left, and compares it with what was promised. */
async function inspect(cycle: number, ledger: Ledger): Promise<void> {
  const looked = await checker.lookAtCopy(dataDir, cycle % 10 === 0);
  const where = `cycle ${cycle}, MILLRACE_SEED=${random.seed}`;
  if ("error" in looked) figures.failedStarts++;
  expect(looked, where).not.toHaveProperty("error");
  if ("error" in looked) return;
  const { lost, unreported, reused, cut, duplicates } = ledger.check(looked, true);
  expect({ lost, unreported, reused, wrong: ledger.wrong }, where).toEqual({
    lost: [],
    unreported: [],
    reused: [],
    wrong: [],
  });
  figures.cut += cut;
  figures.duplicates += duplicates;
  figures.damaged = Math.max(figures.damaged, looked.gaps.filter(({ reason }) => reason === "damaged").length);
  expect(
    looked.gaps.filter(({ reason }) => reason !== "power-loss" && reason !== "damaged"),
    where,
  ).toEqual([]);
}

describe("SIGKILL at random moments under load", () => {
  it(`loses nothing in ${cycles} cycles`, { timeout: cycles * 6_000 + 60_000 }, async () => {
    const ledger = new Ledger();
    try {
      for (let cycle = 0; cycle < cycles; cycle++) {
        const tear = figures.torn * 4 <= cycle || random.chance(0.1);
        await live(cycle, tear);
        ledger.follow(report);
        if (tear && STREAMS.map((stream) => tearTail(stream, ledger.logs)).includes(true)) figures.torn++;
        await inspect(cycle, ledger);
      }
    } finally {
      const { acknowledged, duplicates, gapsTold } = ledger;
      const segments = STREAMS.map((stream) => readdirSync(join(dataDir, "queue", stream)).length);
      const { seed } = random;
      const resent = duplicates;
      console.log(
        JSON.stringify({
          suite: "kill-cycles",
          cycles,
          seed,
          acknowledged,
          resent,
          segments,
          gapsTold: gapsTold.length,
          ...figures,
        }),
      );
    }
    expect(figures.torn).toBeGreaterThanOrEqual(Math.floor(cycles / 4));
  });
});
