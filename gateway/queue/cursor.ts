import type { Gap, GapReason } from "../core/record.ts";
import { type Done, DoneCounts, type DoneState } from "./done-counts.ts";
import { GapList } from "./gap-list.ts";
import { ascending, joined, type Range, Ranges } from "./ranges.ts";
import type { Row } from "./row.ts";
import type { Segment } from "./segment.ts";
import { timesOf } from "./segment-time.ts";
import { type Part, partsOf, type Slot, type Span, spansOf } from "./slots.ts";

/** Ranges a cursor has on disk at most. */
const MOST_RANGES = 64;

/** A record that was read and has no verdict yet. */
export interface InFlight {
  /** Everything behind this and up to the record is done when the record is: nothing else in there is selected. */
  readonly after: number;
  readonly prev: number;
  readonly bytes: number;
  /** Undefined where it is not known. */
  readonly wallMs: number | undefined;
  readonly epoch: number;
}

/** Records that cannot be delivered. */
export interface Loss {
  readonly reason: GapReason;
  readonly epoch: number;
  /** At most so many; absent: every seq. */
  readonly count?: number;
  /** `count` is of all that is owed in these together: one gap over them, though what lies between is or was delivered. */
  readonly holes?: readonly { readonly from: number; readonly to: number }[];
  /** The last selected seq before, where the caller knows it. */
  readonly prev?: number;
  readonly exact: boolean;
}

/** A cursor as it is on disk. */
export interface CursorState {
  readonly owed: readonly { readonly from: number; readonly to: number | null; readonly prev: number }[];
  readonly gaps: readonly Gap[];
  readonly done: DoneState;
}

/** What one uplink is owed in one stream. Everything it does costs by ranges, not by records of the backlog. */
export class Cursor {
  readonly #row: Row;
  readonly #onGap: (gap: Gap) => void;
  #spans: readonly Span[];
  #owed: Ranges;
  #gaps: GapList;
  readonly #done: DoneCounts;
  readonly #inFlight = new Map<number, InFlight>();
  /** Where two lanes meet: the last seq of the backfill. Undefined while the stream is read as one. */
  fence: number | undefined;

  constructor(row: Row, slots: readonly Slot[], state: CursorState, onGap: (gap: Gap) => void) {
    this.#row = row;
    this.#onGap = onGap;
    this.#spans = spansOf(slots, row.stream);
    this.#owed = new Ranges(state.owed.map((range) => ({ ...range, to: range.to ?? Number.POSITIVE_INFINITY })));
    this.#gaps = new GapList(state.gaps);
    this.#done = new DoneCounts(state.done);
  }

  get gaps(): readonly Gap[] {
    return this.#gaps.all;
  }
  get firstOwed(): Range | undefined {
    return this.#owed.first;
  }

  /** The selection has changed. */
  setSlots(slots: readonly Slot[]): void {
    this.#spans = spansOf(slots, this.#row.stream);
  }

  /** The first owed range that ends at or after `seq`. */
  owedFrom(seq: number): Range | undefined {
    return this.#owed.from(seq);
  }

  spanAt(seq: number): Span | undefined {
    return this.#spans.find((span) => seq <= span.to);
  }

  take(seq: number, record: InFlight): void {
    this.#inFlight.set(seq, record);
  }

  /** Acknowledged. Seqs that are not in flight are left alone. Gives whether anything changed. */
  settle(seqs: readonly number[]): boolean {
    let low = -1;
    let high = -1;
    let tally: { readonly to: number; readonly done: Done } | undefined;
    for (const seq of ascending(seqs)) {
      const record = this.#inFlight.get(seq);
      if (!record) continue;
      this.#inFlight.delete(seq);
      if (!tally || seq > tally.to) tally = this.#doneAt(seq);
      tally.done.count++;
      tally.done.bytes += record.bytes;
      if (record.after !== high) {
        if (high >= 0) this.#owed.subtract(low + 1, high, high);
        low = record.after;
      }
      high = seq;
    }
    if (high >= 0) this.#owed.subtract(low + 1, high, high);
    return high >= 0;
  }

  /** Refused for good: each becomes a gap. Gives whether anything changed. */
  reject(seqs: readonly number[]): boolean {
    const known = ascending(seqs).filter((seq) => this.#inFlight.has(seq));
    for (const seq of known) this.#gapOfRecord(seq, "rejected");
    return this.settle(known);
  }

  /** Forgets what is in flight: it is owed as before. What is not on disk any more becomes a gap. */
  rewind(): void {
    // Behind the tail is what is being written again after a write failed: that will be there.
    const { tail, segments } = this.#row;
    const gone = [...this.#inFlight.keys()].filter((seq) => seq <= tail && !segments.at(seq));
    for (const seq of ascending(gone)) this.#gapOfRecord(seq, "dropped");
    this.settle(gone);
    this.#inFlight.clear();
  }

  /** Nothing in `from` to `to` is selected; `prev` is the last selected seq before. */
  pass(from: number, to: number, prev: number): void {
    this.#owed.subtract(from, to, prev);
  }

  /**
   * What is owed of `from` to `to` cannot be delivered: it becomes a gap of at most `count` records. In flight stays
   * owed. Gives the records lost.
   */
  lose(from: number, to: number, loss: Loss): number {
    let lost = 0;
    for (const span of this.#spans) {
      const within = (low: number, high: number) =>
        this.#owed.within(Math.max(low, from, span.from), Math.min(high, to, span.to));
      const lots = loss.holes
        ? [loss.holes.flatMap((hole) => within(hole.from, hole.to))]
        : within(from, to).map((part) => [part]);
      for (const parts of lots) lost += this.#loseParts(parts, span, loss);
    }
    return lost;
  }

  /** Makes one gap of them. */
  #loseParts(parts: readonly Range[], span: Span, loss: Loss): number {
    const [first] = parts;
    if (!first) return 0;
    const part = { ...first, to: parts.at(-1)?.to ?? first.to };
    const size = part.to - part.from + 1;
    const count = Math.min(size, loss.count ?? size);
    for (const { from, to } of parts) this.#owed.subtract(from, to, to);
    if (count === 0) return 0;
    const { reason, epoch, exact } = loss;
    if (exact) this.#doneAt(part.from).done.count += count;
    const stream = this.#row.stream;
    const prev = loss.prev ?? clip(Math.max(part.prev, this.#headIn(span, part.from)), span);
    this.#add({ stream, epoch, chain: span.chain, from: part.from, to: part.to, prev, count, bytes: 0, reason, exact });
    return count;
  }

  /** What is owed of `from` to `to`. */
  owedWithin(from: number, to: number): readonly Range[] {
    return this.#owed.within(from, to);
  }

  /** A whole segment goes: what is owed of it and not in flight becomes a gap per chain. Gives the records lost. */
  loseSegment(segment: Segment, reason: GapReason): number {
    const parts = partsOf(this.#spans, segment);
    let lost = 0;
    for (const part of parts) lost += this.#loseUnread(segment, part, reason).count;
    this.#passUnread(segment);
    return lost;
  }

  /**
   * What is owed of a segment and not in flight becomes a gap of this uplink, while the segment may stay for others and
   * may still be appended to. Gives what was lost.
   */
  giveUp(segment: Segment, reason: GapReason): { readonly count: number; readonly bytes: number } {
    const lost = { count: 0, bytes: 0 };
    for (const part of partsOf(this.#spans, segment)) {
      const { count, bytes } = this.#loseUnread(segment, part, reason);
      const { done } = this.#doneAt(part.from);
      done.count += count;
      done.bytes += bytes;
      lost.count += count;
      lost.bytes += bytes;
    }
    this.#passUnread(segment);
    return lost;
  }

  #passUnread(segment: Segment): void {
    for (const { from, to } of this.#zones(segment.first, segment.last)) {
      this.#owed.subtract(Math.max(this.#highestInFlight(from, to) + 1, from), to);
    }
  }

  #loseUnread(segment: Segment, part: Part, reason: GapReason): Done {
    // Each lane is read upwards, so what is in flight stands before all of it that is unread.
    const unread = this.#zones(part.from, part.to).flatMap(({ from, to }) =>
      this.#owed.within(Math.max(from, this.#highestInFlight(from, to) + 1), to),
    );
    const [first] = unread;
    const last = unread.at(-1);
    if (!first || !last) return { count: 0, bytes: 0 };
    const left = this.left(segment, part);
    const size = last.to - first.from + 1;
    let { count, bytes } = left;
    for (const [seq, record] of this.#inFlight) {
      if (seq < part.from || seq > part.to) continue;
      count--;
      bytes -= record.bytes;
    }
    count = part.exact ? count : Math.min(size, Math.max(1, count));
    bytes = Math.max(0, bytes);
    this.#owed.subtract(first.from, last.to, last.to);
    if (count <= 0) return { count: 0, bytes: 0 };
    this.#add({
      stream: this.#row.stream,
      epoch: segment.epoch,
      chain: part.span.chain,
      from: first.from,
      to: last.to,
      prev: clip(Math.max(first.prev, this.#highestInFlight(part.span.from, first.from - 1)), part.span),
      ...timesOf(segment, this.#row.timeOf),
      count,
      bytes,
      reason,
      exact: part.exact,
    });
    return { count, bytes };
  }

  /** `from` to `to`, in two where the lanes meet in there. */
  #zones(from: number, to: number): { readonly from: number; readonly to: number }[] {
    const { fence } = this;
    if (fence === undefined || fence < from || fence >= to) return [{ from, to }];
    return [
      { from, to: fence },
      { from: fence + 1, to },
    ];
  }

  /** Gives whether anything changed. */
  settleGap(gap: Gap): boolean {
    return this.#gaps.settle(gap);
  }

  /** Whether anything in the segment is owed. */
  owes(segment: Segment): boolean {
    return partsOf(this.#spans, segment).some((part) => this.#owed.overlaps(part.from, part.to));
  }

  /** The segment is gone, and nothing in it was owed but what is in flight. */
  forget(segment: Segment): void {
    if (this.#highestInFlight(segment.first, segment.last) === 0) this.#owed.subtract(segment.first, segment.last);
    this.#done.forget(segment);
  }

  /** Records owed, with those in flight, and their bytes. */
  depth(): Done {
    const sum = { count: 0, bytes: 0 };
    for (const segment of this.#row.segments.all) {
      for (const part of partsOf(this.#spans, segment)) {
        if (!this.#owed.overlaps(part.from, part.to)) continue;
        const { count, bytes } = this.left(segment, part);
        sum.count += Math.max(0, count);
        sum.bytes += Math.max(0, bytes);
      }
    }
    return sum;
  }

  /** Records owed up to the place where the lanes meet: an estimate in the segment they meet in. Undefined without lanes. */
  backfillDepth(): number | undefined {
    const { fence } = this;
    if (fence === undefined) return undefined;
    let sum = 0;
    for (const segment of this.#row.segments.all) {
      if (segment.first > fence) break;
      for (const part of partsOf(this.#spans, segment)) {
        const below = this.#seqsOwed(part.from, Math.min(part.to, fence));
        if (below === 0) continue;
        const left = Math.max(0, this.left(segment, part).count);
        sum +=
          part.to <= fence ? left : Math.min(below, Math.round((left * below) / this.#seqsOwed(part.from, part.to)));
      }
    }
    return sum;
  }

  #seqsOwed(from: number, to: number): number {
    return this.#owed.within(from, to).reduce((sum, range) => sum + range.to - range.from + 1, 0);
  }

  /** Every selected seq up to here was acknowledged or told as a gap. */
  lastAcked(lastTaken: number): number {
    const [gap] = this.gaps;
    const range = this.#owed.first;
    const acked = !range || range.from > lastTaken ? lastTaken : range.prev;
    return gap ? Math.min(acked, gap.prev) : acked;
  }

  state(): CursorState {
    const { ranges, holes } = joined(this.#owed.all, MOST_RANGES, (from, to) => this.#mayOweAgain(from, to));
    const owedAgain = new Set(
      holes.flatMap((hole) => [hole.from, hole.to].map((seq) => this.#row.segments.at(seq)?.first)),
    );
    return {
      owed: ranges.map(({ from, to, prev }) => ({ from, to: Number.isFinite(to) ? to : null, prev })),
      gaps: this.gaps,
      done: this.#done.state((first) => !owedAgain.has(first)),
    };
  }

  /** Whether all of it is still there, and none of it was told as a gap: then owing it again costs duplicates only. */
  #mayOweAgain(from: number, to: number): boolean {
    if (this.gaps.some((gap) => gap.from <= to && gap.to >= from)) return false;
    for (let seq = from; seq <= to; ) {
      const segment = this.#row.segments.at(seq);
      if (!segment) return false;
      seq = segment.last + 1;
    }
    return true;
  }

  #gapOfRecord(seq: number, reason: GapReason): void {
    const record = this.#inFlight.get(seq);
    const span = this.spanAt(seq);
    if (!record || !span) return;
    const { prev, bytes, wallMs, epoch } = record;
    const { stream } = this.#row;
    const time = wallMs === undefined ? {} : { tFrom: wallMs, tTo: wallMs };
    this.#add({
      stream,
      epoch,
      chain: span.chain,
      from: seq,
      to: seq,
      prev,
      ...time,
      count: 1,
      bytes,
      reason,
      exact: true,
    });
  }

  #add(gap: Gap): void {
    this.#gaps.add(gap);
    this.#onGap(gap);
  }

  /** Where what is done at `seq` is counted, and up to which seq. */
  #doneAt(seq: number): { readonly to: number; readonly done: Done } {
    const segment = this.#row.segments.at(seq);
    const span = this.spanAt(seq);
    if (!segment || !span) return { to: seq, done: { count: 0, bytes: 0 } };
    return { to: Math.min(segment.last, span.to), done: this.#done.of(segment, span) };
  }

  /** What is owed of a part of a segment, as far as what is done was counted. */
  left(segment: Segment, part: Part): Done {
    return this.#done.left(segment, part);
  }

  /** The greatest seq in flight from `from` to `to`; 0 when none. */
  #highestInFlight(from: number, to: number): number {
    let highest = 0;
    for (const seq of this.#inFlight.keys()) {
      if (seq >= from && seq <= to && seq > highest) highest = seq;
    }
    return highest;
  }

  /** The greatest seq below `before` that is known to be on the chain of `span`; 0 when none is known. */
  #headIn(span: Span, before: number): number {
    const { slot } = span;
    if (slot === undefined) return 0;
    for (let index = this.#row.segments.all.length - 1; index >= 0; index--) {
      const last = this.#row.segments.all[index]?.tally.slots.get(slot)?.last;
      if (last !== undefined && last < before) return last;
    }
    return 0;
  }
}

/** A predecessor on another chain is none. */
function clip(prev: number, span: Span): number {
  return prev >= span.from ? prev : 0;
}
