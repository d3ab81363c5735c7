import type { Logger } from "../core/log.ts";
import { errorText } from "./files.ts";

/** Whether the disk takes what it is given. Logs when that changes, not at each attempt. */
export class Health {
  readonly #log: Logger;
  readonly #refusing = new Set<string>();

  constructor(log: Logger) {
    this.#log = log;
  }

  get good(): boolean {
    return this.#refusing.size === 0;
  }
  refused(part: string, error: unknown): void {
    if (this.#refusing.has(part)) return;
    this.#refusing.add(part);
    this.#log.error({ part, reason: errorText(error) }, "disk refuses writes, trying on");
  }
  fine(part: string): void {
    if (this.#refusing.delete(part)) this.#log.info({ part }, "disk takes writes again");
  }
}
