import { crcFits } from "../wire.ts";

/** What stands in received bytes: a frame of `length` bytes, one with a bad checksum, the beginning of one, or none. */
export type Piece =
  | { readonly kind: "frame" | "corrupt"; readonly length: number }
  | { readonly kind: "partial" | "none" };

const EXCEPTION = 5;
const WRITE_ANSWER = 8;

/** Reads an answer to functions 1 to 6, 15 and 16, or an exception, by its own length and CRC; silence has no part. */
export function answerAt(bytes: Buffer, at: number): Piece {
  const unit = bytes[at];
  const code = bytes[at + 1];
  if (unit === undefined) return { kind: "partial" };
  if (unit > 247) return { kind: "none" };
  if (code === undefined) return { kind: "partial" };
  const length = lengthOf(code, bytes[at + 2]);
  if (length === undefined) return { kind: "none" };
  if (bytes.length - at < length) return { kind: "partial" };
  return { kind: crcFits(bytes.subarray(at, at + length)) ? "frame" : "corrupt", length };
}

function lengthOf(code: number, third: number | undefined): number | undefined {
  if (code & 0x80) return EXCEPTION;
  if (code >= 1 && code <= 4) return 5 + (third ?? 0);
  return code === 5 || code === 6 || code === 15 || code === 16 ? WRITE_ANSWER : undefined;
}
