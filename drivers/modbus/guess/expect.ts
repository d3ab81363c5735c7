/** What a person read on the device: a number as it was written, or a text. */
export interface Expected {
  readonly text: string;
  readonly number?: number;
  /** Present where it is a whole number. */
  readonly whole?: bigint;
  /** Half a unit of the last digit, relative to the number. */
  readonly resolution: number;
}

/** One power of ten between register and expected value: value = register x 10^power. */
export interface Fit {
  readonly power: number;
  /** Relative distance of the nearest sample. */
  readonly distance: number;
  /** Within what the written digits say. */
  readonly exact: boolean;
  readonly bits: number;
}

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/** Decimal point or decimal comma. */
export function expectedOf(given: string): Expected {
  const text = given.trim();
  const plain = /^[+-]?\d+,\d+$/.test(text) ? text.replace(",", ".") : text;
  if (!NUMBER.test(plain)) return { text: given, resolution: 0 };
  const number = Number(plain);
  const [mantissa = "", exponent = "0"] = plain.toLowerCase().split("e");
  const places = (mantissa.split(".")[1]?.length ?? 0) - Number(exponent);
  const resolution = number === 0 ? 0.5 * 10 ** -places : (0.5 * 10 ** -places) / Math.abs(number);
  const whole = /^[+-]?\d+$/.test(plain) ? BigInt(plain) : undefined;
  return { text: given, number, resolution, ...(whole === undefined ? {} : { whole }) };
}

/** Register values are seldom finer than thousandths; kilo and mega stand for W and kW, Wh and MWh. */
const NEAR_POWERS: readonly number[] = [0, -1, -2, -3];
const ALL_POWERS: readonly number[] = [0, -1, -2, -3, 1, 2, 3, -4, -5, -6, 4, 5, 6];

const LEAST_FLOOR = 2e-4;
const FAR = 0.05;
const WRONG = 0.5;

/** The best power of ten for the values of a reading. `allPowers` for a value shown in another unit (kW for W). */
export function fitOf(values: readonly (number | bigint)[], expected: Expected, allPowers: boolean): Fit | undefined {
  if (expected.number === undefined) return undefined;
  let best: Fit | undefined;
  for (const power of allPowers ? ALL_POWERS : NEAR_POWERS) {
    const fit = fitAt(values, expected, power);
    if (!best || fit.bits < best.bits) best = fit;
  }
  return best;
}

function fitAt(values: readonly (number | bigint)[], expected: Expected, power: number): Fit {
  const wanted = expected.number ?? 0;
  const same = power === 0 && values.some((value) => value === wanted || value === expected.whole);
  const near = Math.min(...values.map((value) => apart(scaledBy(Number(value), power), wanted)));
  const distance = same ? 0 : near;
  // Rounding of 10 to a power is no difference.
  const exact = distance <= expected.resolution * (1 + 1e-9) + 1e-12;
  const floor = Math.max(LEAST_FLOOR, expected.resolution);
  const off = exact ? -8 : 3 * Math.log2(1 + distance / floor);
  const bits = off + powerBits(power) + (distance > FAR ? 40 : 0) + (distance > WRONG ? 60 : 0) - (same ? 4 : 0);
  return { power, distance, exact, bits };
}

function powerBits(power: number): number {
  if (power === 0) return 0;
  return power < 0 && power >= -3 ? 2 - power : 4 + Math.abs(power);
}

export function scaledBy(value: number, power: number): number {
  return power < 0 ? value / 10 ** -power : value * 10 ** power;
}

function apart(value: number, wanted: number): number {
  if (value === wanted) return 0;
  return wanted === 0 ? Math.min(1, Math.abs(value)) : Math.abs(value - wanted) / Math.abs(wanted);
}
