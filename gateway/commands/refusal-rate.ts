import type { Clock } from "../core/clock.ts";
import { pause } from "./pause.ts";

/** Answers to what is refused, per second; a flood waits for its turn, and with it whoever sends it. */
const PER_S = 20;

export class RefusalRate {
  readonly #clock: Clock;
  #left = PER_S;
  #refilledMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Resolves when one more may be refused, or when aborted. */
  async turn(signal: AbortSignal): Promise<void> {
    while (!this.take() && !signal.aborted) await pause(1000 / PER_S, signal);
  }

  /** Whether one more may be refused now; it counts. */
  take(): boolean {
    const { monoMs } = this.#clock.now();
    const gained = ((monoMs - this.#refilledMs) / 1000) * PER_S;
    this.#left = Math.min(PER_S, this.#left + gained);
    this.#refilledMs = monoMs;
    if (this.#left < 1) return false;
    this.#left--;
    return true;
  }
}
