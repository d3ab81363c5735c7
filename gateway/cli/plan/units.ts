import { formatDuration, formatSize } from "../../core/options/units.ts";

/** A rate with three digits: `12.5/s`, `6/min`, `0.4/h`. */
export function rate(perSecond: number): string {
  if (!Number.isFinite(perSecond)) return "no limit";
  if (perSecond === 0) return "0/s";
  if (perSecond >= 0.1) return `${number(perSecond)}/s`;
  if (perSecond * 60 >= 0.1) return `${number(perSecond * 60)}/min`;
  return `${number(perSecond * 3600)}/h`;
}

/** Three digits, or all that stand before the point. */
export function number(value: number): string {
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString("en-US");
  return String(Number(value.toPrecision(3)));
}

export function percent(value: number): string {
  return value < 0.1 ? "below 0.1 %" : `${value.toFixed(1)} %`;
}

export function perDay(perSecond: number): string {
  return number(perSecond * 86_400);
}

export function size(bytes: number): string {
  return formatSize(bytes);
}

/** Seconds for people. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "for ever";
  return seconds > 0 && seconds < 0.001 ? `${number(seconds * 1e6)} µs` : formatDuration(seconds * 1000);
}
