import { bytesOf } from "../bytes.ts";
import { checksumOf } from "../framing/checksum.ts";
import type { SimulatorOptions, TelegramOptions, ValueOptions } from "./options.ts";

/** More than any question has. */
const MAX_QUESTION = 256;
const PLACE = /\{(\w+)\}/g;

/** Says its telegrams, by itself and when asked, with values that move. */
export class SpeakingDevice {
  readonly #options: SimulatorOptions;
  readonly #write: (bytes: Buffer) => void;
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #heard = new Map<number, Buffer>();
  #said = 0;

  constructor(options: SimulatorOptions, write: (bytes: Buffer) => void) {
    this.#options = options;
    this.#write = write;
  }

  start(): void {
    for (const telegram of this.#options.telegrams) {
      if (telegram.every === undefined) continue;
      this.#timers.push(setInterval(() => this.#say(telegram), telegram.every));
    }
  }

  stop(): void {
    for (const timer of this.#timers) clearInterval(timer);
  }

  left(peer: number): void {
    this.#heard.delete(peer);
  }

  /** Answers each question as soon as it is whole; anything before it is passed over. */
  hear(chunk: Buffer, peer: number): void {
    let heard = this.#heard.get(peer) ?? Buffer.alloc(0);
    for (const byte of chunk) {
      heard = Buffer.concat([heard, Buffer.from([byte])]).subarray(-MAX_QUESTION);
      const asked = this.#options.telegrams.find(({ ask }) => ask !== undefined && endsWith(heard, bytesOf(ask)));
      if (!asked) continue;
      heard = Buffer.alloc(0);
      this.#say(asked);
    }
    this.#heard.set(peer, heard);
  }

  #say({ say, checksum, skip }: TelegramOptions): void {
    const nowMs = Date.now();
    this.#said++;
    const text = bytesOf(say).toString("latin1");
    const filled = text.replaceAll(PLACE, (place, name: string) => {
      const value = Object.hasOwn(this.#options.values, name) ? this.#options.values[name] : undefined;
      return value ? textOf(value, nowMs, this.#said) : place;
    });
    const bytes = Buffer.from(filled, "latin1");
    this.#write(checksum ? Buffer.concat([bytes, checksumOf(bytes.subarray(skip), checksum)]) : bytes);
  }
}

function endsWith(bytes: Buffer, tail: Buffer): boolean {
  return bytes.length >= tail.length && bytes.subarray(-tail.length).equals(tail);
}

function textOf({ min, max, period, decimals, width, list }: ValueOptions, nowMs: number, said: number): string {
  if (list) return list[said % list.length] ?? "";
  const level = (1 - Math.cos((2 * Math.PI * nowMs) / period)) / 2;
  return (min + level * (max - min)).toFixed(decimals).padStart(width);
}
