/** What the registers of a tag mean. */
export type ValueType =
  | { readonly kind: "bool" }
  | { readonly kind: "integer"; readonly bytes: 2 | 4 | 8; readonly signed: boolean }
  | { readonly kind: "float"; readonly bytes: 2 | 4 | 8 }
  | { readonly kind: "bcd"; readonly bytes: 2 | 4 }
  /** `length` is in bytes of the device's text. */
  | { readonly kind: "string"; readonly length: number }
  /** `width` bits of one register, from bit `start` up. */
  | { readonly kind: "bits"; readonly start: number; readonly width: number };

export const SIMPLE_TYPES = {
  bool: { kind: "bool" },
  int16: { kind: "integer", bytes: 2, signed: true },
  uint16: { kind: "integer", bytes: 2, signed: false },
  int32: { kind: "integer", bytes: 4, signed: true },
  uint32: { kind: "integer", bytes: 4, signed: false },
  int64: { kind: "integer", bytes: 8, signed: true },
  uint64: { kind: "integer", bytes: 8, signed: false },
  float16: { kind: "float", bytes: 2 },
  float32: { kind: "float", bytes: 4 },
  float64: { kind: "float", bytes: 8 },
  bcd16: { kind: "bcd", bytes: 2 },
  bcd32: { kind: "bcd", bytes: 4 },
} as const satisfies Record<string, ValueType>;

export type SimpleType = keyof typeof SIMPLE_TYPES;
export const SIMPLE_TYPE_NAMES = Object.keys(SIMPLE_TYPES) as SimpleType[];
export const STRING_TYPE = /^string\(\d{1,4}\)$/;
export const BITS_TYPE = /^bits\(\d{1,3},\s*\d{1,3}\)$/;

const MAX_STRING = 250;

/** @throws RangeError naming the fault and the cure. */
export function parseType(text: string): ValueType {
  if (Object.hasOwn(SIMPLE_TYPES, text)) return SIMPLE_TYPES[text as SimpleType];
  const numbers = [...text.matchAll(/\d+/g)].map(Number);
  if (STRING_TYPE.test(text)) return stringType(numbers[0] ?? 0);
  if (BITS_TYPE.test(text)) return bitsType(numbers[0] ?? 0, numbers[1] ?? 0);
  throw new RangeError(
    `a type is one of ${SIMPLE_TYPE_NAMES.join(", ")}, string(n) or bits(start,width); not "${text}"`,
  );
}

/** Bytes of registers that hold one value; 2 for a bool, which is a bit of one register. */
export function sizeOf(type: ValueType): number {
  if (type.kind === "string") return type.length + (type.length % 2);
  return type.kind === "bool" || type.kind === "bits" ? 2 : type.bytes;
}

function stringType(length: number): ValueType {
  if (length < 1 || length > MAX_STRING) {
    throw new RangeError(`string(n) has 1 to ${MAX_STRING} bytes, as many as one answer carries; not ${length}`);
  }
  return { kind: "string", length };
}

function bitsType(start: number, width: number): ValueType {
  if (width < 1 || start + width > 16) {
    throw new RangeError(
      `bits(start,width) lies within the bits 0 to 15 of one register; not ${start} and ${width} more`,
    );
  }
  return { kind: "bits", start, width };
}
