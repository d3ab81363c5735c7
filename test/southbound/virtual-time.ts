import type { Clock, Instant } from "../../gateway/core/clock.ts";
import type { Timers } from "../../gateway/southbound/timers.ts";

const WALL_MS = 1_763_800_000_000;

/** Time that passes only when told to, for everything that takes its time from a Clock and Timers. */
export class VirtualTime implements Clock, Timers {
  readonly bootId = "00000000-0000-0000-0000-000000000000";
  #nowMs = 1_000;
  #timers: { atMs: number; run: () => void }[] = [];

  now(): Instant {
    return { wallMs: WALL_MS + this.#nowMs, monoMs: this.#nowMs, clock: "synced" };
  }

  nowMs(): number {
    return this.#nowMs;
  }

  /** Timers that have neither run nor been cancelled. */
  get pending(): number {
    return this.#timers.length;
  }

  after(delayMs: number, run: () => void): () => void {
    const timer = { atMs: this.#nowMs + delayMs, run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((each) => each !== timer);
    };
  }

  /** Lets `ms` pass: timers run in their order, and what they set off runs before the next one. */
  async pass(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    await settled();
    for (;;) {
      const next = this.#timers.reduce((a, b) => (b.atMs < a.atMs ? b : a), {
        atMs: Number.POSITIVE_INFINITY,
        run() {},
      });
      if (next.atMs > untilMs) break;
      this.#timers = this.#timers.filter((each) => each !== next);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.run();
      await settled();
    }
    this.#nowMs = untilMs;
  }
}

/** Until every promise that can go on has gone on. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
