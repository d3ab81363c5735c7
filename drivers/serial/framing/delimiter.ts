import { type ChecksumOptions, checksumFits, checksumLength } from "./checksum.ts";
import { Collector, Framer, type FramerEvents } from "./framer.ts";

export interface DelimiterOptions {
  readonly delimiters: readonly Buffer[];
  readonly checksum?: ChecksumOptions | undefined;
  readonly maxBytes: number;
}

/**
 * Telegrams that end with a delimiter, or one of several. A telegram ends as soon as one is complete; where that is the
 * beginning of a longer one (CR of CR LF), its rest is dropped if it follows. Empty telegrams are none.
 */
export class DelimiterFramer extends Framer {
  readonly #options: DelimiterOptions;
  readonly #longest: number;
  readonly #bytes: Collector;
  /** The last bytes of a telegram that is too long, while its end is awaited. */
  #discarding: Collector | undefined;
  /** What may follow a delimiter and belong to it, and how much of it has come. */
  #rest: Buffer = Buffer.alloc(0);
  #restSeen = 0;

  constructor(options: DelimiterOptions, events: FramerEvents) {
    super(events);
    this.#options = options;
    this.#longest = Math.max(...options.delimiters.map((delimiter) => delimiter.length));
    this.#bytes = new Collector(options.maxBytes + this.#longest);
  }

  get pending(): boolean {
    return this.#bytes.length > 0 || this.#discarding !== undefined;
  }

  silence(): void {
    if (this.#bytes.length > 0) this.events.fault("unfinished", this.#bytes.take());
    this.reset();
  }

  reset(): void {
    this.#bytes.clear();
    this.#discarding = undefined;
    this.#rest = Buffer.alloc(0);
    this.#restSeen = 0;
  }

  protected step(byte: number): void {
    if (this.#rest.length > 0 && this.#isRest(byte)) return;
    if (this.#discarding) this.#discard(byte, this.#discarding);
    else if (this.#bytes.push(byte)) {
      const delimiter = this.#delimiterAt(this.#bytes);
      if (delimiter) this.#end(delimiter);
    } else {
      this.#overflow();
      this.step(byte);
    }
  }

  #isRest(byte: number): boolean {
    if (byte === this.#rest[this.#restSeen]) {
      this.#restSeen++;
      if (this.#restSeen === this.#rest.length) this.#rest = Buffer.alloc(0);
      return true;
    }
    const begun = this.#rest.subarray(0, this.#restSeen);
    this.#rest = Buffer.alloc(0);
    this.push(begun);
    return false;
  }

  #overflow(): void {
    const all = this.#bytes.take();
    const tail = new Collector(this.#longest);
    for (const byte of all.subarray(-(this.#longest - 1) || all.length)) tail.push(byte);
    this.#discarding = tail;
    this.events.fault("too-long", all);
  }

  #discard(byte: number, tail: Collector): void {
    if (tail.length === this.#longest) tail.shift(1);
    tail.push(byte);
    const delimiter = this.#delimiterAt(tail);
    if (!delimiter) return;
    this.#discarding = undefined;
    this.#expectRest(delimiter);
  }

  /** The longest delimiter that these bytes end with. */
  #delimiterAt(bytes: Collector): Buffer | undefined {
    let found: Buffer | undefined;
    for (const delimiter of this.#options.delimiters) {
      if (delimiter.length > (found?.length ?? 0) && bytes.endsWith(delimiter)) found = delimiter;
    }
    return found;
  }

  #end(delimiter: Buffer): void {
    const all = this.#bytes.take();
    const bytes = all.subarray(0, all.length - delimiter.length);
    this.#expectRest(delimiter);
    if (bytes.length === 0) return;
    if (bytes.length > this.#options.maxBytes) this.events.fault("too-long", bytes);
    else this.#give(bytes);
  }

  #give(bytes: Buffer): void {
    const { checksum } = this.#options;
    if (!checksum) {
      this.events.telegram(bytes);
      return;
    }
    const body = bytes.subarray(0, Math.max(0, bytes.length - checksumLength(checksum)));
    if (checksumFits(body, bytes.subarray(body.length), checksum)) this.events.telegram(body);
    else this.events.fault("checksum", bytes);
  }

  #expectRest(delimiter: Buffer): void {
    this.#rest = Buffer.alloc(0);
    this.#restSeen = 0;
    for (const longer of this.#options.delimiters) {
      const rest = longer.subarray(delimiter.length);
      const begins = longer.length > delimiter.length && longer.subarray(0, delimiter.length).equals(delimiter);
      if (begins && rest.length > this.#rest.length) this.#rest = rest;
    }
  }
}
