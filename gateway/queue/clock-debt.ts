/**
 * Boots of which one uplink was given records without a known time: it is owed a clock record for each, as soon as the
 * offset is known. Stored with the cursors, so that it is on disk before those records count as acknowledged.
 */
export class ClockDebt {
  readonly #boots = new Set<string>();
  readonly #listeners = new Set<() => void>();

  /** Out of the content of a cursor file. */
  static of(content: unknown): ClockDebt {
    const debt = new ClockDebt();
    const found = typeof content === "object" && content !== null && "unsynced" in content ? content.unsynced : [];
    if (Array.isArray(found)) for (const bootId of found) if (typeof bootId === "string") debt.add(bootId);
    return debt;
  }

  get all(): readonly string[] {
    return [...this.#boots];
  }
  add(bootId: string): void {
    this.#boots.add(bootId);
  }
  /** @returns whether it was owed. */
  settle(bootId: string): boolean {
    return this.#boots.delete(bootId);
  }
  /** Forgets boots whose offset can never become known. */
  prune(mayKnow: (bootId: string) => boolean): void {
    for (const bootId of this.#boots) if (!mayKnow(bootId)) this.#boots.delete(bootId);
  }

  onRing(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
  /** An offset has become known. */
  ring(): void {
    if (this.#boots.size > 0) for (const listener of [...this.#listeners]) listener();
  }

  toJSON(): readonly string[] {
    return this.all;
  }
}
