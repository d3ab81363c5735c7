import { crcFits, withCrc } from "../wire.ts";
import type { Framing, Piece } from "./framing.ts";

const EXCEPTION = 5;
const WRITE_ANSWER = 8;
const MASK_ANSWER = 10;

/** Modbus over Serial Line V1.02, 2.5.1: the body and a CRC. Reads answers to functions 1 to 6, 15, 16 and 22, and exceptions. */
export const rtuFraming: Framing = {
  maxReceived: 600,
  hearsItself: true,
  answerAt,
  headAt: (bytes, at) => (bytes.length < at + 3 ? undefined : bytes.subarray(at, at + 3)),
  bodyOf: (frame) => frame.subarray(0, -2),
  wrap: withCrc,
};

function answerAt(bytes: Buffer, at: number): Piece {
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
  if (code === 22) return MASK_ANSWER;
  return code === 5 || code === 6 || code === 15 || code === 16 ? WRITE_ANSWER : undefined;
}
