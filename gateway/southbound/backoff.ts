/** Decorrelated jitter: each pause is random between the least and three times the one before, up to the greatest. */
export class Backoff {
  readonly #minMs: number;
  readonly #maxMs: number;
  readonly #random: () => number;
  #lastMs: number;

  constructor(minMs: number, maxMs: number, random: () => number) {
    this.#minMs = minMs;
    this.#maxMs = maxMs;
    this.#random = random;
    this.#lastMs = minMs;
  }

  /** Milliseconds to wait before the next attempt. */
  next(): number {
    this.#lastMs = Math.min(this.#maxMs, this.#minMs + this.#random() * (3 * this.#lastMs - this.#minMs));
    return this.#lastMs;
  }

  reset(): void {
    this.#lastMs = this.#minMs;
  }
}
