import type { SentTime } from "../core/clock.ts";
import type { LaneRequest } from "../core/queue.ts";
import type { Content, Entry } from "../core/record.ts";
import type { StoredTime } from "./boots.ts";
import { DamagedError } from "./bytes.ts";
import type { Cursor } from "./cursor.ts";
import { Backoff } from "./deferred.ts";
import { errorText, isRefusal } from "./files.ts";
import type { Health } from "./health.ts";
import type { Range } from "./ranges.ts";
import { RecordReader } from "./record.ts";
import type { Row } from "./row.ts";
import type { Segment } from "./segment.ts";
import type { OpenSegment, StoredRecord } from "./segment-store.ts";
import type { Shelf } from "./shelf.ts";
import { partsOf, type Span } from "./slots.ts";
import { type Missing, missingIn, surveyOf } from "./survey.ts";

/** What is read from a segment at once. */
const CHUNK_RECORDS = 2048;
const CHUNK_BYTES = 512 * 1024;
/** A segment that cannot be read this often in a row, and not for want of room, counts as damaged. */
const MOST_READ_ERRORS = 10;

export interface ReaderParts {
  readonly row: Row;
  readonly shelf: Shelf;
  readonly cursor: Cursor;
  readonly health: Health;
  /** For records from before the uplink was known. */
  readonly selects: (topic: string) => boolean;
  /** The time of a record as it is to be sent. */
  readonly timeOf: (stored: StoredTime) => SentTime;
  /** Sets a segment aside that cannot be read. */
  readonly onDamaged: (segment: Segment, error: unknown) => Promise<void>;
  /** Part of a segment cannot be read. */
  readonly onHurt: (segment: Segment) => void;
  /** The cursor has changed without anybody waiting for it. */
  readonly onMoved: () => void;
}

interface Chunk {
  readonly segment: Segment;
  /** Up to where it was read. */
  readonly to: number;
  readonly open: OpenSegment;
  readonly records: readonly StoredRecord[];
}

/** Seqs of a segment that are not there or cannot be read: `count` of those from `from` to `to`. */
interface Hole {
  readonly from: number;
  to: number;
  count: number;
  readonly segment: Segment;
}

/** Where reading stands. It moves in one step with what is given, so that an aborted read has no effect. */
interface Position {
  /** The next seq to look at. */
  next: number;
  /** Everything up to here was delivered or is not selected. */
  mark: number;
  /** The last selected seq on the chain, as far as known. */
  prev: number;
  readonly chain: string;
  /** Not yet known to be missing: the next record of the chain tells. */
  hole: Hole | undefined;
}

/** The part of a stream that a reader goes through: seqs `from` to `to`, inclusive. */
export interface Bounds {
  readonly from: number;
  readonly to: number;
  /** The last selected seq before the place where two lanes meet; it is not asked for where there is one only. */
  readonly last: number;
}

/** Reads what one uplink is owed in one stream, in order of seq. */
export class Reader {
  readonly #parts: ReaderParts;
  readonly #bounds: () => Bounds;
  readonly #record = new RecordReader();
  #position: Position | undefined;
  #chunk: Chunk | undefined;
  #version = 0;
  #closed: Error | undefined;
  #readErrors = 0;
  /** Damage was found: it goes on when it is known what else of the segment can be read. */
  #unsure = false;
  readonly #backoff = new Backoff(50, 2000);

  /** `bounds` may change with a rewind. */
  constructor(parts: ReaderParts, bounds: () => Bounds) {
    this.#parts = parts;
    this.#bounds = bounds;
  }

  /** Begins again with the first that is owed and overtakes a read under way. */
  rewind(): void {
    this.#position = undefined;
    this.overtake();
  }
  /** What is owed has changed: a read under way looks again. */
  overtake(): void {
    this.#version++;
    this.#chunk = undefined;
    this.#parts.row.changed.ring();
  }

  /** Ends a read that waits, and all that follow, with `reason`. */
  close(reason: Error): void {
    this.#closed = reason;
    this.overtake();
  }

  /** Waits for at least one entry; gives none when there is nothing more up to the end of its part. Rejects with `signal.reason`. */
  async read(want: LaneRequest, signal: AbortSignal): Promise<Entry[]> {
    for (;;) {
      signal.throwIfAborted();
      if (this.#closed) throw this.#closed;
      const { row } = this.#parts;
      const next = this.#nextOwed();
      if (next > this.#bounds().to) return [];
      if (next > row.tail) {
        await row.changed.wait(signal);
        continue;
      }
      const segment = row.segments.at(next);
      if (!segment) {
        this.#loseMissing(next);
        continue;
      }
      const version = this.#version;
      const chunk = await this.#load(segment, next, signal);
      signal.throwIfAborted();
      if (!chunk || version !== this.#version) continue;
      const entries = this.#fill(chunk, next, want);
      if (entries.length > 0) return entries;
    }
  }

  #nextOwed(): number {
    const from = this.#position?.next ?? this.#bounds().from;
    const range = this.#parts.cursor.owedFrom(from);
    return range ? Math.max(range.from, from) : Number.POSITIVE_INFINITY;
  }

  /** What is owed lies in no segment. */
  #loseMissing(from: number): void {
    const { row, cursor } = this.#parts;
    const after = row.segments.after(from);
    const end = Math.min(this.#bounds().to, cursor.owedFrom(from)?.to ?? from);
    const to = Math.min((after?.first ?? row.tail + 1) - 1, end);
    cursor.lose(from, to, { reason: "damaged", epoch: after?.epoch ?? row.epoch, exact: false });
    this.#parts.onMoved();
  }

  /** The chunk that begins with `next`; undefined when to try again. */
  async #load(segment: Segment, next: number, signal: AbortSignal): Promise<Chunk | undefined> {
    const last = this.#chunk?.records.at(-1);
    if (this.#chunk?.segment === segment && last && last.seq >= next && !this.#unsure) return this.#chunk;
    const to = Math.min(segment.last, this.#parts.row.tail, this.#bounds().to);
    const version = this.#version;
    try {
      const chunk = await this.#parts.shelf.use(segment, async (open) => {
        const records = await open.read(next, to, CHUNK_RECORDS, CHUNK_BYTES);
        if (canSurvey(segment) && (this.#unsure || !goesOn(records, next)))
          segment.survey = await surveyOf(segment, open);
        this.#unsure = false;
        return { segment, open, to, records };
      });
      this.#readErrors = 0;
      this.#backoff.reset();
      if (version === this.#version) this.#chunk = chunk;
      return chunk;
    } catch (error) {
      await this.#failed(segment, error, signal);
      return undefined;
    }
  }

  async #failed(segment: Segment, error: unknown, signal: AbortSignal): Promise<void> {
    if (!this.#parts.row.segments.has(segment)) return;
    const unreadable = /Input\/output error/i.test(errorText(error)) && ++this.#readErrors >= MOST_READ_ERRORS;
    if (isRefusal(error) && !unreadable) {
      await this.#backoff.wait(signal);
      return;
    }
    this.#readErrors = 0;
    await this.#parts.onDamaged(segment, error);
  }

  /** Takes what is asked for out of one chunk. The position moves, and the entries are in flight. */
  #fill(chunk: Chunk, first: number, want: LaneRequest): Entry[] {
    const entries: Entry[] = [];
    const left = { records: want.maxRecords, bytes: want.maxBytes };
    const last = chunk.records.at(-1)?.seq ?? first;
    // Each turn is one owed range on one chain.
    for (let next = first; next <= last && this.#take(chunk, next, left, entries); ) next = this.#nextOwed();
    return entries;
  }

  /** Goes through one owed range. Gives false when enough was taken. */
  #take(chunk: Chunk, next: number, left: { records: number; bytes: number }, entries: Entry[]): boolean {
    const { cursor } = this.#parts;
    const { segment } = chunk;
    const range = cursor.owedFrom(next);
    const span = cursor.spanAt(next);
    if (!range || !span) return false;
    const end = Math.min(range.to, span.to, chunk.to);
    const position = this.#positionAt(next, range, span);
    for (let index = indexOf(chunk.records, next); index < chunk.records.length; index++) {
      const stored = chunk.records[index];
      if (!stored) break;
      if (stored.seq > position.next) skip(position, segment, Math.min(stored.seq - 1, end));
      if (stored.seq > end) break;
      if (left.records <= 0 || (left.bytes < stored.value.length && entries.length > 0)) return false;
      position.next = stored.seq + 1;
      const entry = this.#entry(chunk, stored, span, position);
      if (this.#unsure) {
        position.next = stored.seq;
        return false;
      }
      if (!entry) continue;
      entries.push(entry);
      left.records--;
      left.bytes -= stored.value.length;
    }
    // A read that gives nothing says that there is nothing.
    if (chunk.records.length === 0) skip(position, segment, end);
    if (position.next > end) this.#endOf(position, span, end);
    return true;
  }

  #positionAt(next: number, range: Range, span: Span): Position {
    const known = this.#position;
    if (known?.next === next && range.from <= next && known.chain === span.chain) return known;
    // What lies before was settled, or on another chain.
    const bounds = this.#bounds();
    const before = range.from < next && next === bounds.from ? bounds.last : range.prev;
    const prev = before >= span.from ? before : 0;
    const mark = known?.next === next && range.from <= next ? known.mark : next - 1;
    this.#position = { next, mark, prev, chain: span.chain, hole: undefined };
    return this.#position;
  }

  #entry(chunk: Chunk, stored: StoredRecord, span: Span, position: Position): Entry | undefined {
    const { segment, open } = chunk;
    const { seq, value } = stored;
    const record = this.#record;
    let prev: number | undefined;
    let content: Content;
    try {
      record.open(segment.base, seq, value);
      prev = span.slot === undefined ? position.prev : record.prevOf(span.slot);
      if (prev === undefined) return undefined;
      content = record.content((id) => open.sourceOf(id));
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error;
      if (canSurvey(segment)) this.#unsure = true;
      else widen(position, segment, seq, seq);
      return undefined;
    }
    if (span.slot === undefined && !this.#parts.selects(topicOf(content))) return undefined;
    if (position.hole) {
      this.#resolve(position, span.slot === undefined ? seq - 1 : prev, span, true);
      if (span.slot === undefined) prev = position.prev;
    }
    const bootId = open.header?.boot ?? "";
    const { monoMs } = record;
    const time = this.#parts.timeOf({ bootId, monoMs, wallMs: record.wallMs, clock: record.clock });
    const { stream, epoch } = segment;
    const bytes = value.length;
    this.#parts.cursor.take(seq, {
      after: position.mark,
      prev,
      bytes,
      wallMs: time.clock === "unsynced" ? undefined : time.wallMs,
      epoch,
    });
    position.mark = seq;
    position.prev = seq;
    return { stream, seq, epoch, prev, chain: span.chain, bootId, monoMs, ...time, content, bytes };
  }

  /**
   * `head` is the last selected seq up to the end of the hole or behind it: so much tells whether anything is missing. It is
   * `linked` when a record named it.
   */
  #resolve(position: Position, head: number, span: Span, linked: boolean): void {
    const { hole, prev } = position;
    position.hole = undefined;
    if (!hole || head < hole.from) return;
    const { epoch } = hole.segment;
    const counted = this.#countOf(hole, span, head, linked);
    const { count } = counted ?? hole;
    const from = Math.max(counted?.from ?? hole.from, span.from);
    const to = Math.min(counted?.to ?? hole.to, span.to);
    const loss = {
      reason: "damaged",
      epoch,
      count,
      exact: counted !== undefined,
      ...(counted && "holes" in counted ? { holes: counted.holes } : {}),
      // What comes before is known here, unless it begins below.
      ...(from === hole.from ? { prev } : {}),
    } as const;
    if (this.#parts.cursor.lose(from, to, loss) > 0) this.#parts.onHurt(hole.segment);
    position.mark = hole.to;
    position.prev = hole.to;
    this.#parts.onMoved();
  }

  /** How many records of the chain are missing in a hole that has some, or around it; undefined where that cannot be told. */
  #countOf(hole: Hole, span: Span, head: number, linked: boolean): Hole | Missing | undefined {
    const { segment } = hole;
    if (span.slot === undefined) return undefined;
    const [part] = partsOf([span], segment);
    if (hole.from === hole.to && head === hole.to && (linked || part?.exact)) return hole;
    if (!part?.exact) return undefined;
    if (part.count === segment.tally.count) return hole;
    const { cursor } = this.#parts;
    const found = segment.survey?.get(span.slot);
    const owed = cursor.owedWithin(segment.first, segment.last);
    const left = cursor.left(segment, part).count;
    return found && missingIn(hole, found, { first: segment.first, count: part.count, left, owed });
  }

  /** The last seq of the segment that the chain selects, as far as this reader goes. */
  #lastSelected(segment: Segment, span: Span): number {
    const last = partsOf([span], segment)[0]?.to ?? 0;
    const bounds = this.#bounds();
    return last > bounds.to ? bounds.last : last;
  }

  /** Nothing more of this chain in what was read of this segment, or of this owed range. */
  #endOf(position: Position, span: Span, end: number): void {
    if (position.hole) this.#resolve(position, this.#lastSelected(position.hole.segment, span), span, false);
    if (span.slot !== undefined || position.mark >= end) return;
    this.#parts.cursor.pass(position.mark + 1, end, position.prev);
    position.mark = end;
    this.#parts.onMoved();
  }
}

/** Whether damage in it can be counted, and was not yet. */
function canSurvey({ sealed, damaged, survey }: Segment): boolean {
  return sealed && damaged === 0 && !survey;
}

/** Whether the records begin with `next` and none is missing among them. */
function goesOn(records: readonly StoredRecord[], next: number): boolean {
  const last = records.at(-1);
  return records[0]?.seq === next && last !== undefined && last.seq - next + 1 === records.length;
}

/** The hole begins with, or goes on over, `from` to `to`. */
function widen(position: Position, segment: Segment, from: number, to: number): void {
  const { hole } = position;
  const count = to - from + 1;
  if (!hole) position.hole = { from, to, count, segment };
  else {
    hole.to = to;
    hole.count += count;
  }
}

/** What should come next and up to `to` is not there. */
function skip(position: Position, segment: Segment, to: number): void {
  if (to < position.next) return;
  widen(position, segment, position.next, to);
  position.next = to + 1;
}

function topicOf(content: Content): string {
  return content.kind === "message" ? content.topic : content.source.topic;
}

/** Index of the first record at or after `seq`. */
function indexOf(records: readonly StoredRecord[], seq: number): number {
  let low = 0;
  let high = records.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((records[middle]?.seq ?? 0) < seq) low = middle + 1;
    else high = middle;
  }
  return low;
}
