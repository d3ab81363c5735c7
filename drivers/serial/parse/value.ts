import { scaled } from "../../../gateway/core/decimal.ts";
import type { Value } from "../../../gateway/core/sample.ts";
import type { TagOptions } from "../options.ts";

/** What a field can be; anything but text only comes from JSON. */
export type Field = string | number | boolean;

export type Outcome = { readonly value: Value } | { readonly reason: string };

const DECIMAL = /^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$/;
const WHOLE = /^[+-]?\d+$/;
const HEX_WHOLE = /^(0x)?[0-9a-f]+$/i;
const LEAST = -(2n ** 63n);
const GREATEST = 2n ** 64n - 1n;
const TRUE = ["1", "true", "on", "yes"];
const FALSE = ["0", "false", "off", "no"];

/** The value of a field. `unit`: the field that `unitFrom` names, as far as it was found. */
export function readField(field: Field, options: TagOptions, unit: Field | undefined): Outcome {
  switch (options.type) {
    case "float64":
      return inUnit(decimal(field, options.decimal), options, unit);
    case "int64":
      return inUnit(whole(field, options.radix), options, unit);
    case "bool":
      return truth(field, options);
    case "string":
      return { value: options.trim ? String(field).trim() : String(field) };
    case "bytes":
      return { value: Buffer.from(String(field), options.radix === 16 ? "hex" : "latin1") };
  }
}

function decimal(field: Field, sign: "point" | "comma"): Outcome {
  if (typeof field === "number") return { value: field };
  // Scales put blanks between the sign and the digits.
  const text = String(field)
    .trim()
    .replace(/^([+-])\s+/, "$1");
  const plain = sign === "comma" ? text.replace(",", ".") : text;
  const value = DECIMAL.test(plain) && !(sign === "comma" && text.includes(".")) ? Number(plain) : Number.NaN;
  return Number.isFinite(value) ? { value } : { reason: "not a number" };
}

function whole(field: Field, radix: 10 | 16): Outcome {
  if (typeof field === "number") {
    return Number.isSafeInteger(field) ? { value: field } : { reason: "not a whole number, or too great to be exact" };
  }
  const text = String(field)
    .trim()
    .replace(/^([+-])\s+/, "$1");
  if (!(radix === 16 ? HEX_WHOLE : WHOLE).test(text)) return { reason: "not a whole number" };
  const value = radix === 16 ? BigInt(`0x${text.replace(/^0x/i, "")}`) : BigInt(text.replace(/^\+/, ""));
  if (value < LEAST || value > GREATEST) return { reason: "more than 64 bits" };
  const small = Number(value);
  return { value: Number.isSafeInteger(small) ? small : value };
}

function inUnit(outcome: Outcome, { unitFrom }: TagOptions, unit: Field | undefined): Outcome {
  if ("reason" in outcome) return outcome;
  const text = String(unit ?? "").trim();
  const factor = unitFrom && Object.hasOwn(unitFrom.factors, text) ? unitFrom.factors[text] : undefined;
  if (unitFrom && factor === undefined) return { reason: unit === undefined ? "no unit" : "unknown unit" };
  const { value } = outcome;
  if (factor === undefined || factor === 1 || (typeof value !== "number" && typeof value !== "bigint")) return outcome;
  return { value: scaled(value, { scale: factor, offset: 0 }) };
}

function truth(field: Field, { trueIs, falseIs }: TagOptions): Outcome {
  if (typeof field === "boolean") return { value: field };
  const text = String(field).trim();
  const fold = trueIs === undefined && falseIs === undefined ? text.toLowerCase() : text;
  if ((trueIs ?? (falseIs ? [] : TRUE)).includes(fold)) return { value: true };
  if ((falseIs ?? (trueIs ? [] : FALSE)).includes(fold)) return { value: false };
  if (trueIs && falseIs) return { reason: "neither true nor false" };
  if (trueIs) return { value: false };
  return falseIs ? { value: true } : { reason: "neither true nor false" };
}
