import { decode } from "../codec/codec.ts";
import { shortest } from "../codec/decimal.ts";
import { readFloat16, writeFloat16 } from "../codec/float16.ts";
import { ordersOf } from "../codec/order.ts";
import { parseType, SIMPLE_TYPES, type SimpleType, sizeOf, type ValueType } from "../codec/types.ts";

/** What a register may mean: one type in one order, and what it makes of each sample. */
export interface Reading {
  readonly type: string;
  readonly order: string;
  /** Registers it takes. */
  readonly width: number;
  readonly kind: ValueType["kind"];
  readonly signed: boolean;
  readonly bytes: number;
  readonly values: readonly (number | bigint)[];
}

const NUMBERS = (Object.keys(SIMPLE_TYPES) as SimpleType[]).filter((name) => name !== "bool");

/** The registers of each sample as bytes, as they came over the wire. */
export function bytesOf(samples: readonly (readonly number[])[]): Buffer[] {
  return samples.map((words) => {
    const bytes = Buffer.alloc(words.length * 2);
    for (const [at, word] of words.entries()) bytes.writeUInt16BE(word, at * 2);
    return bytes;
  });
}

/** Everything that the registers from `offset` on can mean as numbers: what is not a number in some sample is left out. */
export function readingsAt(samples: readonly Buffer[], offset: number): Reading[] {
  const room = (samples[0]?.length ?? 0) - offset * 2;
  return NUMBERS.flatMap((type) => {
    const valueType = parseType(type);
    const bytes = sizeOf(valueType);
    if (bytes > room) return [];
    return ordersOf(valueType).flatMap((order) => {
      const values: (number | bigint)[] = [];
      for (const sample of samples) {
        const value = numberOf(valueType, order, sample.subarray(offset * 2, offset * 2 + bytes));
        if (value === undefined) return [];
        values.push(value);
      }
      const signed = valueType.kind === "integer" && valueType.signed;
      return [{ type, order, width: bytes / 2, kind: valueType.kind, signed, bytes, values }];
    });
  });
}

function numberOf(type: ValueType, order: string, bytes: Buffer): number | bigint | undefined {
  const decoded = decode(type, order, bytes);
  if (!("value" in decoded)) return undefined;
  const { value } = decoded;
  if (typeof value !== "number") return typeof value === "bigint" ? value : undefined;
  if (type.kind !== "float" || type.bytes === 8) return value;
  return type.bytes === 4 ? shortest(value, 9, Math.fround) : shortest(value, 5, (v) => readFloat16(writeFloat16(v)));
}
