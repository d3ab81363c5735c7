export interface BackoffOptions {
  /** Least pause, and the first one's order of size, in milliseconds. */
  readonly baseMs: number;
  /** Greatest pause in milliseconds. */
  readonly capMs: number;
  /** A connection must have lasted this long before the pauses begin anew. */
  readonly stableMs: number;
}

/**
 * Decorrelated jitter: each pause is drawn between the base and three times the one before, up to the cap, so that a
 * fleet that lost its server together does not come back together. The first pause after a stable connection is short.
 */
export class Backoff {
  readonly #options: BackoffOptions;
  readonly #random: () => number;
  #previousMs = 0;

  constructor(options: BackoffOptions, random: () => number = Math.random) {
    this.#options = options;
    this.#random = random;
  }

  /** The next pause in milliseconds. `stableForMs` is how long the connection that ended had lasted; 0 when none. */
  next(stableForMs: number): number {
    const { baseMs, capMs, stableMs } = this.#options;
    if (stableForMs >= stableMs) this.#previousMs = 0;
    if (this.#previousMs === 0) {
      this.#previousMs = baseMs;
      return Math.min(capMs, baseMs * (0.1 + 0.4 * this.#random()));
    }
    const upper = Math.max(baseMs, this.#previousMs * 3);
    this.#previousMs = Math.min(capMs, baseMs + this.#random() * (upper - baseMs));
    return this.#previousMs;
  }
}

/**
 * For faults that only a person can cure (wrong password, a client id used twice): long pauses that double, with a fifth
 * of jitter upwards.
 */
export class AlarmBackoff {
  readonly #options: BackoffOptions;
  readonly #random: () => number;
  #nextMs = 0;

  constructor(options: BackoffOptions, random: () => number = Math.random) {
    this.#options = options;
    this.#random = random;
  }

  /** The next pause in milliseconds. `stableForMs` as for `Backoff`. */
  next(stableForMs: number): number {
    const { baseMs, capMs, stableMs } = this.#options;
    const pause = this.#nextMs === 0 || stableForMs >= stableMs ? baseMs : this.#nextMs;
    this.#nextMs = Math.min(capMs, pause * 2);
    return pause * (1 + 0.2 * this.#random());
  }
}
