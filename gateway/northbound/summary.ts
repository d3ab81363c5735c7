import type { Logger } from "../core/log.ts";
import { monotonicMs } from "./pause.ts";

const EVERY_MS = 60_000;

/** Logs a fault when it is new, and then at most once a minute with how often it came since. */
export class Summary {
  readonly #log: Logger;
  #key = "";
  #loggedAt = 0;
  #since = 0;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** `key` tells one fault from another; `fields` and `message` are logged. */
  report(level: "warn" | "error", key: string, fields: object, message: string): void {
    const now = monotonicMs();
    this.#since++;
    if (key === this.#key && now - this.#loggedAt < EVERY_MS) return;
    this.#log[level]({ ...fields, times: this.#since }, message);
    this.#key = key;
    this.#loggedAt = now;
    this.#since = 0;
  }

  /** The fault is over: the next one is new. True when there was one. */
  clear(): boolean {
    const had = this.#key !== "";
    this.#key = "";
    this.#since = 0;
    return had;
  }
}
