/** Part of a second that may be spent at once after a pause. */
const BURST_S = 0.25;

/**
 * So much a second and no more, with a quarter of a second's worth at once. Something is let through while anything is
 * left, and paid for in full, so that what is larger than the bucket goes too. Times are monotonic milliseconds.
 */
export class TokenBucket {
  readonly #perMs: number;
  readonly #most: number;
  #tokens: number;
  #atMs: number;

  /** @param perSecond more than 0. */
  constructor(perSecond: number, nowMs: number) {
    this.#perMs = perSecond / 1000;
    this.#most = Math.max(1, perSecond * BURST_S);
    this.#tokens = this.#most;
    this.#atMs = nowMs;
  }

  /**
   * Milliseconds until something may be taken; 0 when it may now. `reserve` is the part of the bucket, 0 to 1, that is left
   * for others.
   */
  waitMs(nowMs: number, reserve = 0): number {
    this.#fill(nowMs);
    const need = Math.min(this.#most, 1 + reserve * this.#most);
    return this.#tokens >= need ? 0 : (need - this.#tokens) / this.#perMs;
  }

  take(amount: number, nowMs: number): void {
    this.#fill(nowMs);
    this.#tokens -= amount;
  }

  #fill(nowMs: number): void {
    const passed = Math.max(0, nowMs - this.#atMs);
    this.#tokens = Math.min(this.#most, this.#tokens + passed * this.#perMs);
    this.#atMs = nowMs;
  }
}
