import type { Logger } from "../core/log.ts";

const PERIOD_MS = 60_000;
const MAX_KEYS = 1000;

/** Warnings that clients can provoke at will: the first of a key at once, then one a minute with how many it stands for. */
export class LogThrottle {
  readonly #log: Logger;
  readonly #monotonic: () => number;
  readonly #seen = new Map<string, { since: number; suppressed: number }>();

  constructor(log: Logger, monotonic: () => number) {
    this.#log = log;
    this.#monotonic = monotonic;
  }

  warn(key: string, fields: object, message: string): void {
    const now = this.#monotonic();
    const seen = this.#seen.get(key);
    if (seen && now - seen.since < PERIOD_MS) {
      seen.suppressed += 1;
      return;
    }
    if (!seen && this.#seen.size >= MAX_KEYS) this.#seen.clear();
    this.#seen.set(key, { since: now, suppressed: 0 });
    this.#log.warn(seen && seen.suppressed > 0 ? { ...fields, suppressed: seen.suppressed } : fields, message);
  }
}
