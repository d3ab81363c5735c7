import type { StreamName } from "../core/record.ts";
import type { Segment } from "./segment.ts";

/** One selection of an uplink: from `first` on, records carry its links. */
export interface Slot {
  /** From 1, never used again. */
  readonly slot: number;
  readonly chain: string;
  /** Text of the selection. */
  readonly select: string;
  readonly first: Readonly<Record<StreamName, number>>;
}

/** Seqs of one stream that are on one chain of an uplink. */
export interface Span {
  readonly from: number;
  /** Infinite for the present chain. */
  readonly to: number;
  readonly chain: string;
  /** Undefined for records from before the uplink's first slot: whether they are selected is found when read. */
  readonly slot: number | undefined;
}

/** What of one segment is on one chain of an uplink. `count` and `bytes` are of records it selects. */
export interface Part {
  readonly span: Span;
  readonly from: number;
  readonly to: number;
  readonly count: number;
  readonly bytes: number;
  /** False where the segment was never counted for this uplink: then `count` is the greatest possible number. */
  readonly exact: boolean;
}

/** The spans of an uplink in a stream, in order, covering every seq. `slots` are in order of their making. */
export function spansOf(slots: readonly Slot[], stream: StreamName): Span[] {
  const spans: Span[] = [];
  const [oldest] = slots;
  if (oldest && oldest.first[stream] > 1) {
    spans.push({ from: 1, to: oldest.first[stream] - 1, chain: `${oldest.chain}-h`, slot: undefined });
  }
  for (const [index, slot] of slots.entries()) {
    const to = (slots[index + 1]?.first[stream] ?? Number.POSITIVE_INFINITY) - 1;
    if (to >= slot.first[stream]) spans.push({ from: slot.first[stream], to, chain: slot.chain, slot: slot.slot });
  }
  return spans;
}

/** The parts of a segment; those in which an uplink selects nothing are left out. */
export function partsOf(spans: readonly Span[], segment: Segment): Part[] {
  const parts: Part[] = [];
  for (const span of spans) {
    const from = Math.max(span.from, segment.first);
    const to = Math.min(span.to, segment.last);
    if (from > to) continue;
    const part = span.slot === undefined ? uncounted(span, segment, from, to) : counted(span, segment, from, to);
    if (part) parts.push(part);
  }
  return parts;
}

function uncounted(span: Span, segment: Segment, from: number, to: number): Part {
  const { tally } = segment;
  const count = to - from + 1;
  return { span, from, to, count, bytes: Math.round((tally.bytes * count) / Math.max(1, tally.count)), exact: false };
}

function counted(span: Span, segment: Segment, from: number, to: number): Part | undefined {
  const slot = span.slot === undefined ? undefined : segment.tally.slots.get(span.slot);
  if (segment.damaged > 0) {
    // Any of the records that could not be read may have been selected, also behind the last readable one.
    const count = Math.min(to - from + 1, (slot?.count ?? 0) + segment.damaged);
    return { span, from, to, count, bytes: slot?.bytes ?? 0, exact: false };
  }
  return slot && { span, from: slot.first, to: slot.last, count: slot.count, bytes: slot.bytes, exact: true };
}
