import { bitsOf, numberBits, priorBits } from "./cost.ts";
import { type Expected, expectedOf, type Fit, fitOf } from "./expect.ts";
import { bytesOf, type Reading, readingsAt } from "./readings.ts";
import { type TextReading, textsIn } from "./text.ts";

/** A type and an order. `bit` where it is a bool at that bit of the register. */
export interface Meaning {
  readonly type: string;
  readonly order: string;
  readonly bit?: number;
}

/** Types and orders that give exactly the same values for all samples: nothing can tell them apart. */
export interface Candidate {
  /** The likeliest first. */
  readonly same: readonly Meaning[];
  readonly values: readonly (number | bigint | string)[];
  /** Description length in bits: the least is the likeliest. */
  readonly bits: number;
  /** Present where a number is expected: the register times 10^power is what comes nearest. */
  readonly fit?: Fit;
  /** A few words on what speaks for it and against it. */
  readonly why: readonly string[];
}

export interface RankOptions {
  /** What the device shows, as a person would type it. */
  readonly expect?: string;
  /** The device may show another unit: powers of ten from -6 to 6 instead of -3 to 0. */
  readonly allPowers?: boolean;
}

/** Registers that belong to the value, or to its neighbours. */
const WINDOW = 4;
/** With an expected value, how a plant usually looks decides between what fits alike. */
const LOOKS_WEIGHT = 0.3;

/**
 * Everything that registers can mean, the likeliest first. `samples` are the registers from the address on, oldest sample
 * first, all of one length: 4 are looked at for numbers, all for a text.
 */
export function rank(samples: readonly (readonly number[])[], options: RankOptions = {}): Candidate[] {
  const expected = options.expect === undefined ? undefined : expectedOf(options.expect);
  const all = bytesOf(samples);
  const window = all.map((bytes) => bytes.subarray(0, WINDOW * 2));
  const registers = (window[0]?.length ?? 0) / 2;
  const rest = cheapest(window, registers);
  const numbers = readingsAt(window, 0).map((reading) => {
    const looks = priorBits(reading) + bitsOf(reading) + (rest[reading.width] ?? 0) + aloneBits(reading, window);
    const fit = expected && fitOf(reading.values, expected, options.allPowers ?? false);
    const bits = expected ? looks * LOOKS_WEIGHT + (fit?.bits ?? 100) : looks;
    return { meanings: [meaningOf(reading)], values: reading.values, bits, fit, why: whyOf(reading) };
  });
  const texts = textsIn(all).map((text) => {
    const looks = text.bits + (rest[Math.min(text.width, registers)] ?? 0);
    const bits = expected ? looks * LOOKS_WEIGHT + textFit(text, expected) : looks;
    const meanings = text.lengths.map((length) => ({ type: `string(${length})`, order: text.order }));
    return { meanings, values: text.values, bits, fit: undefined, why: ["printable text"] };
  });
  return grouped([...numbers, ...texts, ...bools(window, rest, expected)]);
}

interface Single {
  readonly meanings: readonly Meaning[];
  readonly values: readonly (number | bigint | string)[];
  readonly bits: number;
  readonly fit: Fit | undefined;
  readonly why: readonly string[];
}

function grouped(singles: readonly Single[]): Candidate[] {
  const groups = new Map<string, Single[]>();
  for (const single of singles) {
    const key = single.values.map((value) => (typeof value === "string" ? `"${value}` : `${value}`)).join("\n");
    groups.set(key, [...(groups.get(key) ?? []), single]);
  }
  const candidates = [...groups.values()].map((group): Candidate => {
    const sorted = [...group].sort((a, b) => a.bits - b.bits);
    const [first] = sorted;
    if (!first) throw new TypeError("an empty group");
    const { values, bits, fit, why } = first;
    return { same: sorted.flatMap(({ meanings }) => meanings), values, bits, why, ...(fit && { fit }) };
  });
  return candidates.sort((a, b) => a.bits - b.bits);
}

/** `rest[n]`: bits of the registers from n on, in the cheapest reading of them as any row of values. */
function cheapest(window: readonly Buffer[], registers: number): number[] {
  const rest: number[] = Array.from({ length: registers + 1 }, () => 0);
  for (let at = registers - 1; at >= 0; at--) {
    const costs = readingsAt(window, at).map(
      (reading) => priorBits(reading) + bitsOf(reading) + (rest[at + reading.width] ?? 0),
    );
    rest[at] = Math.min(...costs);
  }
  return rest;
}

/** Somebody who asks for one register of a longer value sees something dull while the next ones move. */
function aloneBits(reading: Reading, window: readonly Buffer[]): number {
  const { width, values } = reading;
  const later = window.map((bytes) => bytes.subarray(width * 2));
  const [first] = later;
  if (!first || first.length === 0) return 0;
  const isStill = new Set(values).size === 1;
  if (!isStill) return 0;
  const isZero = values[0] === 0;
  const restZero = later.every((bytes) => bytes.every((byte) => byte === 0));
  const restMoves = later.some((bytes) => !bytes.equals(first));
  if (isZero && !restZero) return 8;
  return restMoves && width < WINDOW ? 3 : 0;
}

/** A register that is 0 or 1 may be a bool: bit 0 of it. */
function bools(window: readonly Buffer[], rest: readonly number[], expected: Expected | undefined): Single[] {
  const words = window.flatMap((bytes) => (bytes.length < 2 ? [] : [bytes.readUInt16BE(0)]));
  if (words.length === 0) return [];
  const wanted = wantedBool(expected);
  if (wanted === undefined && words.some((word) => word > 1)) return [];
  const values = words.map((word) => word & 1);
  const alone = words.every((word) => word <= 1) ? 0 : 16;
  const looks = 4 + numberBits(1) + words.length + (rest[1] ?? 0) + alone;
  const bits = expected ? looks * LOOKS_WEIGHT + (wanted !== undefined && values.includes(wanted) ? -4 : 100) : looks;
  return [{ meanings: [{ type: "bool", order: "AB", bit: 0 }], values, bits, fit: undefined, why: ["0 or 1"] }];
}

function wantedBool(expected: Expected | undefined): number | undefined {
  const text = expected?.text.trim().toLowerCase();
  if (text === "true" || text === "on" || text === "1") return 1;
  return text === "false" || text === "off" || text === "0" ? 0 : undefined;
}

function meaningOf({ type, order }: Reading): Meaning {
  return { type, order };
}

function textFit(text: TextReading, { text: wanted, number }: Expected): number {
  const clean = wanted.trim();
  if (text.values.some((value) => value.trim() === clean)) return number === undefined ? -12 : -2;
  const begins = text.values.some((value) => clean !== "" && (value.startsWith(clean) || clean.startsWith(value)));
  if (begins && number === undefined) return -6;
  return 100;
}

function whyOf(reading: Reading): string[] {
  const numbers = reading.values.map(Number);
  const steps = numbers.slice(1).map((value, at) => value - (numbers[at] ?? 0));
  const why: string[] = [];
  const largest = Math.max(...numbers.map(Math.abs));
  if (steps.length > 0 && steps.every((step) => step === 0)) why.push("does not move");
  else if (steps.length > 1 && steps.every((step) => step > 0)) why.push("only rises, as a counter");
  else if (largest > 0 && Math.max(...steps.map(Math.abs)) < largest / 20) why.push("moves smoothly");
  else if (steps.length > 0) why.push("jumps");
  if (reading.kind === "float" && largest > 0 && (largest < 1e-6 || largest > 1e9)) why.push("an unusual magnitude");
  if (reading.kind === "bcd") why.push("every digit is a decimal one");
  if (reading.kind === "integer" && !reading.signed && allOnes(reading)) why.push("all ones: often means no value");
  return why;
}

function allOnes({ values, bytes }: Reading): boolean {
  return values.every((value) => BigInt(value) === (1n << BigInt(bytes * 8)) - 1n);
}
