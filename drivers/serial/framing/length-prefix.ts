import { type ChecksumOptions, checksumLength } from "./checksum.ts";
import { beginsWith } from "./fixed.ts";
import type { FramerEvents } from "./framer.ts";
import { type Measure, WindowFramer } from "./window.ts";

export interface LengthPrefixOptions {
  readonly start: Buffer;
  /** Bytes before the length field, start included. */
  readonly offset: number;
  readonly size: 1 | 2 | 4;
  readonly endian: "big" | "little";
  /** What the length counts: what follows its field, or the whole telegram; the checksum is counted in both or, with `trailer`, not. */
  readonly counts: "rest" | "whole";
  /** Bytes at the end that the length does not count. */
  readonly trailer: number;
  /** Whether everything before the content is handed on too. */
  readonly keepHeader: boolean;
  readonly checksum?: ChecksumOptions | undefined;
  readonly maxBytes: number;
}

/** Telegrams that say how long they are. */
export class LengthPrefixFramer extends WindowFramer {
  readonly #options: LengthPrefixOptions;
  readonly #header: number;
  readonly #least: number;

  constructor(options: LengthPrefixOptions, events: FramerEvents) {
    super(options.maxBytes, options.checksum, events);
    this.#options = options;
    this.#header = options.offset + options.size;
    this.#least = this.#header + (options.checksum ? checksumLength(options.checksum) : 0);
  }

  protected measure(window: Buffer): Measure {
    const { start, offset, size, endian, counts, trailer, maxBytes } = this.#options;
    if (!beginsWith(window, start)) return "no";
    if (window.length < this.#header) return "more";
    const said = endian === "big" ? window.readUIntBE(offset, size) : window.readUIntLE(offset, size);
    const length = said + trailer + (counts === "rest" ? this.#header : 0);
    if (length < this.#least) return "no";
    return length > maxBytes ? "too-long" : { length };
  }

  protected fits(): boolean {
    return true;
  }

  protected body(telegram: Buffer): Buffer {
    const { checksum, keepHeader, trailer } = this.#options;
    const tail = Math.max(0, trailer - (checksum ? checksumLength(checksum) : 0));
    const end = Math.max(this.#header, telegram.length - tail);
    return telegram.subarray(keepHeader ? 0 : this.#header, end);
  }
}
