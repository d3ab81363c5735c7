/** So many requests beside the plan in a second, for all units of a link together. */
const PER_SECOND = 8;

/** Keeps learning from flooding a line. */
export class ProbeTokens {
  #secondMs = Number.NEGATIVE_INFINITY;
  #left = PER_SECOND;

  /** Takes `count` at once, or none. More than a second's worth is had once a second. */
  take(count: number, nowMs: number): boolean {
    if (nowMs - this.#secondMs >= 1000) {
      this.#secondMs = nowMs;
      this.#left = PER_SECOND;
    }
    if (count > this.#left && this.#left < PER_SECOND) return false;
    this.#left = Math.max(0, this.#left - count);
    return true;
  }
}
