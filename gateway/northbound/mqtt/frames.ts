import { Buffer } from "node:buffer";

/** The server's stream broke a rule of MQTT: the connection cannot be used any more. */
export class MalformedError extends Error {
  override readonly name = "MalformedError";
}

/**
 * Cuts a stream of bytes into MQTT control packets (MQTT 2.1). Holds at most one unfinished packet, of at most `maxBytes`:
 * a server cannot make us keep more than that.
 */
export class FrameReader {
  readonly #maxBytes: number;
  readonly #onFrame: (frame: Buffer) => void;
  #rest: Buffer | undefined;

  /** `onFrame` is given each whole packet, header included; the bytes are only its own during the call. */
  constructor(maxBytes: number, onFrame: (frame: Buffer) => void) {
    this.#maxBytes = maxBytes;
    this.#onFrame = onFrame;
  }

  /** @throws MalformedError when a length cannot be right; whatever `onFrame` throws. */
  push(chunk: Buffer): void {
    const data = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = undefined;
    let at = 0;
    while (at < data.length) {
      const size = frameSize(data, at);
      if (size > this.#maxBytes) throw new MalformedError(`a packet of ${size} bytes, more than was announced`);
      if (size === 0 || at + size > data.length) break;
      this.#onFrame(data.subarray(at, at + size));
      at += size;
    }
    if (at < data.length) this.#rest = data.subarray(at);
  }
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
