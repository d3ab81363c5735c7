import { messageOf } from "./core/errors.ts";
import type { Logger } from "./core/log.ts";

/** The program stops within 10 s, whatever a part does. */
const STOP_MS = 9_000;
const LISTEN_AGAIN_MS = 10_000;

/** The parts that were started, in their order: they stop in reverse, so that nothing produces what nobody takes any more. */
export class StartedParts {
  readonly #log: Logger;
  readonly #parts: { readonly name: string; readonly stop: () => Promise<void> }[] = [];

  constructor(log: Logger) {
    this.#log = log;
  }

  has(name: string): boolean {
    return this.#parts.some((part) => part.name === name);
  }

  began(name: string, stop: () => Promise<void>): void {
    this.#parts.push({ name, stop });
  }

  /**
   * Starts a part that listens. A port that is taken, after a power cut by whoever was quicker, must not keep the lines
   * from being polled: it is told as an error, and tried again until it is free.
   */
  async listen(name: string, part: { start(): Promise<void>; stop(): Promise<void> }): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const attempt = async (first: boolean): Promise<void> => {
      try {
        await part.start();
        if (!first) this.#log.info({ part: name }, "listens now");
      } catch (error) {
        if (first) {
          const fields = { part: name, error: messageOf(error), retryMs: LISTEN_AGAIN_MS };
          this.#log.error(fields, "cannot listen; trying again");
        }
        timer = setTimeout(() => void attempt(false), LISTEN_AGAIN_MS);
      }
    };
    await attempt(true);
    this.began(name, async () => {
      clearTimeout(timer);
      await part.stop();
    });
  }

  /** Never rejects; a part that takes too long is left. */
  async stop(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<"late">((resolve) => {
      timer = setTimeout(() => resolve("late"), STOP_MS);
    });
    for (const { name, stop } of this.#parts.splice(0).reverse()) {
      if ((await Promise.race([stop(), late])) === "late") {
        this.#log.error({ part: name }, "a part did not stop in time");
        break;
      }
    }
    clearTimeout(timer);
  }
}
