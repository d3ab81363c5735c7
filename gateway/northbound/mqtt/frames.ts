import { Buffer } from "node:buffer";

/** The server's stream broke a rule of MQTT: the connection cannot be used any more. */
export class MalformedError extends Error {
  override readonly name = "MalformedError";
}

const PUBLISH = 3;
/** Enough for the fixed header of a PUBLISH, its topic and its packet identifier (3.3.1, 3.3.2). */
export const HEAD_BYTES = 5 + 2 + 65_535 + 2;

/**
 * Cuts a stream of bytes into MQTT control packets (MQTT 2.1). Holds at most one unfinished packet, of at most `maxBytes`:
 * a server cannot make us keep more than that.
 */
export class FrameReader {
  readonly #maxBytes: number;
  readonly #onFrame: (frame: Buffer) => void;
  readonly #onTooLong: ((head: Buffer, size: number) => void) | undefined;
  #rest: Buffer | undefined;
  /** Bytes of a packet that is too long, still to be passed over. */
  #toSkip = 0;
  #held = false;

  /**
   * `onFrame` is given each whole packet, header included; the bytes are only its own during the call. A packet that is too
   * long is passed over where `onTooLong` is given: it gets the packet's beginning, `HEAD_BYTES` or all of it.
   */
  constructor(maxBytes: number, onFrame: (frame: Buffer) => void, onTooLong?: (head: Buffer, size: number) => void) {
    this.#maxBytes = maxBytes;
    this.#onFrame = onFrame;
    this.#onTooLong = onTooLong;
  }

  /** From now on what comes is kept back, from within `onFrame` too. The caller sees to it that little comes. */
  hold(): void {
    this.#held = true;
  }

  /** Gives what was kept back, and what comes. @throws as `push`. */
  release(): void {
    this.#held = false;
    const rest = this.#rest;
    this.#rest = undefined;
    if (rest !== undefined) this.push(rest);
  }

  /** @throws MalformedError when a length cannot be right; whatever `onFrame` throws. */
  push(chunk: Buffer): void {
    const data = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = undefined;
    let at = Math.min(this.#toSkip, data.length);
    this.#toSkip -= at;
    while (at < data.length && !this.#held) {
      const size = frameSize(data, at);
      if (size > this.#maxBytes) {
        const head = data.subarray(at, at + Math.min(size, HEAD_BYTES));
        if (!this.#onTooLong || !isPublish(data[at]))
          throw new MalformedError(`a packet of ${size} bytes, more than was announced`);
        if (head.length < Math.min(size, HEAD_BYTES)) break;
        this.#onTooLong(head, size);
        this.#toSkip = Math.max(0, at + size - data.length);
        at = Math.min(at + size, data.length);
        continue;
      }
      if (size === 0 || at + size > data.length) break;
      this.#onFrame(data.subarray(at, at + size));
      at += size;
    }
    if (at < data.length) this.#rest = data.subarray(at);
  }
}

function isPublish(first: number | undefined): boolean {
  return first !== undefined && first >> 4 === PUBLISH;
}

/** Size of the packet that begins at `at`, header included; 0 when its header is not complete. */
function frameSize(data: Buffer, at: number): number {
  let length = 0;
  // Variable byte integer: 1.5.5, at most four bytes.
  for (let i = 0; i < 4; i++) {
    const byte = data[at + 1 + i];
    if (byte === undefined) return 0;
    length += (byte & 0x7f) * 128 ** i;
    if ((byte & 0x80) === 0) return 2 + i + length;
  }
  throw new MalformedError("a packet length of more than four bytes");
}
