import { type Address, AREAS, LAST_ADDRESS, parseAddress } from "./address.ts";
import { type Decoded, decode } from "./codec/codec.ts";
import { type Scaling, scaled, shortest } from "./codec/decimal.ts";
import { readFloat16, writeFloat16 } from "./codec/float16.ts";
import { ordersOf } from "./codec/order.ts";
import { parseType, sizeOf, type ValueType } from "./codec/types.ts";
import type { TagOptions } from "./options.ts";

/** A tag's options, understood: where it is and what it means. */
export interface Point {
  readonly address: Address;
  /** Registers, or bits where the area is one of bits. */
  readonly count: number;
  readonly type: ValueType;
  readonly order: string;
  readonly scaling?: Scaling;
  /** One register as it is, neither turned nor scaled. */
  readonly plain16?: "uint16" | "int16";
  /** How it is read where the plain value is not all: it may be absent, or need a power of ten from another register. */
  readonly special?: { readonly bare: Point; readonly scaling: Scaling; readonly absent: boolean };
}

export interface PointFault {
  readonly path: readonly [keyof TagOptions];
  readonly message: string;
}

/** The point, or everything that is wrong with the options. */
export function pointOf(options: TagOptions): { readonly point?: Point; readonly faults: readonly PointFault[] } {
  const faults: PointFault[] = [];
  const fault = (key: keyof TagOptions, message: string) => faults.push({ path: [key], message });
  const address = attempt(
    () => parseAddress(options.address),
    (message) => fault("address", message),
  );
  const type = attempt(
    () => parseType(options.type),
    (message) => fault("type", message),
  );
  if (!type) return { faults };
  const order = orderOf(options, type, fault);
  const scaling = scalingOf(options, type, fault);
  if (!address) return { faults };
  checkPlace(address, type, options.type, fault);
  if (AREAS[address.area].bits && options.order !== undefined) {
    fault("order", `${address.area}:${address.index} is one bit and has no order: remove it`);
  }
  const count = AREAS[address.area].bits ? 1 : sizeOf(type) / 2;
  checkSpecial(options, address, type, fault);
  if (address.index + count - 1 > LAST_ADDRESS) {
    fault(
      "address",
      `${options.type} needs ${count} registers, but ${address.area} ends at ${LAST_ADDRESS}: start at ${LAST_ADDRESS + 1 - count} or below`,
    );
  }
  if (faults.length > 0) return { faults };
  const plain16 = scaling ? undefined : plain16Of(address, type, order);
  const point: Point = { address, count, type, order, ...(scaling && { scaling }), ...(plain16 && { plain16 }) };
  const special = specialOf(options, point);
  return { point: special ? apart(point, special) : point, faults };
}

/** What is special about it goes before what is plain. */
function apart({ plain16: _, ...point }: Point, special: NonNullable<Point["special"]>): Point {
  return { ...point, special };
}

function plain16Of({ bit }: Address, type: ValueType, order: string): Point["plain16"] {
  if (bit !== undefined || type.kind !== "integer" || type.bytes !== 2 || order !== "AB") return undefined;
  return type.signed ? "int16" : "uint16";
}

/** The value of a point of registers, of which the first begins at byte `at`. */
export function readRegisters(point: Point, bytes: Buffer, at = 0): Decoded {
  // Most of what is read is this.
  if (point.plain16 && at + 2 <= bytes.length) {
    const value = bytes.readUInt16BE(at);
    return { value: point.plain16 === "int16" && value > 0x7fff ? value - 0x10000 : value };
  }
  const own = bytes.subarray(at, at + point.count * 2);
  const { bit } = point.address;
  if (bit !== undefined) {
    const decoded = decode({ kind: "bits", start: bit, width: 1 }, point.order, own);
    return "value" in decoded ? { value: decoded.value === 1 } : decoded;
  }
  const decoded = decode(point.type, point.order, own);
  if (!("value" in decoded)) return decoded;
  const { value } = decoded;
  if (typeof value !== "number" && typeof value !== "bigint") return decoded;
  const plain = written(point.type, value);
  if (!point.scaling) return { value: plain };
  const result = scaled(plain, point.scaling);
  return typeof result === "number" && !Number.isFinite(result) ? { reason: "not a number" } : { value: result };
}

/** Below it a float32 has fewer digits. */
const LEAST_NORMAL_FLOAT32 = 2 ** -126;

/**
 * A float as a person would have written it: 21.4 for the float32 21.399999618…. It turns into the same float again, and
 * scaling does not multiply what binary could not say.
 */
function written(type: ValueType, value: number | bigint): number | bigint {
  if (type.kind !== "float" || typeof value === "bigint" || type.bytes === 8) return value;
  const isNormal = Math.abs(value) >= LEAST_NORMAL_FLOAT32;
  return type.bytes === 4
    ? shortest(value, 9, Math.fround, isNormal ? 6 : 1)
    : shortest(value, 5, (v) => readFloat16(writeFloat16(v)));
}

type Report = (key: keyof TagOptions, message: string) => void;

function checkPlace({ area, index, bit }: Address, type: ValueType, name: string, fault: Report): void {
  if (AREAS[area].bits) {
    if (type.kind !== "bool")
      fault("type", `${area}:${index} is one bit: use type bool, or a holding or input register`);
    return;
  }
  if (type.kind === "bool" && bit === undefined) {
    fault("address", `a bool in a register needs its bit: ${area}:${index}.0 to ${area}:${index}.15`);
  }
  if (type.kind !== "bool" && bit !== undefined) {
    fault("address", `${area}:${index}.${bit} is one bit: use type bool, or ${area}:${index} for ${name}`);
  }
}

function checkSpecial(options: TagOptions, { area }: Address, type: ValueType, fault: Report): void {
  const { scaleFactor, notImplemented, writable } = options;
  if (scaleFactor !== undefined && !["integer", "float", "bcd"].includes(type.kind)) {
    fault("scaleFactor", `a ${type.kind} has no scale factor: remove it`);
  }
  if (scaleFactor !== undefined && writable !== undefined && writable !== false) {
    fault(
      "writable",
      "what a value with scaleFactor would be in registers is known to the device alone: remove writable",
    );
  }
  if (notImplemented && (AREAS[area].bits || type.kind === "bool" || type.kind === "bits" || type.kind === "bcd")) {
    fault("notImplemented", `a ${type.kind} has no value for that: remove it`);
  }
}

/** What `scaleFactor` and `notImplemented` of a tag ask for; undefined where they ask for nothing. */
function specialOf(
  { scaleFactor, notImplemented }: TagOptions,
  point: Point,
): NonNullable<Point["special"]> | undefined {
  if (scaleFactor === undefined && notImplemented !== true) return undefined;
  const { scaling = { scale: 1, offset: 0 }, ...bare } = point;
  return { bare, scaling, absent: notImplemented ?? true };
}

function orderOf(options: TagOptions, type: ValueType, fault: Report): string {
  const fitting = ordersOf(type);
  const order = options.order ?? fitting[0] ?? "AB";
  if (!fitting.includes(order)) {
    fault("order", `order ${order} does not fit ${options.type}: use ${fitting.join(", ")}`);
  }
  return order;
}

function scalingOf(options: TagOptions, type: ValueType, fault: Report): Scaling | undefined {
  for (const key of ["scale", "offset"] as const) {
    if (options[key] !== undefined && (type.kind === "bool" || type.kind === "string")) {
      fault(key, `a ${type.kind} has no ${key}: remove it`);
    }
  }
  if (options.scale === undefined && options.offset === undefined) return undefined;
  return { scale: options.scale ?? 1, offset: options.offset ?? 0 };
}

function attempt<T>(parse: () => T, fault: (message: string) => void): T | undefined {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    fault(error.message);
    return undefined;
  }
}
