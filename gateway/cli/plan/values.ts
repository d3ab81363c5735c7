import { scaler } from "../../core/decimal.ts";
import type { Tag } from "../../core/driver.ts";
import type { Value } from "../../core/sample.ts";

/** Where a value of a range is taken: with all its digits, not a round number. */
const WITHIN = 0.6180339887498949;

/**
 * A value as the tag may give it, for its size: inside its range where it has one, otherwise of a usual magnitude for the type.
 * `n` tells one reading from the next.
 */
export function exampleValue(tag: Tag, n: number): Value {
  const { type, shape } = tag;
  if (shape?.texts) return [...shape.texts.values()][n % shape.texts.size] ?? "";
  if (type.startsWith("bool")) return n % 2 === 0;
  if (/string|text/.test(type)) return textOf(type, n);
  const span = shape?.limits ?? shape?.clamp ?? spanOf(tag.options);
  if (span) return typed(type, span[0] + (span[1] - span[0]) * part(n), shape?.scale !== undefined);
  const raw = rawOf(type, n);
  const { scale, offset } = shape ?? {};
  if (scale === undefined && offset === undefined) return raw;
  return scaler({ scale: scale ?? 1, offset: offset ?? 0 })(raw);
}

function part(n: number): number {
  const at = n * WITHIN + WITHIN;
  return at - Math.floor(at);
}

function textOf(type: string, n: number): string {
  const length = Number(/\((\d+)\)/.exec(type)?.[1] ?? 12);
  return `${n}`.padStart(Math.max(1, Math.ceil(length / 2)), "0");
}

function spanOf(options: unknown): readonly [number, number] | undefined {
  if (typeof options !== "object" || options === null) return undefined;
  if (!("min" in options) || !("max" in options)) return undefined;
  const { min, max } = options;
  return typeof min === "number" && typeof max === "number" && max >= min ? [min, max] : undefined;
}

function typed(type: string, value: number, scaled: boolean): Value {
  if (type.startsWith("float32")) return scaled ? value : Math.fround(value);
  return /^u?int/.test(type) && !scaled ? Math.round(value) : value;
}

/** Magnitudes that plants have. */
function rawOf(type: string, n: number): number {
  const vary = part(n);
  if (type.includes("int64")) return Math.round(1e8 * (1 + 8 * vary));
  if (type.includes("int32")) return Math.round(10_000 * (1 + 8 * vary));
  if (type.includes("int16") || type.includes("bcd")) return Math.round(100 + 8900 * vary);
  const value = 10 + 980 * vary;
  return type.includes("64") ? value : Math.fround(value);
}
