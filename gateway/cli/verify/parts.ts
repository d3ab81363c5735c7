import type { Heard } from "./wire.ts";

type RecordHeard = Extract<Heard, { kind: "record" }>;

/** Records of which some messages are missing still; more than these are not remembered. */
const MOST = 16_384;

interface Pending {
  readonly of: number;
  /** crc by number of the part. */
  readonly crcs: Map<number, number>;
}

/** For `save`; JSON. */
export type SavedParts = readonly (readonly [id: string, of: number, crcs: readonly (readonly [number, number])[]])[];

/** Puts records together that came as several messages: they count once all of them are here. */
export class PartBook {
  readonly #pending = new Map<string, Pending>();

  static of(saved: SavedParts = []): PartBook {
    const book = new PartBook();
    for (const [id, of, crcs] of saved) book.#pending.set(id, { of, crcs: new Map(crcs) });
    return book;
  }

  save(): SavedParts {
    return [...this.#pending].map(([id, { of, crcs }]) => [id, of, [...crcs]] as const);
  }

  /** @returns the record when it is complete with this message, its crc that of all parts. */
  take(record: RecordHeard): RecordHeard | undefined {
    const { part, id } = record;
    if (part === undefined) return record;
    let pending = this.#pending.get(id);
    if (pending?.of !== part.of) {
      pending = { of: part.of, crcs: new Map() };
      this.#pending.set(id, pending);
      this.#forgetOldest();
    }
    pending.crcs.set(part.number, record.crc);
    if (pending.crcs.size < pending.of) return undefined;
    this.#pending.delete(id);
    let crc = 0;
    for (const one of pending.crcs.values()) crc ^= one;
    return { ...record, crc };
  }

  #forgetOldest(): void {
    if (this.#pending.size <= MOST) return;
    const oldest = this.#pending.keys().next();
    if (!oldest.done) this.#pending.delete(oldest.value);
  }
}
