import type { Tag } from "../../core/driver.ts";
import type { Value } from "../../core/sample.ts";
import { UsageError } from "../io.ts";

export interface Assignment {
  readonly what: string;
  readonly value: string;
}

/** `press-1/setpoint=42`, or one name and one value. @throws UsageError. */
export function assignmentsIn(positionals: readonly string[]): Assignment[] {
  const [first, second] = positionals;
  if (first === undefined)
    throw new UsageError("what is to be written? For example: millrace write press-1/setpoint=42");
  if (positionals.length === 2 && second !== undefined && !first.includes("=")) return [{ what: first, value: second }];
  return positionals.map((text) => {
    const at = text.indexOf("=");
    if (at < 1) throw new UsageError(`"${text}" is no assignment; write NAME=VALUE, such as press-1/setpoint=42`);
    return { what: text.slice(0, at), value: text.slice(at + 1) };
  });
}

const TRUE = ["true", "on", "1"];
const FALSE = ["false", "off", "0"];
const WHOLE = /^[+-]?\d+$/;
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/** What a text means for a tag's type. @throws UsageError. */
export function valueFor({ name, type }: Pick<Tag, "name" | "type">, text: string): Value {
  if (type === "bool") {
    const word = text.toLowerCase();
    if (TRUE.includes(word)) return true;
    if (FALSE.includes(word)) return false;
    throw new UsageError(`${name} is a bool: write true or false, not "${text}"`);
  }
  if (type.startsWith("string") || type === "text") return text;
  if (WHOLE.test(text)) {
    const whole = BigInt(text);
    return Number.isSafeInteger(Number(whole)) ? Number(whole) : whole;
  }
  if (NUMBER.test(text)) return Number(text);
  throw new UsageError(`${name} is ${/^[aeio]/.test(type) ? "an" : "a"} ${type}: write a number, not "${text}"`);
}
