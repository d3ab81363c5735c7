/**
 * For how long an uplink that nobody opens any more is owed what it is owed. Stored with its cursors. Times are those of
 * `ClockKeeper.ranMs`.
 */
export class Retention {
  #retainMs: number | undefined;
  #leftMs: number | undefined;

  /** Out of the content of a cursor file. */
  static of(content: unknown): Retention {
    const retention = new Retention();
    if (typeof content !== "object" || content === null || !("retention" in content)) return retention;
    const found = content.retention as { retainMs?: unknown; leftMs?: unknown } | null;
    if (typeof found?.retainMs === "number") retention.#retainMs = found.retainMs;
    if (typeof found?.leftMs === "number") retention.#leftMs = found.leftMs;
    return retention;
  }

  /** Somebody has opened it. */
  use(retainMs: number | undefined): void {
    this.#retainMs = retainMs;
    this.#leftMs = undefined;
  }

  /** Nobody has opened it in this run. Gives whether that is known since now only, and whether its time is over. */
  left(ranMs: number): { readonly since: boolean; readonly over: boolean } {
    const since = this.#leftMs === undefined;
    this.#leftMs = Math.min(this.#leftMs ?? ranMs, ranMs);
    return { since, over: this.#retainMs !== undefined && ranMs - this.#leftMs >= this.#retainMs };
  }

  toJSON(): { readonly retainMs: number | undefined; readonly leftMs: number | undefined } {
    return { retainMs: this.#retainMs, leftMs: this.#leftMs };
  }
}
