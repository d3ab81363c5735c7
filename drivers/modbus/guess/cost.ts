import type { Reading } from "./readings.ts";

/**
 * How many bits it takes to tell somebody the values of a reading who knows what values of plants look like: small whole
 * numbers, few decimals, usual magnitudes, slow change. The right reading of registers is short, a wrong one is long.
 */
export function bitsOf(reading: Reading): number {
  return reading.kind === "float" ? floatBits(reading) : wholeBits(reading);
}

/** What it costs that it is this type and this order, before any value is seen. */
export function priorBits({ type, order, bytes }: Pick<Reading, "type" | "order" | "bytes">): number {
  return (TYPE_BITS[type] ?? 6) + orderBits(order, bytes);
}

const TYPE_BITS: Readonly<Record<string, number>> = {
  uint16: 1,
  int16: 2,
  float32: 1.5,
  uint32: 3,
  int32: 3.5,
  uint64: 4,
  int64: 5,
  float64: 4,
  bcd16: 4,
  bcd32: 5,
  float16: 5,
};
/** The high word first, the low word first; bytes swapped within registers is rare, most of all in single ones. */
const ORDER_BITS: Readonly<Record<string, number>> = { ABCD: 0, CDAB: 0.7, BADC: 3, DCBA: 2, AB: 0, BA: 4 };

function orderBits(order: string, bytes: number): number {
  if (bytes < 8) return ORDER_BITS[order] ?? 3;
  return order === "ABCDEFGH" ? 0 : order === "GHEFCDAB" ? 0.7 : 2.5;
}

/** A universal code of whole numbers: twice as large costs little more than one bit. */
export function numberBits(size: number): number {
  const log = Math.log2(1 + Math.abs(size));
  return 1 + log + 2 * Math.log2(1 + log);
}

const NEGATIVE = 4;
const WILD = 6;
/** A value that can be anything costs its bits, and that it is said so. */
const ANYTHING = 2;

function wholeBits({ values, signed, bytes, kind }: Reading): number {
  const most = (kind === "bcd" ? bytes * 2 * Math.log2(10) : bytes * 8) + ANYTHING;
  const sizes = values.map(Number);
  const first = sizes[0] ?? 0;
  const sign = signed ? (first < 0 ? NEGATIVE : 0.1) : 0;
  const steps = values.slice(1).map((value, at) => Number(BigInt(value) - BigInt(values[at] ?? 0)));
  return Math.min(numberBits(first), most) + sign + stepBits(steps, most) + wildBits(steps, bytes);
}

/** What jumps over all of its range is no value of a plant. */
function wildBits(steps: readonly number[], bytes: number): number {
  if (steps.length < 2) return 0;
  const mean = steps.reduce((total, step) => total + Math.abs(step), 0) / steps.length;
  return mean > 2 ** (bytes * 8 - 4) ? WILD : 0;
}

/** Nothing moves, or each step by itself, or all steps about the same as of a counter; the cheapest. */
function stepBits(steps: readonly number[], most: number): number {
  if (steps.length === 0) return 0;
  if (steps.every((step) => step === 0)) return 1;
  const sum = (numbers: readonly number[]) =>
    numbers.reduce((bits, step) => bits + Math.min(numberBits(step), most), 0);
  const mean = Math.round(steps.reduce((total, step) => total + step, 0) / steps.length);
  const counter = Math.min(numberBits(mean), most) + sum(steps.map((step) => step - mean));
  return 2 + Math.min(sum(steps) + signsOf(steps), alike(steps, most), counter);
}

/** Steps of noise are of one size, which is said once. */
function alike(steps: readonly number[], most: number): number {
  const size = Math.min(most - 1, Math.log2(1 + Math.max(...steps.map(Math.abs))));
  return numberBits(size) + steps.length * (size + 1);
}

/** A value that goes up and down says its direction each time. */
function signsOf(steps: readonly number[]): number {
  return steps.every((step) => step >= 0) ? 0 : steps.length;
}

/** Below this floats have fewer digits. */
const LEAST_EXPONENT: Readonly<Record<number, number>> = { 2: -14, 4: -126, 8: -1022 };
const FRACTION_BITS: Readonly<Record<number, number>> = { 2: 10, 4: 23, 8: 52 };

function floatBits({ values, bytes }: Reading): number {
  const numbers = values.map(Number);
  const first = numbers[0] ?? 0;
  const fraction = FRACTION_BITS[bytes] ?? 23;
  const most = bytes * 8 + ANYTHING;
  const places = Math.max(...numbers.map(placesOf));
  const magnitude = numbers.reduce((worst, value) => Math.max(worst, magnitudeBits(value)), 0);
  const sign = numbers.some((value) => value < 0) ? NEGATIVE - 1 : 0.5;
  // In whole steps of the last decimal, where there are few decimals; else in steps of what the type can tell apart.
  const decimal = numbers.map((value) => Math.round(value * 10 ** places));
  const asDecimals = digitBits(first) + stepBits(stepsOf(decimal), most);
  const unit =
    2 ** (Math.floor(Math.log2(Math.max(...numbers.map(Math.abs), 2 ** (LEAST_EXPONENT[bytes] ?? -126)))) - fraction);
  const asFraction =
    fraction +
    stepBits(
      stepsOf(numbers).map((step) => Math.round(step / unit)),
      most,
    );
  const content = places <= 6 && magnitude < 20 ? Math.min(asDecimals, asFraction) : asFraction;
  return sign + magnitude + content + jumpBits(numbers);
}

function stepsOf(numbers: readonly number[]): number[] {
  return numbers.slice(1).map((value, at) => value - (numbers[at] ?? 0));
}

/** Significant digits as a person would write them. */
function digitBits(value: number): number {
  if (value === 0) return 1;
  const digits = value.toExponential().replace(/e.*$/, "").replace(/[-.]/g, "").length;
  return digits * Math.log2(10) + 1;
}

function placesOf(value: number): number {
  const [mantissa = "", exponent = "0"] = String(value).split("e");
  return Math.max(0, (mantissa.split(".")[1]?.length ?? 0) - Number(exponent));
}

/** Usual between a thousandth and ten millions; beyond, each power of ten is rarer. */
function magnitudeBits(value: number): number {
  if (value === 0) return 1;
  const power = Math.log10(Math.abs(value));
  const away = power < -3 ? -3 - power : power > 7 ? power - 7 : 0;
  return 3 + 0.3 * Math.abs(power - 1.5) + Math.min(40, 3 * away);
}

/** A measured value does not change its magnitude from one sample to the next. */
function jumpBits(numbers: readonly number[]): number {
  const sizes = numbers.filter((value) => value !== 0).map((value) => Math.log2(Math.abs(value)));
  if (sizes.length < 2) return 0;
  const largest = Math.max(...numbers.map(Math.abs));
  const wild = Math.max(...numbers) - Math.min(...numbers) > largest ? WILD : 0;
  return wild + Math.min(40, Math.max(0, Math.max(...sizes) - Math.min(...sizes) - 3));
}
