import { type ChecksumOptions, checksumFits, checksumLength } from "./checksum.ts";
import { Collector, Framer, type FramerEvents } from "./framer.ts";

/** What the bytes at the beginning of the window are. */
export type Measure =
  /** So many bytes make a telegram. */
  | { readonly length: number }
  /** Not to be known before there are more bytes. */
  | "more"
  /** No telegram begins here. */
  | "no"
  /** One would begin here, but it is longer than any may be. */
  | "too-long";

const MORE_THAN_KEPT = 64;

/**
 * Telegrams whose length is known from their first bytes. Where none can begin, or the one that did is corrupt, the window
 * moves on by one byte until one fits again.
 */
export abstract class WindowFramer extends Framer {
  readonly #window: Collector;
  readonly #dropped = new Collector(MORE_THAN_KEPT);
  #lost = false;
  protected readonly checksum: ChecksumOptions | undefined;

  constructor(maxBytes: number, checksum: ChecksumOptions | undefined, events: FramerEvents) {
    super(events);
    this.checksum = checksum;
    this.#window = new Collector(maxBytes);
  }

  protected abstract measure(window: Buffer): Measure;
  /** Whether a whole telegram has what must be in it besides its checksum. */
  protected abstract fits(telegram: Buffer): boolean;
  /** What of a telegram without its checksum is handed on. */
  protected abstract body(telegram: Buffer): Buffer;

  get pending(): boolean {
    return this.#window.length > 0 || this.#dropped.length > 0;
  }

  silence(): void {
    this.#tellNoise();
    if (this.#window.length > 0 && !this.#lost) this.events.fault("unfinished", this.#window.take());
    this.reset();
  }

  reset(): void {
    this.#window.clear();
    this.#dropped.clear();
    this.#lost = false;
  }

  protected step(byte: number): void {
    this.#window.push(byte);
    while (this.#window.length > 0) {
      const window = this.#window.view();
      const measure = this.measure(window);
      if (measure === "more") return;
      if (typeof measure === "string") this.#skip(measure === "too-long" ? "too-long" : undefined);
      else if (window.length < measure.length) return;
      else this.#complete(window.subarray(0, measure.length));
    }
  }

  #complete(telegram: Buffer): void {
    if (!this.fits(telegram)) {
      this.#skip(undefined);
      return;
    }
    const covered = this.checksum ? telegram.subarray(0, telegram.length - checksumLength(this.checksum)) : telegram;
    if (this.checksum && !checksumFits(covered, telegram.subarray(covered.length), this.checksum)) {
      this.#skip("checksum", telegram);
      return;
    }
    this.#tellNoise();
    this.#lost = false;
    const body = Buffer.from(this.body(covered));
    this.#window.shift(telegram.length);
    this.events.telegram(body);
  }

  /** One byte is no beginning. While the way is being looked for, only the first reason is told. */
  #skip(kind: "too-long" | "checksum" | undefined, bytes: Buffer = this.#window.view()): void {
    if (kind && !this.#lost) {
      this.#tellNoise();
      this.#lost = true;
      this.events.fault(kind, Buffer.from(bytes));
    }
    if (!this.#lost) this.#dropped.push(this.#window.view()[0] ?? 0);
    this.#window.shift(1);
  }

  #tellNoise(): void {
    if (this.#dropped.length > 0) this.events.fault("noise", this.#dropped.take());
  }
}
