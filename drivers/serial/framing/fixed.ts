import type { ChecksumOptions } from "./checksum.ts";
import type { FramerEvents } from "./framer.ts";
import { type Measure, WindowFramer } from "./window.ts";

export interface FixedOptions {
  /** The whole telegram, with start, end and checksum. */
  readonly length: number;
  readonly start: Buffer;
  /** Stands before the checksum's place only when there is none. */
  readonly end: Buffer;
  readonly checksum?: ChecksumOptions | undefined;
}

/** Telegrams of one length. Handed on whole but for the checksum, so that columns count as in the manual. */
export class FixedFramer extends WindowFramer {
  readonly #options: FixedOptions;

  constructor(options: FixedOptions, events: FramerEvents) {
    super(options.length, options.checksum, events);
    this.#options = options;
  }

  protected measure(window: Buffer): Measure {
    const { length, start } = this.#options;
    return beginsWith(window, start) ? { length } : "no";
  }

  protected fits(telegram: Buffer): boolean {
    const { end } = this.#options;
    return end.length === 0 || telegram.subarray(-end.length).equals(end);
  }

  protected body(telegram: Buffer): Buffer {
    return telegram;
  }
}

/** Whether as much as there is of `start` stands at the beginning. */
export function beginsWith(window: Buffer, start: Buffer): boolean {
  const seen = Math.min(window.length, start.length);
  return window.subarray(0, seen).equals(start.subarray(0, seen));
}
