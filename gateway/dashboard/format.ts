import { locale, t } from "./settings.ts";

/** A dash for what is not known. */
export function number(value: number | undefined, digits = 0): string {
  return value === undefined ? "–" : value.toLocaleString(locale(), { maximumFractionDigits: digits });
}

export function percent(value: number): string {
  return `${number(value, value < 10 ? 1 : 0)} %`;
}

export function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let left = value;
  let unit = 0;
  while (left >= 1024 && unit < units.length - 1) {
    left /= 1024;
    unit++;
  }
  return `${number(left, left < 10 && unit > 0 ? 1 : 0)} ${units[unit]}`;
}

export function duration(seconds: number): string {
  if (seconds < 1) return seconds <= 0 ? "0 s" : "< 1 s";
  if (seconds < 120) return `${number(seconds)} s`;
  if (seconds < 7_200) return `${number(seconds / 60)} min`;
  if (seconds < 172_800) return `${number(seconds / 3_600, 1)} h`;
  if (seconds < 86_400 * 730) return t("{n} days", { n: number(seconds / 86_400) });
  return t("{n} years", { n: number(seconds / 86_400 / 365) });
}

/** How long something takes, for a row of a table. */
export function seconds(value: number | undefined): string {
  return value === undefined ? "–" : duration(Math.round(value));
}

/** The same as a figure. The seconds stand beside minutes, to be seen moving; beside hours and days they are noise. */
export function spell(value: number | undefined): { readonly value: string; readonly note?: string } {
  if (value === undefined || value < 119.5 || value >= 7_199.5) return { value: seconds(value) };
  return { value: seconds(value), note: `${number(value)} s` };
}

export function age(at: number | undefined, now: number): string {
  return at === undefined ? "–" : t("{time} ago", { time: duration(Math.max(0, Math.round((now - at) / 1_000))) });
}

export function clock(at: number | undefined): string {
  if (at === undefined) return "–";
  return new Date(at).toLocaleTimeString(locale(), { hour12: false });
}

export function moment(at: number | undefined): string {
  if (at === undefined) return "–";
  return new Date(at).toLocaleString(locale(), { hour12: false, dateStyle: "medium", timeStyle: "medium" });
}

export function shown(value: string | number | boolean | null): string {
  if (value === null) return "–";
  if (typeof value === "boolean") return value ? "true" : "false";
  if (typeof value === "string") return value;
  if (Number.isInteger(value)) return String(value);
  const size = Math.abs(value);
  return size >= 1e9 || size < 1e-4 ? value.toExponential(4) : String(Number(value.toPrecision(6)));
}
