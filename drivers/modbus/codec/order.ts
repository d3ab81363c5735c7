import { sizeOf, type ValueType } from "./types.ts";

/**
 * Byte orders by name: the letters stand in the order in which the bytes come over the wire, `A` is the most significant.
 * For a string `BA` swaps the two characters of every register.
 */
const ORDERS: Readonly<Record<number, readonly string[]>> = {
  2: ["AB", "BA"],
  4: ["ABCD", "BADC", "CDAB", "DCBA"],
  8: ["ABCDEFGH", "BADCFEHG", "GHEFCDAB", "HGFEDCBA", "CDABGHEF", "EFGHABCD"],
};

export const ORDER_NAMES = Object.values(ORDERS).flat();

/** The orders that fit a type; the first is the default. */
export function ordersOf(type: ValueType): readonly string[] {
  return ORDERS[type.kind === "string" ? 2 : sizeOf(type)] ?? [];
}

/** Whether the bytes already stand with the most significant first. */
export function isPlain(order: string): boolean {
  return order === "AB" || order === "ABCD" || order === "ABCDEFGH";
}

/** The same bytes with the most significant first, or, with `toWire`, as the wire wants them. Never the same buffer. */
export function reorder(bytes: Buffer, order: string, toWire = false): Buffer {
  const result = Buffer.alloc(bytes.length);
  const step = order.length;
  for (let at = 0; at < bytes.length; at++) {
    const start = at - (at % step);
    const place = start + order.charCodeAt(at % step) - 65;
    if (toWire) result[at] = bytes[place] ?? 0;
    else result[place] = bytes[at] ?? 0;
  }
  return result;
}
