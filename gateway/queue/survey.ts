import { DamagedError } from "./bytes.ts";
import { RecordReader } from "./record.ts";
import type { Segment } from "./segment.ts";
import type { OpenSegment, StoredRecord } from "./segment-store.ts";

const CHUNK_RECORDS = 2048;
const CHUNK_BYTES = 512 * 1024;

/** Seqs from the first to the last that cannot be read, between two records of a chain that can. */
export interface Break {
  readonly from: number;
  readonly to: number;
}

/** One chain slot in a damaged segment. */
export interface SlotSurvey {
  /** Its records that can be read: their seqs, counted from the first of the segment. */
  readonly readable: Uint32Array;
  /** Where the others are: at least one in each. */
  readonly breaks: readonly Break[];
}

interface Counting {
  readonly readable: Uint32Array;
  count: number;
  readonly breaks: Break[];
  last: number | undefined;
}

/** What can be read of a sealed segment in which damage was found: so its gaps can say exactly how much is missing. */
export type Survey = ReadonlyMap<number, SlotSurvey>;

/** Reads all of it. @throws what reading throws. */
export async function surveyOf(segment: Segment, open: OpenSegment): Promise<Survey> {
  const pass = new Pass(segment, open);
  for (let next = segment.first; next <= segment.last; ) {
    const records = await open.read(next, segment.last, CHUNK_RECORDS, CHUNK_BYTES);
    for (const record of records) pass.take(record);
    const last = records.at(-1);
    if (!last) break;
    next = last.seq + 1;
  }
  return pass.end();
}

class Pass {
  readonly #segment: Segment;
  readonly #open: OpenSegment;
  readonly #record = new RecordReader();
  readonly #holes: { from: number; to: number }[] = [];
  readonly #slots = new Map<number, Counting>();
  #next: number;

  constructor(segment: Segment, open: OpenSegment) {
    this.#segment = segment;
    this.#open = open;
    this.#next = segment.first;
    for (const [slot, { count }] of segment.tally.slots) {
      this.#slots.set(slot, { readable: new Uint32Array(count), count: 0, breaks: [], last: undefined });
    }
  }

  take({ seq, value }: StoredRecord): void {
    if (!this.#readable(seq, value)) return;
    this.#missing(this.#next, seq - 1);
    this.#next = seq + 1;
    const { first } = this.#segment;
    this.#record.eachLink((slot, prev) => {
      const found = this.#slots.get(slot);
      if (!found) return;
      found.readable[found.count++] = seq - first;
      if (prev >= first && prev !== found.last) this.#break(found, seq);
      found.last = seq;
    });
  }

  end(): Survey {
    this.#missing(this.#next, this.#segment.last);
    for (const [slot, found] of this.#slots) {
      const { last } = this.#segment.tally.slots.get(slot) ?? {};
      if (last !== undefined && last !== found.last) this.#break(found, this.#segment.last + 1);
    }
    return new Map(
      [...this.#slots].map(([slot, { readable, count, breaks }]) => [
        slot,
        { readable: readable.subarray(0, count), breaks },
      ]),
    );
  }

  #readable(seq: number, value: Buffer): boolean {
    try {
      this.#record.open(this.#segment.base, seq, value);
      this.#record.content((id) => this.#open.sourceOf(id));
      return true;
    } catch (error) {
      if (error instanceof DamagedError) return false;
      throw error;
    }
  }

  #missing(from: number, to: number): void {
    if (from <= to) this.#holes.push({ from, to });
  }

  /** Something of the chain is missing before `next`. */
  #break(found: Counting, next: number): void {
    const after = found.last ?? this.#segment.first - 1;
    const inside = this.#holes.filter(({ from, to }) => from > after && to < next);
    const [first] = inside;
    const last = inside.at(-1);
    if (first && last) found.breaks.push({ from: first.from, to: last.to });
  }
}

/** What an uplink is owed of a chain in a segment. */
export interface Owing {
  /** The first seq of the segment. */
  readonly first: number;
  /** Records of the chain in it, and those of them that are not done with. */
  readonly count: number;
  readonly left: number;
  readonly owed: readonly Break[];
}

/** Records that are owed and missing, in the holes of a segment together. */
export interface Missing extends Break {
  readonly count: number;
  readonly holes: readonly Break[];
}

/**
 * All records that are owed and missing where a hole is, and in the other holes of the segment: how many are in which of
 * them nobody knows, how many they are together the seal tells. Undefined where that cannot be told.
 */
export function missingIn(hole: Break, { readable, breaks }: SlotSurvey, owing: Owing): Missing | undefined {
  const { first, count, left, owed } = owing;
  const holes = breaks.filter((at) => owed.some(({ from, to }) => from <= at.to && to >= at.from));
  if (!holes.some(({ from, to }) => from <= hole.to && to >= hole.from)) return undefined;
  let there = 0;
  for (const { from, to } of owed) there += countBelow(readable, to + 1 - first) - countBelow(readable, from - first);
  // The count of what is done does not survive everything.
  if (count - left < readable.length - there) return undefined;
  const from = holes[0]?.from ?? hole.from;
  const to = holes.at(-1)?.to ?? hole.to;
  return { from, to, count: Math.max(0, left - there), holes };
}

/** How many of the ascending numbers are below `limit`. */
function countBelow(numbers: Uint32Array, limit: number): number {
  let low = 0;
  let high = numbers.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((numbers[middle] ?? 0) < limit) low = middle + 1;
    else high = middle;
  }
  return low;
}
