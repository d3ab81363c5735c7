import { NotConnectedError } from "../core/errors.ts";
import type { Work } from "../core/work.ts";

/** A driver went on although its signal had aborted and its time of grace was over. */
export class UnheededError extends NotConnectedError {
  constructor(cause: unknown) {
    super("the driver does not give up", { cause });
  }
}

/** One call that is not given up may be an adapter that was pulled: the link is made anew. A second one is a fault of ours. */
const MOST_UNHEEDED = 2;

/**
 * Keeps whether the calls of a link's drivers end, over all its connections. An answer, a timeout and a refusal are all an end;
 * so a device that is dead, or a port that is not there, is never stuck.
 */
export class Headway {
  readonly #nowMs: () => number;
  #open = 0;
  #sinceMs = 0;
  #unheeded = 0;
  #unheededSinceMs = 0;
  #brokenMs: number | undefined;

  /** @param nowMs the monotonic clock. */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  begun(): void {
    if (this.#open++ === 0) this.#sinceMs = this.#nowMs();
  }

  /** A call ended, well or badly. */
  ended(): void {
    this.#open--;
    this.#sinceMs = this.#nowMs();
    this.#unheeded = 0;
  }

  /** A call was given up from outside, for it does not end. */
  abandoned(): void {
    this.#open--;
    this.#count(this.#sinceMs);
    this.#sinceMs = this.#nowMs();
  }

  /** A connection could not be made. */
  notConnected(error: unknown): void {
    if (error instanceof UnheededError) this.#count(this.#nowMs());
    else this.#unheeded = 0;
  }

  /** Nobody looks after the link any more. */
  broken(): void {
    this.#brokenMs ??= this.#nowMs();
  }

  /** @param limitMs within which each call ends, whatever a driver does. */
  work(limitMs: number): Work | undefined {
    const now = this.#nowMs();
    if (this.#brokenMs !== undefined)
      return { doing: "its supervision ended", forMs: now - this.#brokenMs, mayTakeMs: 0 };
    if (this.#unheeded >= MOST_UNHEEDED)
      return { doing: "its driver does not give up calls", forMs: now - this.#unheededSinceMs, mayTakeMs: 0 };
    if (this.#open === 0) return undefined;
    return { doing: "no call of its driver ends", forMs: now - this.#sinceMs, mayTakeMs: 2 * limitMs };
  }

  #count(sinceMs: number): void {
    if (this.#unheeded++ === 0) this.#unheededSinceMs = sinceMs;
  }
}
