import { Buffer } from "node:buffer";
import type { Value } from "../../core/sample.ts";
import type { Metric as WireMetric } from "./payload_pb.ts";

/** Data types of metrics and properties that an edge node of samples uses (Sparkplug 3.0, 6.4.16). */
export const DataType = {
  Int8: 1,
  Int16: 2,
  Int32: 3,
  Int64: 4,
  UInt8: 5,
  UInt16: 6,
  UInt32: 7,
  UInt64: 8,
  Float: 9,
  Double: 10,
  Boolean: 11,
  String: 12,
  DateTime: 13,
  Text: 14,
  UUID: 15,
  Bytes: 17,
  File: 18,
} as const;
export type DataType = (typeof DataType)[keyof typeof DataType];

/** A value as it is on the wire: without the data type its meaning is not known. */
export type WireValue = WireMetric["value"];
export const NO_VALUE: WireValue = { case: undefined };

const INTEGERS: ReadonlyMap<DataType, readonly [least: bigint, most: bigint]> = new Map([
  [DataType.Int8, [-128n, 127n]],
  [DataType.Int16, [-32_768n, 32_767n]],
  [DataType.Int32, [-2_147_483_648n, 2_147_483_647n]],
  [DataType.Int64, [-(2n ** 63n), 2n ** 63n - 1n]],
  [DataType.UInt8, [0n, 255n]],
  [DataType.UInt16, [0n, 65_535n]],
  [DataType.UInt32, [0n, 4_294_967_295n]],
  [DataType.UInt64, [0n, 2n ** 64n - 1n]],
  [DataType.DateTime, [0n, 2n ** 64n - 1n]],
]);
const MOST_FLOAT = 3.4028234663852886e38;
const BITS: ReadonlyMap<DataType, number> = new Map([
  [DataType.Int8, 8],
  [DataType.Int16, 16],
  [DataType.Int32, 32],
]);
const WIDE: ReadonlySet<DataType> = new Set([DataType.UInt32, DataType.Int64, DataType.UInt64, DataType.DateTime]);

const CONFIGURED: readonly (readonly [RegExp, DataType])[] = [
  [/^bool$/, DataType.Boolean],
  [/^int16$/, DataType.Int16],
  [/^uint16$|^bcd16$/, DataType.UInt16],
  [/^int32$/, DataType.Int32],
  [/^uint32$|^bcd32$|^bits/, DataType.UInt32],
  [/^int64$/, DataType.Int64],
  [/^uint64$/, DataType.UInt64],
  [/^float(16|32)$/, DataType.Float],
  [/^float64$/, DataType.Double],
  [/^string/, DataType.String],
  [/^bytes/, DataType.Bytes],
];

/**
 * The data type of a tag with this configured type, such as `float32`; String for one that is not known here.
 * @param scaled whether the driver computes with the value, so that an integer may become a fraction.
 */
export function dataTypeOf(type: string, scaled: boolean): DataType {
  const found = CONFIGURED.find(([pattern]) => pattern.test(type))?.[1] ?? DataType.String;
  return scaled && (INTEGERS.has(found) || found === DataType.Float) ? DataType.Double : found;
}

/** Whether a value can be said in this type without loss. */
export function fits(value: Value, type: DataType): boolean {
  const range = INTEGERS.get(type);
  if (range !== undefined) return isWhole(value) && BigInt(value) >= range[0] && BigInt(value) <= range[1];
  switch (type) {
    case DataType.Boolean:
      return typeof value === "boolean";
    case DataType.Float:
      return isFraction(value) && Math.abs(value) <= MOST_FLOAT && Math.fround(value) === value;
    case DataType.Double:
      return isFraction(value);
    case DataType.Bytes:
    case DataType.File:
      return typeof value === "object";
    default:
      return typeof value === "string";
  }
}

/** The narrowest type that takes `value` and everything that fitted `type`; String where there is none. */
export function widened(value: Value, type: DataType): DataType {
  if (fits(value, type)) return type;
  const numeric = INTEGERS.has(type) || type === DataType.Float || type === DataType.Double;
  if (!numeric || (typeof value !== "number" && typeof value !== "bigint")) return freshType(value);
  if (isFraction(value) && !Number.isSafeInteger(value)) return DataType.Double;
  if (type === DataType.Float || type === DataType.Double)
    return fits(value, DataType.Double) ? DataType.Double : freshType(value);
  return fits(value, DataType.Int64) ? DataType.Int64 : DataType.UInt64;
}

/** The type of a value of which nothing else is known. */
export function freshType(value: Value): DataType {
  switch (typeof value) {
    case "boolean":
      return DataType.Boolean;
    case "number":
      return DataType.Double;
    case "bigint":
      return fits(value, DataType.Int64) ? DataType.Int64 : DataType.UInt64;
    case "string":
      return DataType.String;
    default:
      return DataType.Bytes;
  }
}

/** @throws RangeError when the value does not fit the type. */
export function toWire(value: Value, type: DataType): WireValue {
  if (!fits(value, type)) throw new RangeError(`a ${typeof value} is no value of data type ${type}`);
  if (WIDE.has(type)) return { case: "longValue", value: BigInt.asUintN(64, BigInt(value as number | bigint)) };
  // Two's complement of 32 bits, for the narrow ones too.
  if (INTEGERS.has(type)) return { case: "intValue", value: Number(value) >>> 0 };
  switch (typeof value) {
    case "boolean":
      return { case: "booleanValue", value };
    case "string":
      return { case: "stringValue", value };
    case "object":
      return { case: "bytesValue", value };
    default:
      return type === DataType.Float
        ? { case: "floatValue", value: Number(value) }
        : { case: "doubleValue", value: Number(value) };
  }
}

/**
 * What a wire value means in this type; undefined when it cannot be one. UInt32 is taken from both integer fields: the
 * specification names one, most programs write the other. Integers beyond 2^53 are `bigint`.
 */
export function fromWire(wire: WireValue, type: number): Value | undefined {
  const known = Object.values(DataType).find((one) => one === type);
  if (known === undefined || wire.case === undefined) return undefined;
  const value = INTEGERS.has(known) ? integerOf(wire, known) : wire.value;
  if (value === undefined) return undefined;
  // A number may come in the other field for numbers.
  const read = known === DataType.Double && wire.case === "floatValue" ? Number(wire.value) : value;
  return fits(read, known) ? read : undefined;
}

function integerOf(wire: WireValue, type: DataType): Value | undefined {
  if (wire.case !== "intValue" && wire.case !== "longValue") return undefined;
  const raw = BigInt(wire.value);
  const bits = BITS.get(type);
  // Some senders write narrow negative numbers in their own width.
  if (bits !== undefined) return Number(BigInt.asIntN(raw < 2n ** BigInt(bits) ? bits : 32, raw));
  const value = type === DataType.Int64 ? BigInt.asIntN(64, raw) : raw;
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

function isWhole(value: Value): value is number | bigint {
  return typeof value === "bigint" || (typeof value === "number" && Number.isInteger(value));
}

function isFraction(value: Value): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

/** Equal as values, bytes by content. */
export function sameValue(a: Value | undefined, b: Value | undefined): boolean {
  if (typeof a === "object" && typeof b === "object") return Buffer.from(a).equals(b);
  return Object.is(a, b);
}
