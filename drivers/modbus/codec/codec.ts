import type { Value } from "../../../gateway/core/sample.ts";
import { isSafe } from "./decimal.ts";
import { readFloat16, writeFloat16 } from "./float16.ts";
import { isPlain, reorder } from "./order.ts";
import { sizeOf, type ValueType } from "./types.ts";

/** A value, or why there is none in a few words fit for a person. */
export type Decoded = { readonly value: Value } | { readonly reason: string };

type Integer = Extract<ValueType, { kind: "integer" }>;
type Float = Extract<ValueType, { kind: "float" }>;

/**
 * Registers to a value. `bytes` are exactly those of the value, as they came over the wire.
 * A `bool` is bit 0 of a register; a bit further up is `bits(n,1)`.
 */
export function decode(type: ValueType, order: string, bytes: Buffer): Decoded {
  const plain = isPlain(order) ? bytes : reorder(bytes, order);
  switch (type.kind) {
    case "bool":
      return { value: (plain.readUInt16BE(0) & 1) === 1 };
    case "bits":
      return { value: (plain.readUInt16BE(0) >> type.start) & (2 ** type.width - 1) };
    case "integer":
      return { value: readInteger(type, plain) };
    case "float":
      return finite(readFloat(type, plain));
    case "bcd":
      return readBcd(plain);
    case "string":
      return { value: readText(plain.subarray(0, type.length)) };
  }
}

/**
 * A value to registers, in the bytes of the wire: the inverse of `decode`.
 * @throws RangeError when the value does not fit the type.
 */
export function encode(type: ValueType, order: string, value: Value): Buffer {
  const plain = Buffer.alloc(sizeOf(type));
  switch (type.kind) {
    case "bool":
      plain.writeUInt16BE(value ? 1 : 0);
      break;
    case "bits":
      plain.writeUInt16BE(whole(value, 2 ** type.width - 1) << type.start);
      break;
    case "integer":
      writeInteger(type, plain, value);
      break;
    case "float":
      writeFloat(type, plain, Number(value));
      break;
    case "bcd":
      writeBcd(plain, whole(value, 10 ** (type.bytes * 2) - 1));
      break;
    case "string":
      writeText(plain, type.length, String(value));
  }
  return reorder(plain, order, true);
}

function readInteger({ bytes, signed }: Integer, plain: Buffer): number | bigint {
  if (bytes < 8) return signed ? plain.readIntBE(0, bytes) : plain.readUIntBE(0, bytes);
  const wide = signed ? plain.readBigInt64BE(0) : plain.readBigUInt64BE(0);
  return isSafe(wide) ? Number(wide) : wide;
}

function writeInteger({ bytes, signed }: Integer, plain: Buffer, value: Value): void {
  const wide = typeof value === "bigint" ? value : BigInt(Math.round(Number(value)));
  const span = 1n << BigInt(bytes * 8);
  const least = signed ? -span / 2n : 0n;
  if (wide < least || wide >= least + span) throw new RangeError(`${wide} does not fit`);
  if (bytes === 8) plain.writeBigUInt64BE(BigInt.asUintN(64, wide));
  else plain.writeUIntBE(Number(BigInt.asUintN(bytes * 8, wide)), 0, bytes);
}

function readFloat({ bytes }: Float, plain: Buffer): number {
  if (bytes === 2) return readFloat16(plain.readUInt16BE(0));
  return bytes === 4 ? plain.readFloatBE(0) : plain.readDoubleBE(0);
}

function writeFloat({ bytes }: Float, plain: Buffer, value: number): void {
  if (bytes === 2) plain.writeUInt16BE(writeFloat16(value));
  else if (bytes === 4) plain.writeFloatBE(value);
  else plain.writeDoubleBE(value);
}

function finite(value: number): Decoded {
  return Number.isFinite(value) ? { value } : { reason: "not a number" };
}

function readBcd(plain: Buffer): Decoded {
  const digits = plain.toString("hex");
  return /^\d+$/.test(digits) ? { value: Number(digits) } : { reason: "not a bcd number" };
}

function writeBcd(plain: Buffer, value: number): void {
  plain.write(String(value).padStart(plain.length * 2, "0"), "hex");
}

/** Up to the first NUL, without the blanks devices fill up with. UTF-8 where it is valid, else Latin-1. */
function readText(plain: Buffer): string {
  const end = plain.indexOf(0);
  const text = end === -1 ? plain : plain.subarray(0, end);
  const utf8 = text.toString("utf8");
  return (utf8.includes("\ufffd") ? text.toString("latin1") : utf8).trimEnd();
}

function writeText(plain: Buffer, length: number, text: string): void {
  if (Buffer.byteLength(text) > length) throw new RangeError(`"${text}" is longer than ${length} bytes`);
  plain.write(text);
}

function whole(value: Value, most: number): number {
  const number = Math.round(Number(value));
  if (!(number >= 0 && number <= most)) throw new RangeError(`${number} does not fit`);
  return number;
}
