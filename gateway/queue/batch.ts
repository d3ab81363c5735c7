import type { NewRecord, Source } from "../core/record.ts";
import type { ByteWriter } from "./bytes.ts";
import type { Deferred } from "./deferred.ts";
import { seqKey } from "./keys.ts";
import type { Linker } from "./linker.ts";
import { encodeRecord } from "./record.ts";
import type { Pair } from "./segment-store.ts";
import type { KnownSource, Sources } from "./sources.ts";
import { Tally } from "./tally.ts";

/** What LevelDB's log adds to a pair and to a batch, about. */
const PAIR_OVERHEAD = 12;

/** One call of `append` on its way. */
export interface Append {
  readonly records: readonly NewRecord[];
  /** Estimate of the stored bytes. */
  readonly bytes: number;
  readonly durable: boolean;
  readonly done: Deferred;
}

/** Appends that are written in one step, encoded, with their seqs and links. They keep them whatever happens. */
export class Batch {
  readonly first: number;
  /** Heads of the chains before the first record. */
  readonly heads: Readonly<Record<string, number>>;
  readonly pairs: Pair[] = [];
  readonly tally = new Tally();
  readonly sources = new Map<number, { known: KnownSource; source: Source }>();
  readonly appends: Append[] = [];
  durable = false;

  constructor(first: number, heads: Readonly<Record<string, number>>) {
    this.first = first;
    this.heads = heads;
  }

  get count(): number {
    return this.pairs.length;
  }
  get nextSeq(): number {
    return this.first + this.pairs.length;
  }
  get bytes(): number {
    return this.tally.bytes;
  }
  get diskBytes(): number {
    return this.tally.bytes + this.pairs.length * (8 + PAIR_OVERHEAD);
  }

  add(append: Append, by: { out: ByteWriter; base: number; linker: Linker; sources: Sources }): void {
    for (const record of append.records) this.#addRecord(record, by);
    this.appends.push(append);
    if (append.durable) this.durable = true;
  }

  #addRecord(record: NewRecord, by: { out: ByteWriter; base: number; linker: Linker; sources: Sources }): void {
    const seq = this.nextSeq;
    const { content } = record;
    let known: KnownSource | undefined;
    if (content.kind === "samples") {
      known = by.sources.of(content.source);
      if (!this.sources.has(known.id)) this.sources.set(known.id, { known, source: content.source });
    }
    const chains = by.linker.chainsOf(record);
    const value = encodeRecord(by.out, by.base, seq, record, known, chains);
    this.pairs.push({ key: seqKey(seq), value });
    this.tally.record(seq, value.length, record.taken);
    for (const chain of chains) this.tally.link(chain.slot, seq, value.length);
  }
}
