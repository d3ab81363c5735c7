export interface BackoffOptions {
  /** Least pause, and the first one's order of size, in milliseconds. */
  readonly baseMs: number;
  /** Greatest pause in milliseconds. */
  readonly capMs: number;
  /** A connection must have lasted this long before the pauses begin anew. */
  readonly stableMs: number;
}

/** The least pause grows to this many times the base. */
const LEAST_GROWS_TO = 12;

/**
 * Decorrelated jitter: each pause is drawn between a floor and three times the one before, up to the cap, so that a
 * fleet that lost its server together does not come back together. The floor is the base, twice the base, … so that luck
 * never makes it more than 60 attempts in ten minutes. The first pause after a stable connection is short.
 */
export class Backoff {
  readonly #options: BackoffOptions;
  readonly #random: () => number;
  #previousMs = 0;
  #inRow = 0;

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
      this.#inRow = 0;
      return Math.min(capMs, baseMs * (0.1 + 0.4 * this.#random()));
    }
    this.#inRow++;
    const lower = baseMs * Math.min(this.#inRow, LEAST_GROWS_TO);
    const upper = Math.max(lower, this.#previousMs * 3);
    this.#previousMs = Math.min(capMs, lower + this.#random() * (upper - lower));
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
