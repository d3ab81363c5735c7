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
    if (this.#bytes.length > 0 && !this.#tooLong) this.events.telegram(this.#bytes.take());
    this.reset();
  }

  reset(): void {
    this.#bytes.clear();
    this.#tooLong = false;
  }

  protected step(byte: number): void {
    if (this.#tooLong || this.#bytes.push(byte)) return;
    this.#tooLong = true;
    this.events.fault("too-long", Buffer.from(this.#bytes.view()));
  }
}
