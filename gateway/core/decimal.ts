/** Exact decimal arithmetic for `scale` and `offset`: 214 times 0.1 is 21.4, not 21.400000000000002. */

/** `digits` times ten to the power of `-places`. */
interface Decimal {
  readonly digits: bigint;
  readonly places: number;
}

export interface Scaling {
  readonly scale: number;
  readonly offset: number;
}

/** raw × scale + offset; a `bigint` when that is a whole number beyond 2^53. */
export function scaled(raw: number | bigint, { scale, offset }: Scaling): number | bigint {
  const product = times(decimalOf(raw), decimalOf(scale));
  return numberOf(plus(product, decimalOf(offset)));
}

/** The raw value that `scaled` makes this of, as near as a double comes; exact where that is a whole number. */
export function unscaled(value: number | bigint, scaling: Scaling): number | bigint {
  const { scale, offset } = scaling;
  const { digits, places } = plus(decimalOf(value), negated(decimalOf(offset)));
  const by = decimalOf(scale);
  const [over, under] = [digits * 10n ** BigInt(by.places), by.digits * 10n ** BigInt(places)];
  if (over % under === 0n) return narrowed(over / under);
  const near = Math.round(Number(`${digits}e-${places}`) / scale);
  if (scaled(near, scaling) === value) return near;
  return Number((Number(`${digits}e-${places}`) / scale).toPrecision(15));
}

/** to - from, exact in decimals: 23.1 - 23 is 0.1. */
export function difference(to: number | bigint, from: number | bigint): number | bigint {
  if (typeof to === "number" && typeof from === "number") {
    const plain = to - from;
    if (Number.isSafeInteger(to) && Number.isSafeInteger(from) && Number.isSafeInteger(plain)) return plain;
  }
  return numberOf(plus(decimalOf(to), negated(decimalOf(from))));
}

/** Powers of ten that a double holds exactly. */
const EXACT_POWERS = 22;

/**
 * `scaled` for many values: the same results, and as fast as binary arithmetic for whole numbers and for those with up to
 * six decimals.
 */
export function scaler(scaling: Scaling): (raw: number | bigint) => number | bigint {
  const scale = decimalOf(scaling.scale);
  const offset = decimalOf(scaling.offset);
  const places = Math.max(scale.places, offset.places);
  const factor = Number(lift(scale, places));
  const summand = Number(lift(offset, places));
  const slow = (raw: number | bigint) => scaled(raw, scaling);
  if (!Number.isSafeInteger(factor) || !Number.isSafeInteger(summand)) return slow;
  return (raw) => {
    if (typeof raw !== "number") return slow(raw);
    for (let more = 0; more <= 6 && places + more <= EXACT_POWERS; more++) {
      const shift = 10 ** more;
      const whole: number = more === 0 ? raw : Math.round(raw * shift);
      // A quotient of two exact numbers is rounded once: then these are all its digits.
      if (!Number.isSafeInteger(whole) || whole / shift !== raw || Math.abs(whole) > 1e15) continue;
      const product = whole * factor;
      const sum = product + summand * shift;
      if (!Number.isSafeInteger(product) || !Number.isSafeInteger(summand * shift) || !Number.isSafeInteger(sum)) break;
      const value = sum / 10 ** (places + more);
      return Object.is(value, -0) ? 0 : value;
    }
    return slow(raw);
  };
}

/**
 * The number that has the fewest digits of all that `keep` turns into the same value: 21.4 for float32 21.399999618….
 * @param sureDigits every decimal number of so many digits survives the type, so that shorter ones need not be tried.
 */
export function shortest(
  value: number,
  maxDigits: number,
  keep: (candidate: number) => number,
  sureDigits = 1,
): number {
  for (let digits = sureDigits; digits < maxDigits; digits++) {
    const candidate = Number(value.toPrecision(digits));
    if (keep(candidate) === value) return candidate;
  }
  return Number(value.toPrecision(maxDigits));
}

function decimalOf(value: number | bigint): Decimal {
  if (typeof value === "bigint") return { digits: value, places: 0 };
  const [mantissa = "0", exponent = "0"] = String(value).split("e");
  const [whole = "0", fraction = ""] = mantissa.split(".");
  const digits = BigInt(whole + fraction);
  const places = fraction.length - Number(exponent);
  return places >= 0 ? { digits, places } : { digits: digits * 10n ** BigInt(-places), places: 0 };
}

function times(a: Decimal, b: Decimal): Decimal {
  return { digits: a.digits * b.digits, places: a.places + b.places };
}

function plus(a: Decimal, b: Decimal): Decimal {
  const places = Math.max(a.places, b.places);
  return { digits: lift(a, places) + lift(b, places), places };
}

function negated({ digits, places }: Decimal): Decimal {
  return { digits: -digits, places };
}

function lift({ digits, places }: Decimal, to: number): bigint {
  return digits * 10n ** BigInt(to - places);
}

function numberOf({ digits, places }: Decimal): number | bigint {
  const unit = 10n ** BigInt(places);
  if (digits % unit === 0n) return narrowed(digits / unit);
  return Number(`${digits}e-${places}`);
}

/** A whole number as `Value` has it: `bigint` only beyond 2^53. */
export function narrowed(whole: bigint): number | bigint {
  return isSafe(whole) ? Number(whole) : whole;
}

export function isSafe(value: bigint): boolean {
  return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER);
}
