import type { Value } from "../../core/sample.ts";

/** A value as a person reads it. */
export function shown(value: Value | undefined): string {
  if (value === undefined) return "?";
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}

/** A value as JSON has it: whole numbers beyond 2^53 as text. */
export function jsonValue(value: Value): string | number | boolean {
  if (typeof value === "bigint") return String(value);
  return value instanceof Uint8Array ? Buffer.from(value).toString("hex") : value;
}
