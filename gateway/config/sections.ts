import type { z } from "zod";
import { explain, isRecord, NO_VALUE, show, unknownKey, wrongValue } from "./explain.ts";
import type { Faults, Path } from "./faults.ts";
import { closest } from "./suggest.ts";

/** Codes whose message gains from the value that was found. A union's does not: a secret is one. */
const SHOWS_VALUE: ReadonlySet<string> = new Set([
  "invalid_type",
  "invalid_value",
  "invalid_format",
  "too_small",
  "too_big",
  "custom",
]);

/**
 * Checks `raw`, which stands at `path`, against a schema.
 * @returns the parsed value, or undefined after its faults were added.
 */
export function parseWith<S extends z.ZodType>(
  schema: S,
  raw: unknown,
  path: Path,
  faults: Faults,
): z.output<S> | undefined {
  const result = schema.safeParse(raw, { error: (issue) => explain(issue, path) });
  if (result.success) return result.data;
  const unknownFirst = result.error.issues.toSorted((a, b) => rank(a) - rank(b));
  for (const issue of unknownFirst) addIssue(issue, raw, path, faults);
  return undefined;
}

/** A misspelt key is told before the key it leaves missing, which is then passed over. */
function rank(issue: z.core.$ZodIssue): number {
  return issue.code === "unrecognized_keys" ? 0 : 1;
}

function addIssue(issue: z.core.$ZodIssue, raw: unknown, base: Path, faults: Faults): void {
  const inside = issue.path.map((step) => (typeof step === "number" ? step : String(step)));
  const path = [...base, ...inside];
  if (issue.code === "unrecognized_keys") {
    const lines = issue.message.split("\n");
    for (const [index, key] of issue.keys.entries()) faults.addKey(path, key, lines[index] ?? issue.message);
    return;
  }
  const value = valueAt(raw, inside);
  const last = path.at(-1);
  if (value === undefined && issue.code !== "custom" && last !== undefined) {
    const message = issue.message.startsWith("missing key") ? issue.message : `missing key "${last}": ${issue.message}`;
    faults.addMissing(path.slice(0, -1), String(last), message);
    return;
  }
  if (value === null && issue.code !== "custom") {
    faults.add(path, NO_VALUE);
    return;
  }
  faults.add(path, withValue(issue, value, path));
}

/** A module's own message, with the value that was found and the word that was probably meant. */
function withValue(issue: z.core.$ZodIssue, value: unknown, path: Path): string {
  const { message } = issue;
  if (message.includes("not in this version")) return message;
  const words = wordsOf(issue);
  if (issue.code === "invalid_union" && "options" in issue && typeof value === "string") {
    return wrongValue(value, words, path);
  }
  const shown = words.length > 0 || SHOWS_VALUE.has(issue.code) ? show(value, path) : undefined;
  if (shown === undefined || message.includes(shown)) return message;
  const meant = typeof value === "string" ? closest(value, words) : undefined;
  return `${message} (found ${shown}${meant === undefined ? "" : `; did you mean "${meant}"?`})`;
}

/** The words that would have been right, where the schema is a list of words. */
function wordsOf(issue: z.core.$ZodIssue): string[] {
  if (issue.code === "invalid_value") return issue.values.map(String);
  if (issue.code !== "invalid_union") return [];
  if ("options" in issue && Array.isArray(issue.options)) return issue.options.map(String);
  return issue.errors.flatMap((branch) => branch.flatMap((inner) => (inner.path.length === 0 ? wordsOf(inner) : [])));
}

function valueAt(raw: unknown, path: Path): unknown {
  let value = raw;
  for (const step of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, step)) return undefined;
    value = Object.entries(value).find(([key]) => key === String(step))?.[1];
  }
  return value;
}

/** One mapping of the file, taken apart into the keys that several schemas own. */
export interface Parts {
  readonly shared: Record<string, unknown>;
  readonly own: Record<string, unknown>;
}

/**
 * Deals the keys of `raw` out to the shared shape and to the module's. A key of neither is a fault.
 * @returns undefined, after a fault, when `raw` is not a mapping.
 */
export function split(
  raw: unknown,
  sharedKeys: readonly string[],
  own: z.ZodObject,
  allowed: readonly string[],
  path: Path,
  faults: Faults,
): Parts | undefined {
  const mapping = asMapping(raw, path, faults);
  if (mapping === undefined) return undefined;
  const parts: Parts = { shared: {}, own: {} };
  for (const [key, value] of Object.entries(mapping)) {
    if (Object.hasOwn(own.shape, key)) parts.own[key] = value;
    else if (sharedKeys.includes(key)) parts.shared[key] = value;
    else if (!allowed.includes(key)) faults.addKey(path, key, unknownKey(path, key, allowed));
  }
  return parts;
}

export function asMapping(raw: unknown, path: Path, faults: Faults): Record<string, unknown> | undefined {
  if (isRecord(raw)) return raw;
  faults.add(path, raw === null ? NO_VALUE : "must be a mapping, such as { key: value }");
  return undefined;
}

/** The list at `key` of the mapping at `path`, which must have at least one entry. */
export function listOf(
  mapping: Record<string, unknown>,
  key: string,
  about: string,
  path: Path,
  faults: Faults,
): unknown[] {
  const value = Object.hasOwn(mapping, key) ? mapping[key] : undefined;
  if (Array.isArray(value) && value.length > 0) return value;
  if (value === undefined) faults.addMissing(path, key, `missing key "${key}": ${about}`);
  else
    faults.add([...path, key], Array.isArray(value) ? `needs at least 1 entry: ${about}` : `must be a list: ${about}`);
  return [];
}

/** Reports every name that is taken already. `scope` is where names must differ: `in the gateway`. */
export function uniqueNames(
  names: readonly { readonly name: unknown; readonly path: Path }[],
  scope: string,
  faults: Faults,
): void {
  const first = new Map<string, Path>();
  for (const { name, path } of names) {
    if (typeof name !== "string") continue;
    const taken = first.get(name);
    if (taken === undefined) first.set(name, path);
    else {
      const line = faults.position(taken).line;
      faults.add(path, `"${name}" is taken already (line ${line}); names must be unique ${scope}`);
    }
  }
}
