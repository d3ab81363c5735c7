import type { Source } from "../core/record.ts";

/** A source as records refer to it. */
export interface KnownSource {
  /** Unique within the process, from 1. */
  readonly id: number;
  /** The JSON of its dictionary entry. */
  readonly json: string;
  readonly tagIndex: ReadonlyMap<string, number>;
}

/** Gives every distinct source an id; equal sources share one. Small: as many as there are scan groups. */
export class Sources {
  readonly #byObject = new WeakMap<Source, KnownSource>();
  readonly #byJson = new Map<string, KnownSource>();
  #last = 0;

  of(source: Source): KnownSource {
    const known = this.#byObject.get(source);
    if (known) return known;
    const json = sourceJson(source);
    const made = this.#byJson.get(json) ?? {
      id: ++this.#last,
      json,
      tagIndex: new Map(source.tags.map((tag, index) => [tag.name, index])),
    };
    this.#byJson.set(json, made);
    this.#byObject.set(source, made);
    return made;
  }
}

/** The keys stand in the order of decision 001, so that equal sources have equal bytes. */
function sourceJson(source: Source): string {
  return JSON.stringify({
    link: source.link,
    device: source.device,
    group: source.group,
    topic: source.topic,
    tags: source.tags.map((tag) => ({
      name: tag.name,
      type: tag.type,
      ...(tag.unit === undefined ? {} : { unit: tag.unit }),
    })),
  });
}
