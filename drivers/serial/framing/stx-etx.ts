import { type ChecksumOptions, checksumFits, checksumLength } from "./checksum.ts";
import { Collector, Framer, type FramerEvents } from "./framer.ts";

export const COVERS = ["body+end", "body", "start+body", "start+body+end"] as const;

export interface StxEtxOptions {
  readonly start: Buffer;
  readonly end: Buffer;
  /** In the body the byte after it is meant as it is; where `end` is this byte and another, those two end the telegram. */
  readonly escape?: number | undefined;
  readonly checksum?:
    | (ChecksumOptions & { readonly covers: (typeof COVERS)[number]; readonly place: "after-end" | "before-end" })
    | undefined;
  readonly maxBytes: number;
}

/** Between telegrams these are no noise: line ends, blanks, and the NUL of a line that wakes up. */
const BETWEEN: ReadonlySet<number> = new Set([0x00, 0x09, 0x0a, 0x0d, 0x20]);
const KEPT = 64;

/** Telegrams between a start and an end, with or without a checksum. A start within one means that its end was lost. */
export class StxEtxFramer extends Framer {
  readonly #options: StxEtxOptions;
  readonly #sumLength: number;
  readonly #begin: Collector;
  readonly #noise = new Collector(KEPT);
  readonly #body: Collector;
  /** The same as it came, with its escapes and its end. */
  readonly #raw: Collector;
  readonly #sum: Collector;
  #state: "outside" | "inside" | "escaped" | "sum" = "outside";

  constructor(options: StxEtxOptions, events: FramerEvents) {
    super(events);
    this.#options = options;
    this.#sumLength = options.checksum ? checksumLength(options.checksum) : 0;
    this.#begin = new Collector(options.start.length);
    const extra = options.end.length + options.start.length + this.#sumLength;
    this.#body = new Collector(options.maxBytes + extra);
    this.#raw = new Collector(2 * options.maxBytes + extra);
    this.#sum = new Collector(Math.max(1, this.#sumLength));
  }

  get pending(): boolean {
    return this.#state !== "outside" || this.#begin.length > 0 || this.#noise.length > 0;
  }

  silence(): void {
    for (const byte of this.#begin.take()) this.#outside(byte);
    this.#tellNoise();
    if (this.#state !== "outside") this.events.fault("unfinished", this.#raw.take());
    this.reset();
  }

  reset(): void {
    for (const part of [this.#begin, this.#noise, this.#body, this.#raw, this.#sum]) part.clear();
    this.#state = "outside";
  }

  protected step(byte: number): void {
    if (this.#state === "outside") this.#hunt(byte);
    else if (this.#state === "sum") this.#collectSum(byte);
    else this.#collect(byte);
  }

  #hunt(byte: number): void {
    const { start } = this.#options;
    this.#begin.push(byte);
    while (this.#begin.length > 0 && !start.subarray(0, this.#begin.length).equals(this.#begin.view())) {
      this.#outside(this.#begin.view()[0] ?? 0);
      this.#begin.shift(1);
    }
    if (this.#begin.length === start.length) this.#enter();
  }

  #outside(byte: number): void {
    if (!BETWEEN.has(byte)) this.#noise.push(byte);
  }

  #enter(): void {
    this.#tellNoise();
    this.reset();
    this.#state = "inside";
  }

  #collect(byte: number): void {
    const { start, end, escape: mark } = this.#options;
    this.#raw.push(byte);
    if (this.#state === "escaped") this.#escaped(byte);
    else if (byte === mark) this.#state = "escaped";
    else {
      this.#body.push(byte);
      const ends = mark !== end[0] && this.#body.endsWith(end);
      if (ends) this.#end(this.#body.length - end.length);
      else if (mark !== start[0] && this.#body.endsWith(start)) this.#restart();
    }
    if (this.#state !== "outside" && this.#state !== "sum" && this.#body.length > this.#limit()) this.#tooLong();
  }

  #escaped(byte: number): void {
    const { start, end, escape: mark } = this.#options;
    this.#state = "inside";
    if (mark === end[0] && byte === end[1]) this.#end(this.#body.length);
    else if (mark === start[0] && byte === start[1]) this.#restart();
    else this.#body.push(byte);
  }

  #limit(): number {
    const { maxBytes, checksum, end } = this.#options;
    return maxBytes + end.length - 1 + (checksum?.place === "before-end" ? this.#sumLength : 0);
  }

  #end(length: number): void {
    const { checksum } = this.#options;
    const body = Buffer.from(this.#body.view().subarray(0, length));
    this.#body.clear();
    if (!checksum) this.#give(body);
    else if (checksum.place === "after-end") {
      for (const byte of body) this.#body.push(byte);
      this.#state = "sum";
    } else {
      const content = body.subarray(0, Math.max(0, body.length - this.#sumLength));
      this.#judge(content, content, body.subarray(content.length));
    }
  }

  #collectSum(byte: number): void {
    this.#sum.push(byte);
    if (this.#sum.length < this.#sumLength) return;
    const body = this.#body.take();
    // The sum is over what was on the wire, escapes included.
    const sent = this.#raw.view().subarray(0, this.#raw.length - this.#options.end.length);
    this.#judge(body, Buffer.from(sent), this.#sum.take());
  }

  #judge(body: Buffer, sent: Buffer, sum: Buffer): void {
    const { checksum, start, end } = this.#options;
    if (!checksum) return;
    const { covers } = checksum;
    const covered = Buffer.concat([
      covers.startsWith("start") ? start : Buffer.alloc(0),
      sent,
      covers.endsWith("end") ? end : Buffer.alloc(0),
    ]);
    if (checksumFits(covered, sum, checksum)) {
      this.#give(body);
      return;
    }
    this.reset();
    this.events.fault("checksum", Buffer.concat([body, sum]));
    // An end that was none: what was taken for the sum may be the next start.
    if (checksum.place === "after-end" && sum.includes(start[0] ?? 0)) this.push(sum);
  }

  #give(body: Buffer): void {
    this.reset();
    if (body.length > 0) this.events.telegram(body);
  }

  #restart(): void {
    const cut = Buffer.from(this.#raw.view());
    this.#enter();
    this.events.fault("unfinished", cut);
  }

  #tooLong(): void {
    const first = Buffer.from(this.#body.view());
    this.reset();
    this.events.fault("too-long", first);
  }

  #tellNoise(): void {
    if (this.#noise.length > 0) this.events.fault("noise", this.#noise.take());
  }
}
