import { crc32 } from "node:zlib";
import type { StreamName } from "../core/record.ts";

/** The store a segment belongs to, as far as its checksums cover it. */
export interface Origin {
  /** 16 bytes as 32 hex digits. */
  readonly store: string;
  readonly stream: StreamName;
  readonly epoch: number;
}

const STREAM_CODE: Readonly<Record<StreamName, number>> = { events: 1, telemetry: 2 };
const TABLE = makeTable();

/** CRC-32 (IEEE) of what every checksum of a segment begins with: store, stream, epoch. */
export function originCrc(origin: Origin): number {
  const head = Buffer.alloc(21);
  head.write(origin.store, "hex");
  head.writeUInt8(STREAM_CODE[origin.stream], 16);
  head.writeUInt32BE(origin.epoch, 17);
  return crc32(head);
}

/** Goes on from `crc` with `bytes`. */
export function moreCrc(crc: number, bytes: Uint8Array): number {
  return crc32(bytes, crc);
}

/**
 * Goes on from `crc` with seq (u64) and the first four bytes of a record as one word. In JavaScript: a native call for twelve bytes
 * costs more than the sum itself.
 */
export function recordHeadCrc(crc: number, seq: number, head: number): number {
  const high = Math.floor(seq / 0x1_0000_0000);
  let sum = wordCrc(~crc, high);
  sum = wordCrc(sum, seq >>> 0);
  return ~wordCrc(sum, head) >>> 0;
}

function wordCrc(sum: number, word: number): number {
  return byteCrc(byteCrc(byteCrc(byteCrc(sum, word >>> 24), word >>> 16), word >>> 8), word);
}

function byteCrc(sum: number, byte: number): number {
  return (TABLE[(sum ^ byte) & 0xff] ?? 0) ^ (sum >>> 8);
}

function makeTable(): Int32Array {
  return Int32Array.from({ length: 256 }, (_, byte) => {
    let sum = byte;
    for (let bit = 0; bit < 8; bit++) sum = sum & 1 ? (sum >>> 1) ^ 0xedb8_8320 : sum >>> 1;
    return sum;
  });
}
