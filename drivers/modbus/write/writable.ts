import type { WriteLimits } from "../../../gateway/core/driver.ts";
import type { Value } from "../../../gateway/core/sample.ts";
import { AREAS } from "../address.ts";
import { decode, encode } from "../codec/codec.ts";
import type { Scaling } from "../codec/decimal.ts";
import type { ValueType } from "../codec/types.ts";
import type { TagOptions } from "../options.ts";
import type { Point } from "../point.ts";

/** Most registers and most coils that one command carries (V1.1b3, 6.11 and 6.12). */
export const MAX_WRITE_REGISTERS = 123;
export const MAX_WRITE_COILS = 1968;

interface Limits {
  readonly min?: number | undefined;
  readonly max?: number | undefined;
  readonly maxStep?: number | undefined;
  readonly every?: number | undefined;
  readonly verify: boolean;
}

/** What may be written, and whether it is read back; undefined where nothing may. */
export function limitsOf({ writable }: TagOptions): Limits | undefined {
  if (writable === undefined || writable === false) return undefined;
  return writable === true ? { verify: true } : writable;
}

/** What commands may write; undefined where nothing. */
export function writeLimits(tag: TagOptions): WriteLimits | undefined {
  const limits = limitsOf(tag);
  if (!limits) return undefined;
  const { min, max, maxStep, every } = limits;
  return {
    ...(min === undefined ? {} : { min }),
    ...(max === undefined ? {} : { max }),
    ...(maxStep === undefined ? {} : { maxStep }),
    ...(every === undefined ? {} : { everyMs: every }),
  };
}

/** What is wrong with `writable` of a tag. */
export function writableFaults(tag: TagOptions, { address, count, type }: Point): string[] {
  const limits = limitsOf(tag);
  if (!limits) return [];
  const faults: string[] = [];
  const { min, max } = limits;
  if (address.area === "discrete" || address.area === "input") {
    faults.push(`${address.area} cannot be written: remove writable, or use coil or holding`);
  }
  if (count > MAX_WRITE_REGISTERS) {
    faults.push(`one write carries ${MAX_WRITE_REGISTERS} registers, but ${tag.type} needs ${count}: remove writable`);
  }
  if (min !== undefined && max !== undefined && min > max) faults.push(`min ${min} is above max ${max}`);
  if ((min !== undefined || max !== undefined) && (type.kind === "bool" || type.kind === "string")) {
    faults.push(`a ${type.kind} has no min and max: remove them`);
  }
  if (limits.maxStep !== undefined && (type.kind === "bool" || type.kind === "string")) {
    faults.push(`a ${type.kind} has no maxStep: remove it`);
  }
  return faults;
}

/** What to change on the wire. `bytes` and `mask` are as they lie there; a coil is one byte, 0 or 1. */
export interface Change {
  readonly bytes: Buffer;
  /** Of the bits that change, where the others of the register stay. */
  readonly mask?: Buffer;
}

/** @throws RangeError saying why the value cannot be written. */
export function changeOf(tag: TagOptions, point: Point, value: Value): Change {
  checkBounds(tag, value);
  const { address, order, scaling, type } = point;
  if (type.kind === "bool") {
    const on = booleanOf(value);
    if (AREAS[address.area].bits) return { bytes: Buffer.of(on ? 1 : 0) };
    return masked({ kind: "bits", start: address.bit ?? 0, width: 1 }, order, on ? 1 : 0);
  }
  if (type.kind === "string") {
    if (typeof value !== "string") throw new RangeError(`a text is needed, not ${value}`);
    return { bytes: encode(type, order, value) };
  }
  const raw = rawOf(value, scaling, type);
  if (type.kind === "bits") return masked(type, order, Number(raw));
  const bytes = encode(type, order, raw);
  if (!("value" in decode(type, order, bytes))) throw new RangeError(`${value} does not fit ${tag.type}`);
  return { bytes };
}

function checkBounds(tag: TagOptions, value: Value): void {
  const limits = limitsOf(tag);
  if (!limits) throw new RangeError("the tag is not writable");
  const { min, max } = limits;
  if (min !== undefined && Number(value) < min) throw new RangeError(`${value} is below the least, ${min}`);
  if (max !== undefined && Number(value) > max) throw new RangeError(`${value} is above the greatest, ${max}`);
}

function booleanOf(value: Value): boolean {
  if (value === true || value === false) return value;
  if (value === 0 || value === 1) return value === 1;
  throw new RangeError(`true or false is needed, not ${value}`);
}

function masked(type: Extract<ValueType, { kind: "bits" }>, order: string, value: number): Change {
  return { bytes: encode(type, order, value), mask: encode(type, order, 2 ** type.width - 1) };
}

/** The number that the registers hold for a value: scaling undone, and whole where they hold whole numbers. */
function rawOf(value: Value, scaling: Scaling | undefined, type: ValueType): number | bigint {
  if (typeof value !== "number" && typeof value !== "bigint") throw new RangeError(`a number is needed, not ${value}`);
  if (typeof value === "bigint" && !scaling) return value;
  const plain = Number(value);
  if (!Number.isFinite(plain)) throw new RangeError(`${value} is not a number`);
  const raw = scaling ? (plain - scaling.offset) / scaling.scale : plain;
  if (type.kind === "float") return raw;
  if (!scaling && !Number.isInteger(raw)) throw new RangeError(`a whole number is needed, not ${value}`);
  return Math.round(raw);
}
