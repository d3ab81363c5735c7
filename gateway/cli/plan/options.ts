import { UsageError } from "../io.ts";

const RATE = /^(\d+(?:\.\d+)?)(?:\/(s|m|min|h|d))?$/;
const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, min: 60, h: 3600, d: 86_400 };
const PERCENT = /^(\d+(?:\.\d+)?) ?%?$/;

/** `100`, `100/s`, `6/m`, `20/h`: per second. @throws UsageError. */
export function rateOption(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const [, count, unit = "s"] = RATE.exec(text) ?? [];
  if (count === undefined) throw new UsageError(`--${name} "${text}" is not a rate; write 100/s, 6/m or 20/h`);
  return Number(count) / (SECONDS[unit] ?? 1);
}

/** `10` or `10%` as 0.1. @throws UsageError. */
export function partOption(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const percent = Number(PERCENT.exec(text)?.[1] ?? Number.NaN);
  if (!(percent >= 0 && percent <= 100))
    throw new UsageError(`--${name} "${text}" is not a percentage from 0 to 100; write 10%`);
  return percent / 100;
}

/** A whole number from 1. @throws UsageError. */
export function countOption(name: string, text: string | undefined, most: number): number | undefined {
  if (text === undefined) return undefined;
  const count = Number(text);
  if (!/^\d+$/.test(text) || count < 1 || count > most)
    throw new UsageError(`--${name} "${text}" is not a whole number from 1 to ${most}`);
  return count;
}
