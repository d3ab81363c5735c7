import { decode } from "../codec/codec.ts";

/** A text that the registers may hold: all lengths that give the same text in every sample. */
export interface TextReading {
  readonly order: string;
  readonly values: readonly string[];
  /** Bytes; even, the shortest first. */
  readonly lengths: readonly number[];
  /** Registers up to the end of the shortest. */
  readonly width: number;
  /** Description length of the registers that the shortest takes. */
  readonly bits: number;
}

const PRIOR = 7;
/** Only of so many bytes other readings say anything. */
const COMPARED = 8;
/** Two characters are easily there by chance. */
const SHORT = 5;
const LEAST_CHARS = 2;
const MOST_BYTES = 250;

/**
 * The texts that begin in the first register, at most one for each order; none where that is no text. `bytes` are the
 * registers of each sample as they came over the wire.
 */
export function textsIn(samples: readonly Buffer[]): TextReading[] {
  return ["AB", "BA"].flatMap((order) => textIn(samples, order) ?? []);
}

function textIn(samples: readonly Buffer[], order: string): TextReading | undefined {
  const room = Math.min(samples[0]?.length ?? 0, MOST_BYTES);
  const plains = samples.map((bytes) => swapped(bytes.subarray(0, room), order));
  const least = fieldLength(plains);
  if (least < LEAST_CHARS) return undefined;
  const at = (bytes: number) => samples.map((sample) => textOf(sample.subarray(0, bytes), order, bytes));
  const values = at(least);
  const lengths: number[] = [];
  // Fields are filled up with zeros or blanks: so far it may be one field.
  const isFiller = (bytes: number) =>
    plains.every((plain) => plain.subarray(least, bytes).every((byte) => byte === 0 || byte === 0x20));
  for (let bytes = least; bytes <= room && isFiller(bytes) && same(at(bytes), values); bytes += 2) lengths.push(bytes);
  const compared = plains.map((plain) => charBits(plain.subarray(0, Math.min(least, COMPARED))));
  const bits = PRIOR + (order === "BA" ? 2 : 0) + (least < 4 ? SHORT : 0) + Math.max(...compared);
  const moving = new Set(values).size - 1;
  return { order, values, lengths, width: least / 2, bits: bits + moving * 8 };
}

function same(a: readonly string[], b: readonly string[]): boolean {
  return a.every((text, at) => text === b[at]);
}

function textOf(bytes: Buffer, order: string, length: number): string {
  const decoded = decode({ kind: "string", length }, order, bytes);
  return "value" in decoded ? String(decoded.value) : "";
}

function swapped(bytes: Buffer, order: string): Buffer {
  return order === "AB" ? bytes : Buffer.from(bytes).swap16();
}

/** Bytes of the field: as far as every sample has text, or zeros behind its text. Whole registers. */
function fieldLength(plains: readonly Buffer[]): number {
  const longest = Math.max(...plains.map(textLength));
  for (let length = longest + (longest % 2); length >= LEAST_CHARS; length -= 2) {
    const isText = (plain: Buffer) => plain.subarray(textLength(plain), length).every((byte) => byte === 0);
    if (plains.every(isText) && plains.some((plain) => textLength(plain) > 1)) return length;
  }
  return 0;
}

/** Bytes up to the first that is no printable character. */
function textLength(plain: Buffer): number {
  let end = 0;
  while (end < plain.length && isPrintable(plain[end] ?? 0)) end++;
  return end;
}

function isPrintable(byte: number): boolean {
  return byte >= 0x20 && byte < 0x7f;
}

/** Letters and digits in words are cheap; a change of kind within a word, signs, and capitals behind small letters are not. */
function charBits(plain: Buffer): number {
  let bits = 0;
  let last = "";
  for (const byte of plain) {
    const kind = kindOf(byte);
    bits += KIND_BITS[kind] ?? 8;
    if (last !== "" && kind !== last) bits += CHANGE_BITS[`${last}${kind}`] ?? 1.5;
    if (last === "l" && kind === "l") bits -= 0.3;
    last = kind;
  }
  return bits + pairBits(plain.toString("latin1"));
}

/** l small letter, U capital, 9 digit, _ blank or joint, . other sign, 0 end. */
function kindOf(byte: number): string {
  if (byte === 0) return "0";
  const char = String.fromCharCode(byte);
  if (/[a-z]/.test(char)) return "l";
  if (/[A-Z]/.test(char)) return "U";
  if (/\d/.test(char)) return "9";
  return /[ _\-./:]/.test(char) ? "_" : ".";
}

const KIND_BITS: Readonly<Record<string, number>> = { l: 4.2, U: 4.7, 9: 3.6, _: 4, ".": 7.5, "0": 1 };
const CHANGE_BITS: Readonly<Record<string, number>> = {
  Ul: 0.5,
  lU: 4,
  "9l": 2.5,
  _U: 0.2,
  _l: 0.5,
  _9: 0.3,
  "0l": 30,
  "0U": 30,
  "09": 30,
  "0_": 30,
  "0.": 30,
};

const PAIRS =
  "th he in er an re on at en nd ti es or te of ed is it al ar st to nt ng se ha as ou io le ve co me de hi ri ro ic ne ea ra ce li ch ll be ma si om ur el tr po mo pr ta ge sy ss sc em us";

const COMMON = new Set(PAIRS.split(" "));

/** Pairs of letters that words have. */
function pairBits(text: string): number {
  const low = text.toLowerCase();
  let bits = 0;
  for (let at = 1; at < low.length; at++) if (COMMON.has(low.slice(at - 1, at + 1))) bits -= 1;
  return bits;
}
