/** A rate smoothed over half a minute, or as told. Times are monotonic milliseconds. */
export class Rate {
  readonly #tauMs: number;
  #sum = 0;
  #atMs: number | undefined;
  #sinceMs: number | undefined;

  constructor(tauMs = 30_000) {
    this.#tauMs = tauMs;
  }

  add(amount: number, nowMs: number): void {
    this.#decay(nowMs);
    this.#sum += amount;
  }

  perSecond(nowMs: number): number {
    this.#decay(nowMs);
    // In the beginning there is less than the whole window to look at.
    const window = this.#tauMs * (1 - Math.exp(-Math.max(1000, nowMs - (this.#sinceMs ?? nowMs)) / this.#tauMs));
    return (this.#sum / window) * 1000;
  }

  #decay(nowMs: number): void {
    this.#sinceMs ??= nowMs;
    const elapsed = nowMs - (this.#atMs ?? nowMs);
    if (elapsed > 0) this.#sum *= Math.exp(-elapsed / this.#tauMs);
    this.#atMs = nowMs;
  }
}
