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

/** The number that has the fewest digits of all that `keep` turns into the same value: 21.4 for float32 21.399999618…. */
export function shortest(value: number, maxDigits: number, keep: (candidate: number) => number): number {
  for (let digits = 1; digits < maxDigits; digits++) {
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

function lift({ digits, places }: Decimal, to: number): bigint {
  return digits * 10n ** BigInt(to - places);
}

function numberOf({ digits, places }: Decimal): number | bigint {
  const unit = 10n ** BigInt(places);
  if (digits % unit === 0n) {
    const whole = digits / unit;
    return isSafe(whole) ? Number(whole) : whole;
  }
  return Number(`${digits}e-${places}`);
}

export function isSafe(value: bigint): boolean {
  return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER);
}
