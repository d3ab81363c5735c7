/** What an estimator keeps; milliseconds. */
export interface ReplyStats {
  readonly samples: number;
  readonly smooth: number;
  readonly deviation: number;
  /** The slowest answer, forgotten slowly. */
  readonly slowest: number;
}

/** So many answers are looked at before they shorten a timeout. */
const ENOUGH = 16;
/**
 * What a USB adapter or our own machine may add at any time. Measured over loopback on two cores at a load of 12: of 37,000
 * answers 90 took more than 100 ms, 12 more than 200 ms, none more than 500 ms.
 */
const LEAST_MS = 500;
const FORGET = 0.99;

/**
 * How long a unit takes before its answer begins, after the retransmission timer of TCP (RFC 6298): a smoothed mean and
 * deviation; and the slowest answer, because a device that is slow once in a while is not away.
 */
export class ReplyTime {
  #stats: ReplyStats | undefined;
  #unanswered = false;

  constructor(saved: ReplyStats | undefined) {
    this.#stats = saved;
  }

  get stats(): ReplyStats | undefined {
    return this.#stats;
  }

  /** Mean turn-around in milliseconds; undefined until it is known well enough. */
  get meanMs(): number | undefined {
    return this.#known?.smooth;
  }

  /** @param tookMs from question to answer, without the time that both were on the wire. */
  answered(tookMs: number): void {
    const ms = Math.max(0, tookMs);
    this.#unanswered = false;
    const old = this.#stats;
    if (!old) {
      this.#stats = { samples: 1, smooth: ms, deviation: ms / 2, slowest: ms };
      return;
    }
    this.#stats = {
      samples: Math.min(old.samples + 1, 1_000_000),
      smooth: old.smooth + (ms - old.smooth) / 8,
      deviation: old.deviation + (Math.abs(ms - old.smooth) - old.deviation) / 4,
      slowest: Math.max(ms, old.slowest * FORGET),
    };
  }

  /** A question was not answered in its time: the next one is given all the time that is configured. */
  silent(): void {
    this.#unanswered = true;
  }

  /** How long to wait, beside the time on the wire: never more than what is configured. */
  timeoutMs(configuredMs: number): number {
    const known = this.#known;
    if (!known || this.#unanswered) return configuredMs;
    return Math.min(configuredMs, Math.max(LEAST_MS, known.smooth + 4 * known.deviation, 2 * known.slowest));
  }

  get #known(): ReplyStats | undefined {
    return this.#stats && this.#stats.samples >= ENOUGH ? this.#stats : undefined;
  }
}
