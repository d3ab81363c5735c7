const TAU_MS = 30_000;

/** A rate smoothed over half a minute. Times are monotonic milliseconds. */
export class Rate {
  #sum = 0;
  #atMs: number | undefined;
  #sinceMs: number | undefined;

  add(amount: number, nowMs: number): void {
    this.#decay(nowMs);
    this.#sum += amount;
  }

  perSecond(nowMs: number): number {
    this.#decay(nowMs);
    // In the beginning there is less than the whole window to look at.
    const window = TAU_MS * (1 - Math.exp(-Math.max(1000, nowMs - (this.#sinceMs ?? nowMs)) / TAU_MS));
    return (this.#sum / window) * 1000;
  }

  #decay(nowMs: number): void {
    this.#sinceMs ??= nowMs;
    const elapsed = nowMs - (this.#atMs ?? nowMs);
    if (elapsed > 0) this.#sum *= Math.exp(-elapsed / TAU_MS);
    this.#atMs = nowMs;
  }
}
