/**
 * What became of bytes that are no telegram: `too-long` had no end within `maxBytes`, `checksum` was corrupt,
 * `unfinished` broke off, `noise` stood where a telegram has to begin.
 */
export type FaultKind = "too-long" | "checksum" | "unfinished" | "noise";

export interface FramerEvents {
  /** A telegram without start, end, delimiter and checksum. The bytes are its own. */
  telegram(bytes: Buffer): void;
  /** The first bytes of what was dropped. */
  fault(kind: FaultKind, bytes: Buffer): void;
}

/**
 * Cuts a stream of bytes into telegrams. What comes out depends on the bytes alone, never on the pieces they came in;
 * only `silence` brings in time. Holds at most `maxBytes` and a little.
 */
export abstract class Framer {
  protected readonly events: FramerEvents;

  constructor(events: FramerEvents) {
    this.events = events;
  }

  push(chunk: Uint8Array): void {
    for (const byte of chunk) this.step(byte);
  }

  /** Whether a telegram has begun and has not ended. */
  abstract get pending(): boolean;

  /** Nothing has come for so long that what has begun will not end any more. */
  abstract silence(): void;

  /** Forgets everything, silently. */
  abstract reset(): void;

  protected abstract step(byte: number): void;
}

/** Bytes that are collected one by one, up to a limit. */
export class Collector {
  readonly #most: number;
  #bytes: Buffer;
  #length = 0;

  constructor(most: number) {
    this.#most = most;
    this.#bytes = Buffer.alloc(Math.min(most, 64));
  }

  get length(): number {
    return this.#length;
  }

  /** @returns false when there is no more room, and the byte was not taken. */
  push(byte: number): boolean {
    if (this.#length === this.#most) return false;
    if (this.#length === this.#bytes.length) {
      const larger = Buffer.alloc(Math.min(this.#most, this.#length * 2));
      this.#bytes.copy(larger);
      this.#bytes = larger;
    }
    this.#bytes[this.#length++] = byte;
    return true;
  }

  /** Valid until the next `push`. */
  view(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Drops the first `count` bytes. */
  shift(count: number): void {
    this.#bytes.copyWithin(0, count, this.#length);
    this.#length -= count;
  }

  endsWith(tail: Buffer): boolean {
    const from = this.#length - tail.length;
    if (from < 0) return false;
    // Byte by byte: this is asked for every byte that comes, and nearly always the last one settles it.
    for (let at = tail.length - 1; at >= 0; at--) if (this.#bytes[from + at] !== tail[at]) return false;
    return true;
  }

  clear(): void {
    this.#length = 0;
  }

  /** @returns a copy of everything, and forgets it. */
  take(): Buffer {
    const bytes = Buffer.from(this.view());
    this.#length = 0;
    return bytes;
  }
}
