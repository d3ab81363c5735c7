/** What is known about how many addresses one answer may carry. */
export interface LengthStats {
  /** Most that was ever answered. */
  readonly answered: number;
  /** Least that was refused for its length. */
  readonly refused?: number;
  /** What is asked for at most. */
  readonly most?: number;
}

/** So many answers that were all shorter than the limit: whether the limit is in a plan's way shows only without it. */
const STALLED = 64;
/** So often a long question must go unanswered between answered shorter ones until its length is blamed. */
const STRIKES = 3;

/**
 * Finds the longest read that a unit answers. A refusal halves the length and then closes in on the limit from both
 * sides, each step one request that is refused and made again in parts. Silence costs a timeout each time, so that it only
 * halves.
 */
export class LengthLimit {
  #stats: LengthStats;
  #silentAt: number | undefined;
  #heardSince = false;
  #strikes = 0;
  #stalled = 0;

  constructor(saved: LengthStats | undefined) {
    this.#stats = saved ?? { answered: 0 };
  }

  get stats(): LengthStats {
    return this.#stats;
  }
  get most(): number | undefined {
    return this.#stats.most;
  }

  /** Whether a refusal of so many may be because they are so many. */
  mayBeTooLong(count: number): boolean {
    return count > 1 && count > this.#stats.answered;
  }

  /** @returns whether `most` changed. */
  answered(count: number): boolean {
    const { most, refused } = this.#stats;
    this.#heardSince = true;
    if (this.#silentAt !== undefined && count >= this.#silentAt) this.#forgiveSilence();
    if (count > this.#stats.answered) this.#stats = { ...this.#stats, answered: count };
    if (most === undefined || refused === undefined || most >= refused - 1) return false;
    if (count >= most) return this.#closeIn(refused);
    if (++this.#stalled < STALLED) return false;
    this.#stats = { ...this.#stats, most: refused - 1 };
    return true;
  }

  /** Somebody who knows says that it was the length. */
  refused(count: number): void {
    this.#closeIn(Math.min(count, this.#stats.refused ?? count));
  }

  /** No answer at all. @returns whether `most` changed. */
  silent(count: number): boolean {
    if (!this.mayBeTooLong(count)) return false;
    if (this.#heardSince) this.#strikes++;
    this.#heardSince = false;
    this.#silentAt = Math.min(count, this.#silentAt ?? count);
    if (this.#strikes < STRIKES) return false;
    this.#stats = { ...this.#stats, most: Math.max(1, this.#stats.answered, this.#silentAt >> 1) };
    this.#forgiveSilence();
    return true;
  }

  #forgiveSilence(): void {
    this.#strikes = 0;
    this.#silentAt = undefined;
  }

  #closeIn(refused: number): boolean {
    const { answered } = this.#stats;
    this.#stalled = 0;
    const most = Math.max(1, Math.floor((answered + refused) / 2));
    const changed = most !== this.#stats.most;
    this.#stats = { answered, refused, most };
    return changed;
  }
}
