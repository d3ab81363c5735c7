import { monotonicMs } from "./pause.ts";

/**
 * Messages that the far side refused for the moment, each until its time. They hold no place in the window, so that they
 * delay nobody; how many there may be is the caller's to limit.
 */
export class Retries<T> {
  readonly #wake: () => void;
  #waiting: { readonly dueMs: number; readonly what: T }[] = [];
  #timer: NodeJS.Timeout | undefined;

  /** `wake` is called when one may be due. */
  constructor(wake: () => void) {
    this.#wake = wake;
  }

  get size(): number {
    return this.#waiting.length;
  }

  add(what: T, afterMs: number): void {
    const dueMs = monotonicMs() + afterMs;
    const later = this.#waiting.findIndex((one) => one.dueMs > dueMs);
    this.#waiting.splice(later === -1 ? this.#waiting.length : later, 0, { dueMs, what });
    this.#arm();
  }

  /** The one that is due longest, or undefined. */
  take(): T | undefined {
    const first = this.#waiting[0];
    if (first === undefined) return undefined;
    const due = first.dueMs <= monotonicMs();
    if (due) this.#waiting.shift();
    // Also when nothing is due: a timer counts from the turn of the loop it was made in, and may fire early.
    this.#arm();
    return due ? first.what : undefined;
  }

  clear(): void {
    this.#waiting = [];
    clearTimeout(this.#timer);
  }

  #arm(): void {
    clearTimeout(this.#timer);
    const first = this.#waiting[0];
    if (first === undefined) return;
    this.#timer = setTimeout(this.#wake, Math.max(1, Math.ceil(first.dueMs - monotonicMs())));
  }
}

/** Pause before try number `tries` (from 1): doubled each time up to the cap, with half of it as jitter. */
export function retryPause(tries: number, baseMs: number, capMs: number): number {
  const full = Math.min(capMs, baseMs * 2 ** Math.min(20, tries - 1));
  return full * (0.5 + 0.5 * Math.random());
}
