import type { HistogramRow } from "../core/metrics.ts";
import type { Part } from "./job.ts";
import { monotonicMs } from "./pause.ts";

/**
 * How long the far side takes to acknowledge. Only one message at a time is timed, so that it costs nothing with thousands a
 * second, and the figure is none the worse.
 */
export class AckProbe {
  readonly #row: HistogramRow;
  #part: Part | undefined;
  #sentMs = 0;

  constructor(row: HistogramRow) {
    this.#row = row;
  }

  sent(part: Part): void {
    if (this.#part !== undefined) return;
    this.#part = part;
    this.#sentMs = monotonicMs();
  }

  answered(part: Part, acknowledged: boolean): void {
    if (part !== this.#part) return;
    this.#part = undefined;
    if (acknowledged) this.#row.observe((monotonicMs() - this.#sentMs) / 1000);
  }
}
