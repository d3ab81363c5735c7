import { Buffer } from "node:buffer";
import type { Value } from "../../core/sample.ts";

/** Distinct texts remembered in quoted form: tag names, topics, reasons repeat in every message. */
const CACHE = 8192;
const quoted = new Map<string, string>();

/** `text` as a JSON string, remembered. For texts that repeat. */
export function quote(text: string): string {
  const known = quoted.get(text);
  if (known !== undefined) return known;
  if (quoted.size >= CACHE) quoted.clear();
  const made = JSON.stringify(text);
  quoted.set(text, made);
  return made;
}

/**
 * A value as JSON text: integers beyond 2^53 as strings, bytes as base64 strings. Undefined where JSON has no word for
 * it (NaN, infinities).
 */
export function valueJson(value: Value): string | undefined {
  switch (typeof value) {
    case "number":
      return Number.isFinite(value) ? String(value) : undefined;
    case "boolean":
      return value ? "true" : "false";
    case "string":
      return JSON.stringify(value);
    case "bigint":
      return isSafe(value) ? String(value) : `"${value}"`;
    default:
      return `"${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64")}"`;
  }
}

function isSafe(value: bigint): boolean {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) && value >= BigInt(Number.MIN_SAFE_INTEGER);
}
