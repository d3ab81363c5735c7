/** Something that readers wait for; `ring` wakes all who wait. */
export class Wakeup {
  readonly #waiting = new Set<() => void>();

  ring(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const wake of waiting) wake();
  }

  /** Resolves at the next ring. Rejects with `signal.reason`. */
  wait(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const aborted = () => {
        this.#waiting.delete(rung);
        reject(signal.reason);
      };
      const rung = () => {
        signal.removeEventListener("abort", aborted);
        resolve();
      };
      if (signal.aborted) return reject(signal.reason);
      signal.addEventListener("abort", aborted, { once: true });
      this.#waiting.add(rung);
    });
  }
}
