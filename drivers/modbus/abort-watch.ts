/** More signals than that are looked through for those that nobody waits with any more. */
const MOST_IDLE = 64;

/**
 * One listener for each signal, however many questions are asked with it one after the other: to add and remove a listener
 * costs as much as a question.
 */
export class AbortWatch {
  readonly #waiting = new Map<AbortSignal, Set<(reason: unknown) => void>>();
  readonly #listeners = new Map<AbortSignal, () => void>();

  /** Calls `aborted` once when the signal aborts, unless it was removed. The signal has not aborted yet. */
  add(signal: AbortSignal, aborted: (reason: unknown) => void): void {
    const known = this.#waiting.get(signal);
    if (known) known.add(aborted);
    else this.#listen(signal, aborted);
  }

  remove(signal: AbortSignal, aborted: (reason: unknown) => void): void {
    this.#waiting.get(signal)?.delete(aborted);
  }

  /** Leaves no listener. */
  stop(): void {
    for (const signal of [...this.#listeners.keys()]) this.#leave(signal);
  }

  #listen(signal: AbortSignal, aborted: (reason: unknown) => void): void {
    if (this.#waiting.size >= MOST_IDLE) {
      for (const [other, waiting] of [...this.#waiting]) if (waiting.size === 0) this.#leave(other);
    }
    const waiting = new Set([aborted]);
    const onAbort = () => {
      for (const each of waiting) each(signal.reason);
      this.#leave(signal);
    };
    this.#waiting.set(signal, waiting);
    this.#listeners.set(signal, onAbort);
    signal.addEventListener("abort", onAbort, { once: true });
  }

  #leave(signal: AbortSignal): void {
    const listener = this.#listeners.get(signal);
    if (listener) signal.removeEventListener("abort", listener);
    this.#listeners.delete(signal);
    this.#waiting.delete(signal);
  }
}
