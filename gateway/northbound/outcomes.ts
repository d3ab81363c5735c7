import type { ClockTeller } from "./clock-teller.ts";
import { type Job, keysOf } from "./job.ts";
import type { Lanes } from "./lanes.ts";
import type { Poison } from "./poison.ts";
import type { Settler } from "./settler.ts";
import type { Summary } from "./summary.ts";
import type { Supply } from "./supply.ts";

export interface OutcomeParts {
  readonly settler: Settler;
  readonly supply: Supply;
  readonly lanes: Lanes;
  readonly clocks: ClockTeller;
  readonly poison: Poison;
  readonly rejects: Summary;
  /** Gives a place in the window back. The settler gives back those of what it is handed. */
  readonly release: () => void;
}

/** What becomes of a job once it is known: records go to the queue's cursors, gaps and clocks to whoever waits for them to be told. */
export class Outcomes {
  readonly #parts: OutcomeParts;

  constructor(parts: OutcomeParts) {
    this.#parts = parts;
  }

  /** Every message of the job is acknowledged. */
  complete({ what }: Job): void {
    const { settler, lanes, clocks, release } = this.#parts;
    if (what.kind === "entry") {
      settler.settle(what.entry.stream, what.entry.seq);
    } else if (what.kind === "batch") {
      for (const [index, { entry }] of what.items.entries()) {
        settler.settle(entry.stream, entry.seq, index === 0 ? 1 : 0);
      }
    } else if (what.kind === "gap") {
      settler.settleGap(what.gap, () => lanes.returnGap(what.gap));
    } else if (what.kind === "clock") {
      settler.settleClock(what.offset.bootId, () => clocks.told(what.offset.bootId));
    } else {
      release();
      what.done();
    }
  }

  /** The far side never takes one of its messages. */
  reject(job: Job, reason: string): void {
    const { settler, supply, poison, rejects, release } = this.#parts;
    job.dead = true;
    const { what } = job;
    if (what.kind === "batch" && what.items.length > 1) {
      // One of them is at fault, or all together are too large.
      supply.split(job);
      release();
      return;
    }
    rejects.report("warn", `${what.kind} ${reason}`, { reason, what: what.kind }, "a message was rejected upstream");
    const entry = what.kind === "entry" ? what.entry : what.kind === "batch" ? what.items[0]?.entry : undefined;
    if (entry !== undefined) {
      poison.forget(keysOf(job));
      settler.reject(entry, reason);
      return;
    }
    // A gap or a clock is never dropped: it is told again over the next connection.
    release();
    if (what.kind === "status") what.done();
  }
}
