import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../../core/errors.ts";
import type { CliIo } from "../io.ts";
import { type FsyncFigures, measureFsync } from "./fsync.ts";
import { type KillFigures, killCycles } from "./kills.ts";
import { cardLife, type Load, USUAL_BYTES_PER_FSYNC } from "./life.ts";
import { inMemory, mountOf, warningsOf } from "./mount.ts";
import type { SelftestDeps } from "./parts.ts";
import { measureRate, type RateFigures } from "./rate.ts";
import { type Findings, judge, type Report, warningsFrom } from "./verdict.ts";

export interface StoragePlan {
  /** An existing folder on the disk to be tested; the scratch folder is made in it. */
  readonly folder: string;
  /** For the whole run. */
  readonly ms: number;
  /** Kill cycles; as many as fit into the time when absent. */
  readonly cycles: number | undefined;
  readonly seed: number;
  readonly enduranceBytes: number;
  readonly loads: readonly Load[];
  /** What there is no room for, see `roomWarning`; given the free bytes. */
  room(freeBytes: number): Promise<string | undefined>;
  /** What it is doing now. */
  progress(text: string): void;
}

/** Part of the time for figures; the rest is for kills. */
const MEASURING = 0.4;
const AT_ONCE = [1, 64, 1000];
const FEWEST_CYCLES = 5;
const SEGMENT_BYTES = 4 * 1024 ** 2;
const LOOK_MS = 250;

export const SCRATCH_PREFIX = "millrace-selftest-";

/**
 * Tests the disk under a folder in a scratch folder, which goes when the test is over, however it ends.
 * @throws `io.signal.reason` when aborted; the error of `mkdtemp` where nothing can be written there.
 */
export async function testStorage(plan: StoragePlan, io: CliIo, deps: SelftestDeps): Promise<Report> {
  const began = performance.now();
  const scratch = await mkdtemp(join(plan.folder, SCRATCH_PREFIX));
  try {
    return await new StorageTest(plan, io, deps, scratch).run(began);
  } finally {
    await rm(scratch, { recursive: true, force: true, maxRetries: 5 });
  }
}

class StorageTest {
  readonly #plan: StoragePlan;
  readonly #io: CliIo;
  readonly #deps: SelftestDeps;
  readonly #scratch: string;
  #fsync: FsyncFigures | undefined;
  readonly #rates: RateFigures[] = [];
  #kills: KillFigures | undefined;

  constructor(plan: StoragePlan, io: CliIo, deps: SelftestDeps, scratch: string) {
    this.#plan = plan;
    this.#io = io;
    this.#deps = deps;
    this.#scratch = scratch;
  }

  async run(began: number): Promise<Report> {
    const { written, ...disk } = await mountOf(this.#scratch);
    let failure: string | undefined;
    try {
      await this.#measure(written);
      await this.#kill(began + this.#plan.ms);
    } catch (error) {
      this.#io.signal.throwIfAborted();
      failure = reasonOf(error);
    }
    const found: Findings = {
      disk,
      rates: this.#rates,
      failure,
      ...(this.#fsync ? { fsync: this.#fsync } : {}),
      ...(this.#kills ? { kills: this.#kills } : {}),
    };
    const { loads, enduranceBytes, folder } = this.#plan;
    const bytesPerFsync = this.#fsync?.bytesEach ?? USUAL_BYTES_PER_FSYNC;
    const room = await this.#plan.room(disk.freeBytes);
    const { failure: _, ...figures } = found;
    return {
      ...judge(found),
      warnings: [...warningsOf(disk), ...warningsFrom(found), ...(room === undefined ? [] : [room])],
      folder,
      ...figures,
      enduranceBytes,
      measured: this.#fsync?.bytesEach !== undefined,
      bytesPerFsync,
      life: (inMemory(disk) ? [] : loads).map((load) => cardLife(load, bytesPerFsync, enduranceBytes)),
      seconds: Math.round((performance.now() - began) / 100) / 10,
    };
  }

  async #measure(written: () => Promise<number | undefined>): Promise<void> {
    const { signal } = this.#io;
    const ms = (this.#plan.ms * MEASURING) / (1 + AT_ONCE.length);
    this.#plan.progress("fsync");
    this.#fsync = await measureFsync(join(this.#scratch, "fsync"), { ms, signal, written });
    for (const atOnce of AT_ONCE) {
      this.#plan.progress(`queue, ${atOnce} at once`);
      this.#rates.push(await this.#rate(atOnce, ms));
    }
  }

  /** In a queue of its own; nobody is owed what is in it, so it stays small. */
  async #rate(atOnce: number, ms: number): Promise<RateFigures> {
    const { clock } = this.#deps;
    const dataDir = join(this.#scratch, `rate-${atOnce}`);
    const queue = this.#deps.queue(dataDir, { segment: SEGMENT_BYTES, sync: "always" });
    let refused = false;
    let look: NodeJS.Timeout | undefined;
    try {
      await queue.start();
      // A queue goes on trying while the disk refuses. Here that is the answer.
      look = setInterval(() => {
        refused = !queue.stats().healthy;
        if (!refused && !this.#io.signal.aborted) return;
        clearInterval(look);
        void queue.close();
      }, LOOK_MS);
      const record = (payload: Buffer) => ({
        taken: clock.now(),
        durable: true,
        content: { kind: "message", topic: "selftest/message", payload, qos: 1, retain: false } as const,
      });
      return await measureRate(queue, atOnce, { ms, signal: this.#io.signal, record });
    } catch (error) {
      throw refused ? new Error("a write to the queue failed", { cause: error }) : error;
    } finally {
      clearInterval(look);
      await queue.close();
      await rm(dataDir, { recursive: true, force: true, maxRetries: 5 });
    }
  }

  async #kill(endsAt: number): Promise<void> {
    const { cycles: wanted, seed, progress } = this.#plan;
    const { execPath, argv1, env, signal } = this.#io;
    const dataDir = join(this.#scratch, "kills");
    await mkdir(dataDir);
    const more = (cycles: number) => {
      const on = wanted === undefined ? cycles < FEWEST_CYCLES || performance.now() < endsAt : cycles < wanted;
      if (on) progress(`kills, ${cycles + 1}${wanted === undefined ? "" : ` of ${wanted}`}`);
      else progress("kills, reading what is left");
      return on;
    };
    this.#kills = await killCycles({ execPath, program: argv1, env, dataDir, seed, signal, more });
  }
}

/** The disk's own words where there are any. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause !== undefined ? `: ${messageOf(error.cause)}` : "";
  return `${messageOf(error)}${cause}`;
}
