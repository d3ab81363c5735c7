/**
 * Time limits of what is under way, on one timer: a timer for each question costs more than finding the next limit when one
 * has passed. Nothing is left behind when all are taken back.
 */
export class Deadlines {
  readonly #limits = new Map<() => void, number>();
  #timer: NodeJS.Timeout | undefined;
  #atMs = Number.POSITIVE_INFINITY;

  /** Calls `late` once, not before `ms` are over, unless it was taken back. */
  set(late: () => void, ms: number): void {
    const atMs = performance.now() + ms;
    this.#limits.set(late, atMs);
    if (atMs < this.#atMs) this.#wake(atMs);
  }

  clear(late: () => void): void {
    this.#limits.delete(late);
  }

  /** When nothing more is asked. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#atMs = Number.POSITIVE_INFINITY;
  }

  #wake(atMs: number): void {
    clearTimeout(this.#timer);
    this.#atMs = atMs;
    this.#timer = setTimeout(() => this.#look(), Math.ceil(atMs - performance.now()));
  }

  #look(): void {
    const nowMs = performance.now();
    this.#atMs = Number.POSITIVE_INFINITY;
    for (const [late, atMs] of [...this.#limits]) {
      if (atMs > nowMs || !this.#limits.delete(late)) continue;
      late();
    }
    const next = Math.min(...this.#limits.values());
    if (next < this.#atMs) this.#wake(next);
  }
}
