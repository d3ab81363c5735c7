import type { Value } from "../../../gateway/core/sample.ts";
import { type Area, LAST_ADDRESS } from "../address.ts";
import { encode } from "../codec/codec.ts";
import type { ValueType } from "../codec/types.ts";
import { pointOf } from "../point.ts";
import type { RegisterOptions } from "./options.ts";
import { waveAt } from "./waves.ts";

type ValueOptions = NonNullable<RegisterOptions["value"]>;
const DEFAULT_WAVE: ValueOptions = { wave: "sine", min: 0, max: 100, period: 10_000 };

/** One value of the map, over `size` addresses from `first`. */
interface Item {
  readonly first: number;
  readonly size: number;
  /** The words of the value at a time; of a bit area one word that is 0 or 1. */
  words(timeMs: number): readonly number[];
}

/**
 * What a unit holds: values that move by themselves, and words that were set, by a test or by a write on the wire, which
 * stay. An address that has neither does not exist.
 */
export class RegisterMap {
  readonly #items: Readonly<Record<Area, Map<number, Item[]>>> = {
    coil: new Map(),
    discrete: new Map(),
    input: new Map(),
    holding: new Map(),
  };
  readonly #set: Readonly<Record<Area, Map<number, number>>> = {
    coil: new Map(),
    discrete: new Map(),
    input: new Map(),
    holding: new Map(),
  };

  /** @returns what is wrong with the options; nothing was added then. */
  add(options: RegisterOptions): readonly { readonly path: readonly string[]; readonly message: string }[] {
    const { count, value = DEFAULT_WAVE, ...tag } = options;
    const { point, faults } = pointOf(tag);
    if (!point) return faults;
    const { area, index, bit } = point.address;
    if (bit !== undefined && count > 1) return [{ path: ["count"], message: "a bit of a register stands alone" }];
    if (index + count * point.count - 1 > LAST_ADDRESS) {
      return [{ path: ["count"], message: `${area} ends at ${LAST_ADDRESS}` }];
    }
    const type: ValueType = bit === undefined ? point.type : { kind: "bits", start: bit, width: 1 };
    const isBit = point.type.kind === "bool";
    const wordsOf = (content: Value) => splitWords(encode(type, point.order, isBit ? Number(content) : content));
    try {
      for (const edge of edgesOf(value)) wordsOf(isBit ? 1 : rounded(type, edge));
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      return [{ path: ["value"], message: `${error.message} in ${options.type}` }];
    }
    for (let item = 0; item < count; item++) {
      const first = index + item * point.count;
      const words = (timeMs: number) => wordsOf(contentAt(value, isBit, type, timeMs, first));
      this.#addItem(area, { first, size: point.count, words });
    }
    return [];
  }

  /** Words from now on, or bits as 0 and 1. The addresses exist afterwards. */
  set(area: Area, address: number, words: readonly number[]): void {
    for (const [index, word] of words.entries()) this.#set[area].set(address + index, word);
  }

  has(area: Area, address: number, count: number): boolean {
    for (let at = address; at < address + count; at++) {
      if (!this.#set[area].has(at) && !this.#items[area].has(at)) return false;
    }
    return true;
  }

  /** The words, all of one moment. Addresses that do not exist are 0. */
  read(area: Area, address: number, count: number, timeMs: number): number[] {
    const known = new Map<Item, readonly number[]>();
    return Array.from({ length: count }, (_, offset) => {
      const at = address + offset;
      const set = this.#set[area].get(at);
      if (set !== undefined) return set;
      let word = 0;
      for (const item of this.#items[area].get(at) ?? []) {
        const words = known.get(item) ?? item.words(timeMs);
        known.set(item, words);
        word |= words[at - item.first] ?? 0;
      }
      return word;
    });
  }

  #addItem(area: Area, item: Item): void {
    const map = this.#items[area];
    for (let at = item.first; at < item.first + item.size; at++) map.set(at, [...(map.get(at) ?? []), item]);
  }
}

/** What must fit the type; everything between then does. */
function edgesOf({ wave, min, max, value }: ValueOptions): readonly Value[] {
  return wave === "constant" ? [value ?? max] : [min, max];
}

function contentAt(options: ValueOptions, isBit: boolean, type: ValueType, timeMs: number, address: number): Value {
  const { wave, min, max, value } = options;
  if (wave === "constant") return isBit ? Boolean(value ?? max) : rounded(type, value ?? max);
  const moving = waveAt({ ...options, wave }, timeMs, address);
  return isBit ? moving > (min + max) / 2 : rounded(type, moving);
}

function rounded(type: ValueType, value: Value): Value {
  return typeof value !== "number" || type.kind === "float" ? value : Math.round(value);
}

function splitWords(bytes: Buffer): number[] {
  return Array.from({ length: bytes.length / 2 }, (_, index) => bytes.readUInt16BE(index * 2));
}
