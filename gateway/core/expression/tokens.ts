import { narrowed } from "../decimal.ts";
import { ExpressionError } from "./error.ts";

export type Token =
  | {
      readonly kind: "value";
      readonly value: number | bigint | string | boolean;
      readonly text: string;
      readonly at: number;
    }
  | { readonly kind: "name"; readonly text: string; readonly quoted: boolean; readonly at: number }
  | { readonly kind: "sign"; readonly text: string; readonly at: number };

const SPACE = /\s+/y;
const NUMBER = /0x[0-9a-f]+|\d+(?:\.\d+)?(?:e[+-]?\d+)?/iy;
const NAME = /[\p{L}_][\p{L}\p{N}_.]*/uy;
const BRACED = /\{([^{}]+)\}/y;
const TEXT = /'([^']*)'|"([^"]*)"/y;
const SIGN = /\|\||&&|[=!<>]=|[-+*/%<>!?:(),]/y;

const CURES: Readonly<Record<string, string>> = {
  "=": 'compare with "=="',
  "&": 'use "&&", or bit(x, n) for a bit',
  "|": 'use "||"',
  "^": "use pow(x, y)",
  "{": "a } is missing",
  "'": "the quote is not closed",
  '"': "the quote is not closed",
};

/** @throws ExpressionError. */
export function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  const match = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    return pattern.exec(text);
  };
  while (at < text.length) {
    const space = match(SPACE);
    if (space) {
      at += space[0].length;
      continue;
    }
    const token = tokenAt(match, at);
    if (!token) throw strange(text, at);
    tokens.push(token.token);
    at += token.length;
  }
  return tokens;
}

function tokenAt(
  match: (pattern: RegExp) => RegExpExecArray | null,
  at: number,
): { readonly token: Token; readonly length: number } | undefined {
  const number = match(NUMBER);
  if (number)
    return { token: { kind: "value", value: numberOf(number[0]), text: number[0], at }, length: number[0].length };
  const name = match(NAME);
  if (name) {
    const [text] = name;
    if (text === "true" || text === "false") {
      return { token: { kind: "value", value: text === "true", text, at }, length: text.length };
    }
    return { token: { kind: "name", text, quoted: false, at }, length: text.length };
  }
  const braced = match(BRACED);
  if (braced) {
    return { token: { kind: "name", text: (braced[1] ?? "").trim(), quoted: true, at }, length: braced[0].length };
  }
  const quoted = match(TEXT);
  if (quoted) {
    const value = quoted[1] ?? quoted[2] ?? "";
    return { token: { kind: "value", value, text: quoted[0], at }, length: quoted[0].length };
  }
  const sign = match(SIGN);
  return sign ? { token: { kind: "sign", text: sign[0], at }, length: sign[0].length } : undefined;
}

function numberOf(text: string): number | bigint {
  return /^(0x[0-9a-f]+|\d+)$/i.test(text) ? narrowed(BigInt(text)) : Number(text);
}

function strange(text: string, at: number): ExpressionError {
  const char = text[at] ?? "";
  const cure = Object.hasOwn(CURES, char) ? `; ${CURES[char]}` : "";
  return new ExpressionError(`"${char}" is not understood${cure}`, at);
}
