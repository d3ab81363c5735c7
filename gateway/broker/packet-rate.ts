/** Least wait, in milliseconds: what came meanwhile is read in one go. */
const LEAST_MS = 10;

/** So many packets at once, and so many a second after that. */
export class PacketRate {
  readonly #perSecond: number;
  readonly #monoMs: () => number;
  #tokens: number;
  #lastMs: number;

  constructor(perSecond: number, monoMs: () => number) {
    this.#perSecond = perSecond;
    this.#monoMs = monoMs;
    this.#tokens = perSecond;
    this.#lastMs = monoMs();
  }

  /** Takes one. @returns 0, or the milliseconds until it is worth while to ask again. */
  take(): number {
    const now = this.#monoMs();
    this.#tokens = Math.min(this.#perSecond, this.#tokens + ((now - this.#lastMs) * this.#perSecond) / 1000);
    this.#lastMs = now;
    if (this.#tokens < 1) return Math.max(LEAST_MS, Math.ceil(((1 - this.#tokens) * 1000) / this.#perSecond));
    this.#tokens -= 1;
    return 0;
  }
}
