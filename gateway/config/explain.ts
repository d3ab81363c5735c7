import { z } from "zod";
import type { Path } from "./faults.ts";
import { plannedKey, plannedValue } from "./planned.ts";
import { hint, orList } from "./suggest.ts";

const KINDS: Readonly<Record<string, string>> = {
  string: "text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  object: "a mapping, such as { key: value }",
  record: "a mapping, such as { key: value }",
  array: "a list, such as [ a, b ]",
};

/** A key with nothing behind it. */
export const NO_VALUE = "has no value; give it one, or remove the line";

/** A line of text for one fault that zod found; one line per key where keys are unknown. `base` leads to the schema. */
export function explain(issue: z.core.$ZodRawIssue, base: Path): string | undefined {
  switch (issue.code) {
    case "invalid_type":
      return wrongType(issue.expected, issue.input, issue.inst, lastOf(issue.path));
    case "invalid_value":
      if (issue.input === undefined) return missing(lastOf(issue.path), issue.inst);
      return wrongValue(issue.input, issue.values.map(String), [...base, ...steps(issue.path)]);
    case "unrecognized_keys":
      return issue.keys
        .map((key) => unknownKey([...base, ...steps(issue.path)], key, allowedKeys(issue.inst)))
        .join("\n");
    case "invalid_union":
      return wrongUnion(issue, base);
    case "too_small":
      return bound(issue.origin, "at least", Number(issue.minimum));
    case "too_big":
      return bound(issue.origin, "at most", Number(issue.maximum));
    case "invalid_format":
      return `must be ${issue.format === "regex" ? "of another form" : `a valid ${issue.format}`}`;
    default:
      return undefined;
  }
}

/** A key that nothing allows: planned for later, or a slip of the pen. */
export function unknownKey(path: Path, key: string, allowed: readonly string[]): string {
  return plannedKey(path, key) ?? `unknown key "${key}"${hint(key, allowed)}`;
}

export function wrongValue(input: unknown, allowed: readonly string[], path: Path): string {
  if (input === null) return NO_VALUE;
  const shown = show(input, path);
  if (typeof input !== "string") return `must be ${orList(allowed)}${shown === undefined ? "" : ` (found ${shown})`}`;
  const planned = plannedValue(path, input);
  if (planned !== undefined) return planned;
  const use = allowed.length === 1 ? `; use ${allowed[0]}` : hint(input, allowed, "use one of");
  return `${shown ?? "this"} is not known here${use}`;
}

/** `missing key "unit" (unit id of the device)` */
export function missing(key: string, schema?: unknown): string {
  const about = schema instanceof z.core.$ZodType ? z.globalRegistry.get(schema)?.description : undefined;
  return `missing key "${key}"${about === undefined ? "" : `: ${about}`}`;
}

/** The keys a strict object takes, without those that are only there to be refused. */
export function allowedKeys(schema: unknown): string[] {
  if (!(schema instanceof z.ZodObject)) return [];
  return Object.entries(schema.shape).flatMap(([key, value]) => (isNever(value) ? [] : [key]));
}

/** Whether a key exists only so that its message can say why it is refused. */
export function isNever(schema: unknown): boolean {
  if (schema instanceof z.ZodOptional) return isNever(schema.unwrap());
  return schema instanceof z.ZodNever;
}

const TELLTALE = /pass|secret|token|credential|(^|[^a-z])key$|private/i;

/** A scalar fit to be shown, shortened; undefined where it may be a secret or is not a scalar. */
export function show(value: unknown, path: Path): string | undefined {
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (typeof value !== "string") return undefined;
  if (path.some((step) => TELLTALE.test(String(step))) || /:\/\/[^/]*@/.test(value)) return undefined;
  return JSON.stringify(value.length > 48 ? `${value.slice(0, 47)}…` : value);
}

function wrongType(expected: string, input: unknown, schema: unknown, key: string): string {
  if (input === undefined) return missing(key, schema);
  if (input === null) return NO_VALUE;
  if (expected === "never") return "not in this version";
  const kind = KINDS[expected] ?? expected;
  return `must be ${kind}${typeCure(expected, input)}`;
}

function typeCure(expected: string, input: unknown): string {
  const numeric = expected === "number" || expected === "int";
  if (numeric && typeof input === "string" && input.trim() !== "" && !Number.isNaN(Number(input)))
    return "; remove the quotes";
  if (expected === "string" && (typeof input === "number" || typeof input === "boolean")) return "; put it in quotes";
  return "";
}

function wrongUnion(issue: z.core.$ZodRawIssue<z.core.$ZodIssueInvalidUnion>, base: Path): string {
  const path = [...base, ...steps(issue.path)];
  const options = "options" in issue && Array.isArray(issue.options) ? issue.options.map(String) : undefined;
  if (options !== undefined) {
    const key = lastOf(issue.path);
    const value = isRecord(issue.input) ? issue.input[key] : issue.input;
    if (value === undefined) return `missing key "${key}": ${orList(options)}`;
    return wrongValue(value, options, path);
  }
  if (issue.input === undefined) return missing(lastOf(issue.path), issue.inst);
  const kinds = issue.errors.flatMap((branch) =>
    branch.flatMap((e) => ("expected" in e ? [KINDS[String(e.expected)] ?? ""] : [])),
  );
  return `must be ${orList([...new Set(kinds.filter((kind) => kind !== ""))]) || "something else"}`;
}

function bound(origin: string, words: string, limit: number): string {
  if (origin === "array" || origin === "set") return `needs ${words} ${limit} ${limit === 1 ? "entry" : "entries"}`;
  if (origin === "string")
    return limit === 1 && words === "at least" ? "must not be empty" : `needs ${words} ${limit} characters`;
  return `must be ${words} ${limit}`;
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function lastOf(path: readonly PropertyKey[] | undefined): string {
  return String(path?.at(-1) ?? "");
}

function steps(path: readonly PropertyKey[] | undefined): (string | number)[] {
  return (path ?? []).map((step) => (typeof step === "number" ? step : String(step)));
}
