import type { Source, SourceTag, StoredSample } from "../../core/record.ts";
import type { Quality, Value } from "../../core/sample.ts";

/** A sample, stored or just taken. */
export type Reading = Pick<StoredSample, "tag" | "quality" | "value" | "reason">;

/** The value where it is good; a stale one is none, whatever the last known value was. */
export function goodValue({ quality, value }: Reading): Value | undefined {
  return quality === "good" && isFinite_(value) ? value : undefined;
}

/** Why there is no good value, in words. */
export function reasonOf(sample: Reading): string {
  return sample.reason ?? (sample.quality === "good" ? "not a number" : sample.quality);
}

export function worst(list: readonly Pick<StoredSample, "quality">[]): Quality {
  let found: Quality = "good";
  for (const { quality } of list) {
    if (quality === "bad") return "bad";
    if (quality === "stale") found = "stale";
  }
  return found;
}

const tagsBySource = new WeakMap<Source, ReadonlyMap<string, SourceTag>>();

/** What the source says of a tag. */
export function tagOf(source: Source, name: string): SourceTag | undefined {
  let tags = tagsBySource.get(source);
  if (tags === undefined) {
    tags = new Map(source.tags.map((tag) => [tag.name, tag]));
    tagsBySource.set(source, tags);
  }
  return tags.get(name);
}

/**
 * For bodies that have tags beside other keys: `<tag>` for the value of each, `<tag>_error` for why there is none. A name
 * that is taken gets `_` behind it.
 */
export class KeyNames {
  readonly #taken: Set<string>;
  readonly #reserved: ReadonlySet<string>;

  constructor(list: readonly Reading[], reserved: ReadonlySet<string>) {
    this.#reserved = reserved;
    this.#taken = new Set(list.map(({ tag }) => tag));
  }

  value(tag: string): string {
    return this.#reserved.has(tag) ? this.#free(`${tag}_`) : tag;
  }

  error(tag: string): string {
    return this.#free(`${tag}_error`);
  }

  #free(wanted: string): string {
    let name = wanted;
    while (this.#taken.has(name) || this.#reserved.has(name)) name += "_";
    this.#taken.add(name);
    return name;
  }
}

function isFinite_(value: Value | undefined): boolean {
  return value !== undefined && (typeof value !== "number" || Number.isFinite(value));
}
