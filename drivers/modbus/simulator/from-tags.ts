import { z } from "zod";
import { ConfigError } from "../../../gateway/core/errors.ts";
import { type Area, parseAddress } from "../address.ts";
import { parseType, type ValueType } from "../codec/types.ts";
import { tagSchema, valueShape } from "../options.ts";
import { pointOf } from "../point.ts";
import type { RegisterOptions } from "./options.ts";
import { type Quantity, quantityOf } from "./quantities.ts";
import { RegisterMap } from "./registers.ts";

const span = z.tuple([z.number(), z.number()]);
/** What of a tag the simulation knows; all else of it is the gateway's. */
const tagShape = z.object({
  name: z.string(),
  ...valueShape,
  scale: tagSchema.shape.scale,
  offset: tagSchema.shape.offset,
  scaleFactor: tagSchema.shape.scaleFactor,
  unit: z.string().optional(),
  range: span.optional().catch(undefined),
  enum: z.record(z.string(), z.unknown()).optional().catch(undefined),
});
type TagShape = z.infer<typeof tagShape>;
type ValueOptions = NonNullable<RegisterOptions["value"]>;
type Entry = Omit<RegisterOptions, "count">;

/** One turn of a value that moves; neighbours are not in step. */
const PERIOD_MS = 20_000;
/** One more, of a sum. */
const STEP_MS = 1000;
/** A value shows so many steps at least, where its factor is ours to choose. */
const STEPS = 100;

/**
 * Registers for the tags of a device, with values that move as their unit, range or texts have it: what the gateway reads from
 * them looks like a plant. A register that several tags name has the value of the first that is a whole number of registers.
 * @throws ConfigError naming the tag.
 */
export function registersOf(tags: readonly unknown[]): Entry[] {
  const all = tags.map(read);
  const factors = new Map(all.flatMap((tag) => factorOf(tag, all)));
  const isBit = (tag: TagShape) => typeof tag.address === "string" && /\.\d+$/.test(tag.address);
  const wholes = all.filter((tag) => !isBit(tag));
  const taken = new Map<string, "whole" | "bits">();
  const entries: Entry[] = [];
  const add = (tag: TagShape, entry: Entry, kind: "whole" | "bits") => {
    const keys = addressesOf(tag);
    if (keys.some((key) => taken.get(key) === "whole" || (taken.has(key) && kind === "whole"))) return;
    for (const key of keys) taken.set(key, kind);
    entries.push(entry);
  };
  for (const [address, exponent] of factors) {
    const tag = { name: "scale factor", address, type: "int16" as const };
    add(tag, { address, type: "int16", value: constant(exponent) }, "whole");
  }
  for (const tag of wholes) add(tag, entryOf(tag, all, factors), parseTypeOf(tag).kind === "bits" ? "bits" : "whole");
  for (const tag of all.filter(isBit)) add(tag, entryOf(tag, all, factors), "bits");
  // A value and its factor are read together, with what lies between them.
  for (const address of all.flatMap((tag) => betweenOf(tag, all))) {
    if (taken.has(address)) continue;
    taken.set(address, "whole");
    entries.push({ address, type: "uint16", value: constant(0) });
  }
  return entries;
}

function read(tag: unknown): TagShape {
  const parsed = tagShape.safeParse(tag);
  if (parsed.success) return parsed.data;
  const name = z.object({ name: z.string() }).safeParse(tag).data?.name ?? "a tag";
  throw new ConfigError(`${name}: ${z.prettifyError(parsed.error)}`);
}

/** The address of a tag's scale factor, and a power of ten for it. */
function factorOf(tag: TagShape, all: readonly TagShape[]): [string, number][] {
  const address = factorAddress(tag, all);
  if (address === undefined) return [];
  const { min, max } = quantityFor(tag);
  const fine = Math.floor(Math.log10((max - min) / STEPS));
  // So that it fits into 16 bits with their sign.
  const least = Math.ceil(Math.log10(Math.max(Math.abs(min), Math.abs(max)) / 0x7fff));
  return [[address, Math.max(fine, least)]];
}

function factorAddress({ scaleFactor }: TagShape, all: readonly TagShape[]): string | undefined {
  if (scaleFactor === undefined) return undefined;
  const named = all.find(({ name }) => name === scaleFactor);
  const { area, index } = parseAddress(named?.address ?? scaleFactor);
  return `${area}:${index}`;
}

/** Registers between a value and its scale factor. */
function betweenOf(tag: TagShape, all: readonly TagShape[]): string[] {
  const factor = factorAddress(tag, all);
  if (factor === undefined) return [];
  const { area, index } = parseAddress(factor);
  const own = addressesOf(tag).map((address) => parseAddress(address).index);
  const from = Math.min(index, ...own);
  const count = Math.max(index, ...own) - from + 1;
  return Array.from({ length: count }, (_, at) => keyOf(area, from + at));
}

function entryOf(tag: TagShape, all: readonly TagShape[], factors: ReadonlyMap<string, number>): Entry {
  const { name, address, type, order } = tag;
  const place = { address, type, ...(order !== undefined && { order }) };
  const factor = factorAddress(tag, all);
  const power = factor === undefined ? 1 : 10 ** (factors.get(factor) ?? 0);
  for (const value of [movement(tag, power), constant(0)]) {
    if (new RegisterMap().add({ ...place, count: 1, value }).length === 0) return { ...place, value };
  }
  throw new ConfigError(`${name}: ${type} at ${address} cannot be simulated`);
}

function movement(tag: TagShape, power: number): ValueOptions {
  const type = parseTypeOf(tag);
  if (type.kind === "bool") return { wave: "toggle", min: 0, max: 1, period: PERIOD_MS };
  if (type.kind === "string") return { ...constant(0), value: tag.name.slice(0, type.length) };
  if (tag.enum) return texts(Object.keys(tag.enum).map(Number).filter(Number.isInteger));
  if (type.kind === "bits") return { wave: "counter", min: 0, max: 2 ** type.width - 1, period: PERIOD_MS };
  const quantity = quantityFor(tag);
  const { scale = 1, offset = 0 } = tag;
  const raw = (value: number) => (value - offset) / scale / power;
  const ends = [raw(quantity.min), raw(quantity.max)].map((end) => within(end, type));
  const [min, max] = [Math.min(...ends), Math.max(...ends)];
  return quantity.rises
    ? { wave: "counter", min, max, period: STEP_MS }
    : { wave: "sine", min, max, period: PERIOD_MS };
}

/** Through the numbers that have a text, where they lie side by side. */
function texts(numbers: readonly number[]): ValueOptions {
  const [min, max] = [Math.min(...numbers), Math.max(...numbers)];
  const isRow = numbers.length > 0 && max - min === numbers.length - 1;
  return isRow ? { wave: "counter", min, max, period: PERIOD_MS } : constant(numbers[0] ?? 0);
}

function quantityFor({ name, unit, range }: TagShape): Quantity {
  return range ? { min: range[0], max: range[1] } : quantityOf(name, unit);
}

function within(value: number, type: ValueType): number {
  if (type.kind === "bcd") return Math.min(10 ** (type.bytes * 2) - 1, Math.max(0, value));
  if (type.kind !== "integer") return value;
  const bits = Math.min(53, type.bytes * 8 - (type.signed ? 1 : 0));
  // The outermost numbers may mean that there is none.
  return Math.min(2 ** bits - 2, Math.max(type.signed ? -(2 ** bits) + 1 : 0, value));
}

function constant(value: number): ValueOptions {
  return { wave: "constant", min: 0, max: value, period: PERIOD_MS, value };
}

function parseTypeOf({ name, type }: TagShape): ValueType {
  try {
    return parseType(type);
  } catch (error) {
    throw new ConfigError(`${name}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

/** Every register or bit of it. @throws ConfigError. */
function addressesOf(tag: TagShape): string[] {
  const { point, faults } = pointOf({ address: tag.address, type: tag.type });
  if (!point) throw new ConfigError(`${tag.name}: ${faults.map(({ message }) => message).join("; ")}`);
  const { area, index } = point.address;
  return Array.from({ length: point.count }, (_, at) => keyOf(area, index + at));
}

function keyOf(area: Area, index: number): string {
  return `${area}:${index}`;
}
