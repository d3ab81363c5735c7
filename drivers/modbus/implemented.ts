import { type Address, parseAddress } from "./address.ts";
import type { Decoded } from "./codec/codec.ts";
import { type Scaling, scaled } from "./codec/decimal.ts";
import type { ValueType } from "./codec/types.ts";
import { type Point, readRegisters } from "./point.ts";

/** What is beyond is no scale factor but another register. */
const GREATEST_EXPONENT = 10;
const NOT_IMPLEMENTED = "not implemented";

/** A scale factor is one register, signed, with a power of ten. */
const FACTOR: Omit<Point, "address"> = {
  count: 1,
  type: { kind: "integer", bytes: 2, signed: true },
  order: "AB",
};

/** Numbers that mean that a device has no such value, by type. Others have none. */
const ABSENT: Readonly<Record<string, number | bigint>> = {
  "2 true": -0x8000,
  "2 false": 0xffff,
  "4 true": -0x8000_0000,
  "4 false": 0xffff_ffff,
  "8 true": -0x8000_0000_0000_0000n,
  "8 false": 0xffff_ffff_ffff_ffffn,
};

interface Neighbour {
  readonly address: string | number;
  readonly type: string;
}

/**
 * Where the power of ten of `scaleFactor` is: an address, or another tag of the device.
 * @throws RangeError naming the fault and the cure.
 */
export function factorOf(
  text: string | number,
  point: Point,
  find: (name: string | number) => Neighbour | undefined,
): Point {
  const tag = find(text);
  if (tag && tag.type !== "int16") throw new RangeError(`a scale factor is an int16; tag "${text}" is ${tag.type}`);
  const address = tag ? parseAddress(tag.address) : addressOf(text);
  if (address.area !== point.address.area || address.bit !== undefined) {
    throw new RangeError(`the scale factor must be a register of the same area: ${point.address.area}:…`);
  }
  return { address, ...FACTOR };
}

function addressOf(text: string | number): Address {
  try {
    return parseAddress(text);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new RangeError(`"${text}" is neither a tag of this device nor an address such as "holding:40"`);
  }
}

/**
 * The value of a point with `special`. `at` gives the bytes from an address of its area on.
 * @param factor where its power of ten is.
 */
export function readSpecial(
  { bare, scaling, absent }: NonNullable<Point["special"]>,
  factor: Point | undefined,
  at: (address: number) => Buffer,
): Decoded {
  const decoded = readRegisters(bare, at(bare.address.index));
  if (absent && isAbsent(bare.type, decoded)) return { reason: NOT_IMPLEMENTED };
  const exponent = factor && exponentIn(at(factor.address.index));
  if (typeof exponent === "string") return { reason: exponent };
  if (!("value" in decoded) || (typeof decoded.value !== "number" && typeof decoded.value !== "bigint")) return decoded;
  const result = scaled(decoded.value, scalingWith(scaling, exponent ?? 0));
  return typeof result === "number" && !Number.isFinite(result) ? { reason: "not a number" } : { value: result };
}

function isAbsent(type: ValueType, decoded: Decoded): boolean {
  if (type.kind === "integer") return "value" in decoded && decoded.value === ABSENT[`${type.bytes} ${type.signed}`];
  if (type.kind === "float") return !("value" in decoded);
  return type.kind === "string" && "value" in decoded && decoded.value === "";
}

/** The exponent, or why there is none. */
function exponentIn(bytes: Buffer): number | string {
  const exponent = bytes.readInt16BE(0);
  if (exponent === -0x8000) return "scale factor not implemented";
  return Math.abs(exponent) <= GREATEST_EXPONENT ? exponent : `scale factor ${exponent} out of range`;
}

/** In decimals: a scale of 0.3 and an exponent of -1 are 0.03. */
function scalingWith({ scale, offset }: Scaling, exponent: number): Scaling {
  if (exponent === 0) return { scale, offset };
  const [mantissa = "1", power = "0"] = String(scale).split("e");
  return { scale: Number(`${mantissa}e${Number(power) + exponent}`), offset };
}
