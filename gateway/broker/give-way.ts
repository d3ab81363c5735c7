/** Rises with what uplinks get ahead: records acknowledged upstream. */
export type Progress = () => number;

/** One append leaves them so much time at most. */
const MOST_MS = 20;
/** Of the records appended, how many are acknowledged before the next append: a backlog is to become smaller. */
const SHARE = 1.25;
/** Of the records appended, the part that has to be acknowledged in that time for the wait to have been of use. */
const USEFUL = 1 / 4;
/** Appends without a wait after one that was of no use; doubled each time up to the greatest. */
const FIRST_SKIP = 4;
const MOST_SKIP = 256;

/**
 * Local clients at full speed bring a chunk each in every turn of the event loop, while an uplink gets ahead by one window: a
 * backlog would hardly drain. So after each append the next one waits until somewhat more records were acknowledged upstream, for a
 * short time. Where uplinks wait for the network, that is of no use to them: it is soon tried only now and then.
 */
export class GiveWay {
  readonly #progress: Progress;
  readonly #monotonic: () => number;
  #seen = 0;
  #skips = 0;
  #skip = FIRST_SKIP;
  #stop: (() => void) | undefined;

  constructor(progress: Progress, monotonic: () => number) {
    this.#progress = progress;
    this.#monotonic = monotonic;
  }

  /** After an append of so many records: calls `go`, at once or from a later turn; not after `stop`. */
  after(records: number, go: () => void): void {
    const from = this.#progress();
    const moves = from > this.#seen;
    this.#seen = from;
    if (!moves || this.#skips > 0) {
      if (moves) this.#skips--;
      go();
      return;
    }
    const sinceMs = this.#monotonic();
    const look = () => {
      const ahead = this.#progress() - from;
      if (ahead < records * SHARE && this.#monotonic() - sinceMs < MOST_MS) {
        turn = setImmediate(look);
        return;
      }
      this.#judge(ahead >= records * USEFUL);
      go();
    };
    let turn = setImmediate(look);
    this.#stop = () => clearImmediate(turn);
  }

  stop(): void {
    this.#stop?.();
  }

  #judge(useful: boolean): void {
    if (useful) this.#skip = FIRST_SKIP;
    else {
      this.#skips = this.#skip;
      this.#skip = Math.min(MOST_SKIP, this.#skip * 2);
    }
  }
}
