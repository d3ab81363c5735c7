import type { Logger } from "../core/log.ts";
import type { Counter, Metrics } from "../core/metrics.ts";
import type { Worker } from "../core/work.ts";

/** Who is stuck, in what, and for how long. */
export interface Stuck {
  readonly part: string;
  readonly doing: string;
  readonly forMs: number;
}

export interface ProgressParts {
  /** Asked at each look: parts may come and go. */
  readonly workers: () => readonly Worker[];
  /** A part is stuck when it takes longer than this, and longer than it may by its own account. Milliseconds. */
  readonly limitMs: number;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/**
 * Looks whether parts with work make progress. To be asked again and again (`look`), at most a quarter of the limit apart.
 * A part is stuck only when two looks in a row say so: after a sleep of the machine, or a loop that stood still, what was
 * due meanwhile gets its turn first.
 */
export class Progress {
  readonly #parts: ProgressParts;
  readonly #counter: Counter;
  /** Too late at the last look. */
  #late = new Set<string>();
  /** Told as stuck. */
  readonly #told = new Set<string>();

  constructor(parts: ProgressParts) {
    this.#parts = parts;
    this.#counter = parts.metrics.counter("millrace_stuck_total", "Times a part with work made no progress.", ["part"]);
  }

  /** Those that are stuck now. Each is logged, and counted, when it begins; and logged again when it is over. */
  look(): readonly Stuck[] {
    const { workers, limitMs, log } = this.#parts;
    const late = new Set<string>();
    const stuck: Stuck[] = [];
    for (const worker of workers()) {
      const work = worker.work();
      if (work === undefined || work.forMs < Math.max(limitMs, work.mayTakeMs)) continue;
      const { part } = worker;
      late.add(part);
      if (!this.#late.has(part)) continue;
      const { doing, forMs } = work;
      stuck.push({ part, doing, forMs });
      if (this.#told.has(part)) continue;
      this.#told.add(part);
      this.#counter.inc({ part });
      log.error({ part, doing, forMs: Math.round(forMs) }, "a part is stuck");
    }
    for (const part of this.#told) {
      if (late.has(part)) continue;
      this.#told.delete(part);
      log.info({ part }, "a part goes on that was stuck");
    }
    this.#late = late;
    return stuck;
  }
}

/** One sentence for people. */
export function stuckText({ part, doing, forMs }: Stuck): string {
  return `${part} is stuck: ${doing}, for ${Math.round(forMs / 1000)} s`;
}
