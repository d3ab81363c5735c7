import type { ParseOptions } from "../options.ts";
import { GuardedPattern } from "./pattern.ts";
import type { Field } from "./value.ts";

/** Looks a field up; undefined where the telegram has none of that name. */
export type Fields = (name: string) => Field | undefined;

export type Parsed = { readonly fields: Fields } | { readonly reason: string };

/** The only field of a telegram that is not taken apart. */
export const WHOLE_TEXT = "text";

/** Takes the telegrams of one device apart. */
export class Parser {
  /** Equal for parsers that cannot be told apart by what they accept. */
  readonly key: string;
  /** Reads text in the device's encoding. */
  readonly #decode: (bytes: Buffer) => string | undefined;
  readonly #encoding: ParseOptions["encoding"];
  readonly #parse: (text: string) => Parsed;

  /** @throws SyntaxError when the pattern is none. */
  constructor(options: ParseOptions) {
    this.key = JSON.stringify(options);
    this.#encoding = options.encoding;
    this.#decode = decoders[options.encoding];
    this.#parse = parserOf(options);
  }

  parse(telegram: Buffer): Parsed {
    const text = this.#decode(telegram);
    return text === undefined ? { reason: `not ${this.#encoding}` } : this.#parse(text);
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const decoders: Record<ParseOptions["encoding"], (bytes: Buffer) => string | undefined> = {
  ascii: (bytes) => (bytes.every((byte) => byte < 0x80) ? bytes.toString("latin1") : undefined),
  latin1: (bytes) => bytes.toString("latin1"),
  utf8: (bytes) => {
    try {
      return utf8.decode(bytes);
    } catch {
      return undefined;
    }
  },
  hex: (bytes) => bytes.toString("hex").toUpperCase(),
};

function parserOf({ pattern, columns, json }: ParseOptions): (text: string) => Parsed {
  if (pattern !== undefined) return byPattern(new GuardedPattern(pattern));
  if (columns) return byColumns(new Map(Object.entries(columns).map(([name, range]) => [name, rangeOf(range)])));
  if (json) return byJson;
  return (text) => ({ fields: (name) => (name === WHOLE_TEXT ? text : undefined) });
}

function byPattern(pattern: GuardedPattern): (text: string) => Parsed {
  return (text) => {
    const found = pattern.match(text);
    if (found === "no") return { reason: "the pattern does not match" };
    if (found === "slow") return { reason: "the pattern takes too long" };
    return { fields: (name) => found.fields.get(name) };
  };
}

interface Range {
  readonly from: number;
  readonly to: number;
}

/** `3-10` or 3, as people count: from 1, the last one included. */
export function rangeOf(range: string | number): Range {
  const [from = 1, to = from] = String(range).split("-").map(Number);
  return { from, to };
}

function byColumns(columns: ReadonlyMap<string, Range>): (text: string) => Parsed {
  const last = Math.max(...[...columns.values()].map(({ from }) => from));
  return (text) => {
    if (text.length < last) return { reason: `shorter than ${last} columns` };
    return {
      fields: (name) => {
        const range = columns.get(name);
        return range && text.slice(range.from - 1, range.to);
      },
    };
  };
}

function byJson(text: string): Parsed {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    return { reason: "not JSON" };
  }
  return { fields: (path) => at(document, path.split(".")) };
}

function at(document: unknown, path: readonly string[]): Field | undefined {
  let value = document;
  for (const step of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, step)) return undefined;
    value = Object.entries(value).find(([key]) => key === step)?.[1];
  }
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean" ? value : undefined;
}
