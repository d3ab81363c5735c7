import type { Clock } from "../../core/clock.ts";
import type { QueueOptions } from "../../core/options/queue.ts";
import type { Queue } from "../../core/queue.ts";

/** Options of a queue that is made for a test and thrown away. */
export type ScratchOptions = Pick<QueueOptions, "segment" | "sync">;

/** What the test needs of the rest of the program: the queue that is to be tested. */
export interface SelftestDeps {
  readonly clock: Clock;
  /** A queue of the real kind, not yet started, in a folder of its own. */
  queue(dataDir: string, options: ScratchOptions): Queue;
}

/** Bytes a scratch queue may use. */
export const SCRATCH_BYTES = 64 * 1024 ** 2;
