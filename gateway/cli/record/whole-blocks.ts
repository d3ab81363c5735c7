import { Buffer } from "node:buffer";

const PACKET = 6;

/** Gives a capture on in whole blocks, so that it can be read wherever it breaks off. */
export class WholeBlocks {
  #rest: Buffer = Buffer.alloc(0);
  #bytes = 0;
  #packets = 0;

  /** Bytes given on. */
  get bytes(): number {
    return this.#bytes;
  }
  get packets(): number {
    return this.#packets;
  }

  take(chunk: Buffer): Buffer {
    const all = Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (at + 8 <= all.length) {
      const length = all.readUInt32LE(at + 4);
      if (length < 12 || at + length > all.length) break;
      if (all.readUInt32LE(at) === PACKET) this.#packets++;
      at += length;
    }
    this.#rest = all.subarray(at);
    this.#bytes += at;
    return all.subarray(0, at);
  }
}
