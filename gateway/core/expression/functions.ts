import { narrowed } from "../decimal.ts";

/** What an expression cannot be worked out for, with the values at hand: the reason of a bad sample. */
export class EvaluationError extends Error {
  override readonly name = "EvaluationError";
}

export type Numeric = number | bigint;

const MANY = Number.POSITIVE_INFINITY;
const MAX_BIT = 63;

const FUNCTIONS: ReadonlyMap<
  string,
  readonly [least: number, most: number, run: (args: readonly Numeric[]) => Numeric | boolean]
> = new Map([
  ["abs", [1, 1, ([x = 0]) => (x < 0 ? -x : x)]],
  ["min", [1, MANY, (args) => args.toSorted(byValue)[0] ?? 0]],
  ["max", [1, MANY, (args) => args.toSorted(byValue).at(-1) ?? 0]],
  ["round", [1, 2, ([x = 0, digits = 0]) => round(x, digits)]],
  ["floor", [1, 1, ([x = 0]) => (typeof x === "bigint" ? x : Math.floor(tidy(x)))]],
  ["ceil", [1, 1, ([x = 0]) => (typeof x === "bigint" ? x : Math.ceil(tidy(x)))]],
  ["trunc", [1, 1, ([x = 0]) => (typeof x === "bigint" ? x : Math.trunc(tidy(x)))]],
  ["sqrt", [1, 1, ([x = 0]) => finite(Math.sqrt(Number(x)), "the root of a negative number")]],
  ["pow", [2, 2, ([x = 0, y = 0]) => finite(Number(x) ** Number(y), "no such power")]],
  ["exp", [1, 1, ([x = 0]) => finite(Math.exp(Number(x)), "too great")]],
  ["ln", [1, 1, ([x = 0]) => finite(Math.log(Number(x)), "the logarithm of a number that is not above 0")]],
  ["log10", [1, 1, ([x = 0]) => finite(Math.log10(Number(x)), "the logarithm of a number that is not above 0")]],
  ["bit", [2, 2, ([x = 0, n = 0]) => bitsOf(x, Number(n), Number(n)) === 1]],
  ["bits", [3, 3, ([x = 0, first = 0, last = 0]) => bitsOf(x, Number(first), Number(last))]],
]);

function byValue(a: Numeric, b: Numeric): number {
  return a < b ? -1 : Number(a > b);
}

export const FUNCTION_NAMES: readonly string[] = [...FUNCTIONS.keys()];

/** Least and most number of values each function takes. */
export const ARITY: ReadonlyMap<string, readonly [least: number, most: number]> = new Map(
  [...FUNCTIONS].map(([name, [least, most]]) => [name, [least, most]]),
);

/** @throws EvaluationError. */
export function callFunction(name: string, args: readonly Numeric[]): Numeric | boolean {
  const found = FUNCTIONS.get(name);
  if (!found) throw new EvaluationError(`no function ${name}`);
  return found[2](args);
}

/** Bits `first` to `last` of a whole number, 0 the lowest, as a number; a negative one in two's complement. @throws EvaluationError. */
export function bitsOf(value: Numeric, first: number, last: number): Numeric {
  if (typeof value === "number" && !Number.isInteger(value))
    throw new EvaluationError("bits of a number that is not whole");
  if (!isBit(first) || !isBit(last) || last < first) throw new EvaluationError(`no bits ${first} to ${last}`);
  if (typeof value === "number" && last < 31 && value >= 0 && value <= 0x7fff_ffff) {
    return (value >> first) & (2 ** (last - first + 1) - 1);
  }
  return narrowed(BigInt.asUintN(last - first + 1, BigInt(value) >> BigInt(first)));
}

function isBit(n: number): boolean {
  return Number.isInteger(n) && n >= 0 && n <= MAX_BIT;
}

/** Without the last digits, which binary arithmetic made: 23.1 for 23.100000000000001. */
export function tidy(value: number): number {
  return Number.isInteger(value) ? value : Number(value.toPrecision(15));
}

export function finite(value: number, otherwise: string): number {
  if (!Number.isFinite(value)) throw new EvaluationError(otherwise);
  return value;
}

function round(value: Numeric, digits: Numeric): Numeric {
  if (typeof value === "bigint") return value;
  const places = Number(digits);
  if (!Number.isInteger(places) || places < 0 || places > 15) throw new EvaluationError("round to 0 to 15 digits");
  const unit = 10 ** places;
  const lifted = tidy(value * unit);
  // Half away from zero, as people do it.
  return (Math.sign(lifted) * Math.round(Math.abs(lifted))) / unit;
}
