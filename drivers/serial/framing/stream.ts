import type { FramingOptions } from "../options.ts";
import type { Framer, FramerEvents } from "./framer.ts";
import { makeFramer, silenceMs } from "./make.ts";

/** The bytes of one connection, cut into telegrams; knows the silences between them. */
export class TelegramStream {
  readonly #framer: Framer;
  readonly #silenceMs: number;
  #timer: NodeJS.Timeout | undefined;
  #lastMs = 0;

  constructor(options: FramingOptions, events: FramerEvents) {
    this.#framer = makeFramer(options, events);
    this.#silenceMs = silenceMs(options);
  }

  take(chunk: Uint8Array): void {
    this.#lastMs = performance.now();
    this.#framer.push(chunk);
    if (this.#framer.pending && !this.#timer) this.#watch(this.#silenceMs);
  }

  /** What has begun will not end any more: the line is gone. Leaves no timer. */
  end(): void {
    this.reset();
  }

  /** Forgets what has begun. */
  reset(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#framer.reset();
  }

  /** One timer for many pieces: it looks again when bytes have come meanwhile. */
  #watch(ms: number): void {
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (!this.#framer.pending) return;
      const leftMs = this.#silenceMs - (performance.now() - this.#lastMs);
      if (leftMs > 0) this.#watch(Math.ceil(leftMs));
      else this.#framer.silence();
    }, ms);
  }
}

/** The telegrams in bytes that are all there, for what is sent as well as received. */
export function telegramsIn(bytes: Uint8Array, options: FramingOptions): Buffer[] {
  const telegrams: Buffer[] = [];
  const framer = makeFramer(options, { telegram: (each) => void telegrams.push(each), fault() {} });
  framer.push(bytes);
  if (options.type === "idle-gap") framer.silence();
  return telegrams;
}
