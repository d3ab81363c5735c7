import type { Segment } from "./segment.ts";
import type { Part, Span } from "./slots.ts";

export interface Done {
  count: number;
  bytes: number;
}

/** Per segment and slot, records that are not owed any more, and their bytes; as it is on disk. */
export type DoneState = Readonly<Record<string, readonly [number, number]>>;

/** What one uplink has done with in each segment, so that what is left of it is known without reading. */
export class DoneCounts {
  readonly #done: Map<string, Done>;

  constructor(state: DoneState) {
    this.#done = new Map(Object.entries(state).map(([key, [count, bytes]]) => [key, { count, bytes }]));
  }

  /** The count of one chain in one segment, to be added to. */
  of(segment: Segment, span: Span): Done {
    const key = keyOf(segment, span);
    const done = this.#done.get(key) ?? { count: 0, bytes: 0 };
    this.#done.set(key, done);
    return done;
  }

  /** What of a part of a segment is not done with. */
  left(segment: Segment, part: Part): Done {
    const done = this.#done.get(keyOf(segment, part.span));
    return { count: part.count - (done?.count ?? 0), bytes: part.bytes - (done?.bytes ?? 0) };
  }

  forget(segment: Segment): void {
    for (const key of [...this.#done.keys()]) if (firstOf(key) === segment.first) this.#done.delete(key);
  }

  /** Of the segments that `keep` names by their first seq. */
  state(keep: (first: number) => boolean): DoneState {
    const kept = [...this.#done].filter(([key]) => keep(firstOf(key)));
    return Object.fromEntries(kept.map(([key, { count, bytes }]) => [key, [count, bytes]]));
  }
}

function keyOf(segment: Segment, span: Span): string {
  return `${segment.first}/${span.slot ?? 0}`;
}

function firstOf(key: string): number {
  return Number(key.split("/")[0]);
}
