import { Collector, Framer, type FramerEvents } from "./framer.ts";

/** Telegrams that end with a silence, and nothing else. The only framing that needs `silence` to give one. */
export class IdleGapFramer extends Framer {
  readonly #bytes: Collector;
  #tooLong = false;

  constructor(maxBytes: number, events: FramerEvents) {
    super(events);
    this.#bytes = new Collector(maxBytes);
  }

  get pending(): boolean {
    return this.#bytes.length > 0;
  }

  silence(): void {
    if (this.#bytes.length === 0) return;
    const tooLong = this.#tooLong;
    this.#tooLong = false;
    if (tooLong) this.events.fault("too-long", this.#bytes.take());
    else this.events.telegram(this.#bytes.take());
  }

  reset(): void {
    this.#bytes.clear();
    this.#tooLong = false;
  }

  protected step(byte: number): void {
    if (!this.#bytes.push(byte)) this.#tooLong = true;
  }
}
