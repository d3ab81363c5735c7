import { createContext, Script } from "node:vm";
import { messageOf } from "../../../gateway/core/errors.ts";

/** A match may take this long before it is given up; a good one takes microseconds. */
const LIMIT_MS = 25;
/** After one that was given up, none is tried for so many times as long: at most a twentieth of the time is lost. */
const PAUSE_FACTOR = 20;
/** Below so many steps, as estimated, a match needs no watch, which costs 0.15 ms. */
const FREE_STEPS = 100_000;

const context = createContext({ pattern: /x/, text: "" });
const script = new Script("pattern.exec(text)");

/**
 * A regular expression that cannot hold up the program: where one with nested repetitions would try for years, the
 * attempt ends after a few milliseconds and counts as no match.
 */
export class GuardedPattern {
  readonly #pattern: RegExp;
  readonly #repetitions: number;
  #pausedUntilMs = 0;

  /** @throws SyntaxError. */
  constructor(source: string) {
    this.#pattern = new RegExp(source);
    this.#repetitions = nested(source) ? Number.POSITIVE_INFINITY : repetitions(source);
  }

  /** The names of its groups. */
  get groups(): string[] {
    const all = new RegExp(`${this.#pattern.source}|`).exec("");
    return Object.keys(all?.groups ?? {});
  }

  /** @returns the fields; a group that took no part is absent. `slow` when the attempt was given up, or none was made. */
  match(text: string): { readonly fields: ReadonlyMap<string, string> } | "no" | "slow" {
    if (performance.now() < this.#pausedUntilMs) return "slow";
    const found =
      (text.length + 1) ** (this.#repetitions + 1) <= FREE_STEPS ? this.#pattern.exec(text) : this.#watched(text);
    if (found === "slow") return "slow";
    if (!found) return "no";
    const groups = Object.entries(found.groups ?? {}).filter((entry) => entry[1] !== undefined);
    return { fields: new Map(groups) };
  }

  #watched(text: string): RegExpExecArray | null | "slow" {
    // Twice, because on a busy machine the time may have gone to others.
    for (let attempt = 0; attempt < 2; attempt++) {
      const startMs = performance.now();
      const found = execWithin(this.#pattern, text, LIMIT_MS);
      if (found !== "slow") return found;
      const endMs = performance.now();
      this.#pausedUntilMs = endMs + PAUSE_FACTOR * (endMs - startMs);
    }
    return "slow";
  }
}

/** Why a pattern is of no use: a mistake in it, or a telegram of `length` characters that it cannot be done with. */
export function patternFault(source: string, length: number): string | undefined {
  let pattern: RegExp;
  try {
    pattern = new RegExp(source);
  } catch (error) {
    return messageOf(error);
  }
  for (const text of attacks(source, length)) {
    if (execWithin(pattern, text, LIMIT_MS) !== "slow" || execWithin(pattern, text, 8 * LIMIT_MS) !== "slow") continue;
    return `a telegram such as ${JSON.stringify(text.slice(0, 12))} repeated takes it for ever: avoid repetitions within repetitions such as (a+)+, begin with ^, or lower maxBytes`;
  }
  return undefined;
}

/** Telegrams that make a pattern with ambiguous repetitions try everything: the same over and over, and a wrong end. */
function* attacks(source: string, length: number): Generator<string> {
  const own = source.replaceAll(/\\[a-zA-Z]|[\\^$.*+?()[\]{}|<>=!:]/g, "");
  const chars = new Set([...own.slice(0, 200), "0", "a", "A", " ", ".", "-"]);
  const size = Math.min(length, 4_096);
  for (const char of chars) yield `${char.repeat(size)}\u0001`;
  for (const pair of ["0 ", "a ", "0.", "a0", "0,", "a,", "a="]) yield `${pair.repeat(size / 2)}\u0001`;
}

function execWithin(pattern: RegExp, text: string, limitMs: number): RegExpExecArray | null | "slow" {
  context["pattern"] = pattern;
  context["text"] = text;
  try {
    return asMatch(script.runInContext(context, { timeout: limitMs }));
  } catch (error) {
    if (isTimeout(error)) return "slow";
    throw error;
  }
}

/** Not by its class: the error may come from the other context. */
function isTimeout(error: unknown): boolean {
  return (
    typeof error === "object" && error !== null && "code" in error && error.code === "ERR_SCRIPT_EXECUTION_TIMEOUT"
  );
}

function asMatch(result: unknown): RegExpExecArray | null {
  return isMatch(result) ? result : null;
}
function isMatch(result: unknown): result is RegExpExecArray {
  return typeof result === "object" && result !== null && "index" in result;
}

/** How many parts may take any number of characters. */
function repetitions(source: string): number {
  return (plain(source).match(/[*+]|\{\d+,\d*\}/g) ?? []).length;
}

/** Whether a group that repeats holds something that can vary. */
function nested(source: string): boolean {
  const text = plain(source);
  const open: number[] = [];
  for (let at = 0; at < text.length; at++) {
    if (text[at] === "(") open.push(at);
    if (text[at] !== ")") continue;
    const inside = text.slice((open.pop() ?? 0) + 1, at);
    if (/^([*+]|\{)/.test(text.slice(at + 1)) && /[*+|?{]/.test(inside.replace(/^\?(:|<[^>]*>)/, ""))) return true;
  }
  return false;
}

/** Without escaped characters and classes, in which signs mean themselves. */
function plain(source: string): string {
  return source.replaceAll(/\\./g, "x").replaceAll(/\[[^\]]*\]/g, "x");
}
