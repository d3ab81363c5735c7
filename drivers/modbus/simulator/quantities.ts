/** What a quantity does in a plant that runs: between two values, or a sum that rises. */
export interface Quantity {
  readonly min: number;
  readonly max: number;
  readonly rises?: boolean;
}

const SUM: Quantity = { min: 1000, max: 9000, rises: true };
const POWER: Quantity = { min: 200, max: 3600 };

/** By the unit of a tag, without its prefix. */
const BY_UNIT: Readonly<Record<string, Quantity>> = {
  V: { min: 226, max: 234 },
  A: { min: 0.5, max: 16 },
  W: POWER,
  VA: POWER,
  var: { min: 0, max: 400 },
  Wh: SUM,
  VAh: SUM,
  varh: SUM,
  h: SUM,
  min: SUM,
  s: SUM,
  Hz: { min: 49.95, max: 50.05 },
  "%": { min: 5, max: 95 },
  "°C": { min: 18, max: 62 },
  rpm: { min: 0, max: 1500 },
  bar: { min: 0.5, max: 9.5 },
};
const OTHER: Quantity = { min: 0, max: 100 };
const PREFIXES: Readonly<Record<string, number>> = { k: 1e3, M: 1e6, m: 1e-3 };

/** Has no unit, or one of several. */
const POWER_FACTOR = /(^|_)(pf|cos_?phi|power_?factor)/i;

/** In the unit itself: 0.2 to 3.6 for kW. A sum is a sum in any unit. */
export function quantityOf(name: string, unit: string | undefined): Quantity {
  if (POWER_FACTOR.test(name)) return unit === "%" ? { min: 80, max: 99 } : { min: 0.8, max: 0.99 };
  if (unit === undefined) return OTHER;
  const plain = Object.hasOwn(BY_UNIT, unit) ? BY_UNIT[unit] : undefined;
  if (plain) return plain;
  const prefix = unit[0] ?? "";
  const base = unit.slice(1);
  const factor = Object.hasOwn(PREFIXES, prefix) ? PREFIXES[prefix] : undefined;
  const quantity = Object.hasOwn(BY_UNIT, base) ? BY_UNIT[base] : undefined;
  if (factor === undefined || !quantity) return OTHER;
  return quantity.rises ? quantity : { min: quantity.min / factor, max: quantity.max / factor };
}
