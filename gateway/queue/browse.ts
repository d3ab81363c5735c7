import type { SentTime } from "../core/clock.ts";
import { ConfigError } from "../core/errors.ts";
import type { Damage, Found, RecordQuery, StoredEntry } from "../core/inspect.ts";
import { type Content, STREAMS, type StreamName } from "../core/record.ts";
import type { Aside } from "./aside.ts";
import type { StoredTime } from "./boots.ts";
import { DamagedError } from "./bytes.ts";
import type { Cursor } from "./cursor.ts";
import { errorText } from "./files.ts";
import { RecordReader } from "./record.ts";
import type { Row } from "./row.ts";
import type { Segment } from "./segment.ts";
import type { OpenSegment, StoredRecord } from "./segment-store.ts";
import type { PerStream } from "./uplink-state.ts";

/** Small: a gateway does its work between two of them. */
const CHUNK_RECORDS = 256;
const CHUNK_BYTES = 128 * 1024;

/** One uplink as a browser sees it. */
export interface BrowsedUplink {
  readonly cursors: PerStream<Cursor>;
  /** For records from before the uplink was known. */
  readonly selects: (topic: string) => boolean;
}

export interface BrowseParts {
  readonly rows: PerStream<Row>;
  readonly aside: Aside;
  readonly timeOf: (stored: StoredTime) => SentTime;
}

/** Every record that the query names, with what cannot be read among them. It ends where the streams ended at the start. */
export async function* browse(
  parts: BrowseParts,
  query: RecordQuery,
  uplink: BrowsedUplink | undefined,
  signal: AbortSignal,
): AsyncGenerator<readonly Found[]> {
  const ends = { events: parts.rows.events.tail, telemetry: parts.rows.telemetry.tail };
  let left = query.limit ?? Number.POSITIVE_INFINITY;
  for (const stream of STREAMS) {
    if (query.stream !== undefined && query.stream !== stream) continue;
    const walk = new Walk(parts, stream, uplink);
    const bounds = { from: query.from ?? 1, to: Math.min(query.to ?? ends[stream], ends[stream]) };
    for await (const chunk of walk.chunks(bounds, () => left, signal)) {
      left -= chunk.filter(({ kind }) => kind === "record").length;
      yield chunk;
      if (left <= 0) return;
    }
  }
}

/** About how many records the query names. */
export function countOf(rows: PerStream<Row>, query: RecordQuery, uplink: BrowsedUplink | undefined): number {
  let sum = 0;
  for (const stream of STREAMS) {
    if (query.stream !== undefined && query.stream !== stream) continue;
    const from = query.from ?? 1;
    const to = query.to ?? Number.POSITIVE_INFINITY;
    const all = rows[stream].segments.all.reduce((count, segment) => count + countIn(segment, from, to), 0);
    sum += uplink ? Math.min(all, uplink.cursors[stream].depth().count) : all;
  }
  return Math.min(sum, query.limit ?? Number.POSITIVE_INFINITY);
}

function countIn({ tally, first, last }: Segment, from: number, to: number): number {
  return Math.min(tally.count, Math.max(0, Math.min(last, to) - Math.max(first, from) + 1));
}

/** A walk over one stream. */
class Walk {
  readonly #parts: BrowseParts;
  readonly #row: Row;
  readonly #cursor: Cursor | undefined;
  readonly #selects: (topic: string) => boolean;
  readonly #record = new RecordReader();

  constructor(parts: BrowseParts, stream: StreamName, uplink: BrowsedUplink | undefined) {
    this.#parts = parts;
    this.#row = parts.rows[stream];
    this.#cursor = uplink?.cursors[stream];
    this.#selects = uplink?.selects ?? (() => true);
  }

  async *chunks(
    { from, to }: { from: number; to: number },
    left: () => number,
    signal: AbortSignal,
  ): AsyncGenerator<readonly Found[]> {
    let next = from;
    for (const segment of [...this.#row.segments.all]) {
      if (segment.last < from || segment.first > to) continue;
      yield this.#nowhere(next, Math.min(segment.first - 1, to));
      const end = Math.min(segment.last, to);
      for (const range of this.#owed(Math.max(segment.first, from), end)) {
        yield* this.#range(segment, range, left, signal);
        if (left() <= 0) return;
      }
      next = segment.last + 1;
    }
    yield this.#nowhere(next, to);
  }

  /** What of these seqs is looked for. */
  *#owed(from: number, to: number): Generator<{ from: number; to: number }> {
    if (!this.#cursor) {
      yield { from, to };
      return;
    }
    for (let next = from; next <= to; ) {
      const range = this.#cursor.owedFrom(next);
      if (!range || range.from > to) return;
      const end = Math.min(range.to, to);
      yield { from: Math.max(range.from, next), to: end };
      next = end + 1;
    }
  }

  /** Owed, and in no segment. */
  #nowhere(from: number, to: number): readonly Found[] {
    if (!this.#cursor || from > to) return [];
    return [...this.#owed(from, to)].map((range) => this.#damage(range.from, range.to, "not on disk"));
  }

  async *#range(
    segment: Segment,
    { from, to }: { from: number; to: number },
    left: () => number,
    signal: AbortSignal,
  ): AsyncGenerator<readonly Found[]> {
    for (let next = from; next <= to; ) {
      signal.throwIfAborted();
      const most = Math.min(CHUNK_RECORDS, left());
      try {
        const chunk = await this.#parts.aside.use(segment, async (open) => {
          const records = await open.read(next, to, most, CHUNK_BYTES);
          return this.#decoded(segment, open, records, next, to);
        });
        next = chunk.next;
        yield chunk.found;
      } catch (error) {
        if (error instanceof ConfigError) throw error;
        // Delivered and removed while it was being read: that is no damage.
        if (this.#row.segments.has(segment)) yield [this.#damage(next, to, errorText(error))];
        return;
      }
    }
  }

  #decoded(
    segment: Segment,
    open: OpenSegment,
    records: readonly StoredRecord[],
    first: number,
    to: number,
  ): { found: readonly Found[]; next: number } {
    const found: Found[] = [];
    let next = first;
    for (const { seq, value } of records) {
      if (seq > next) found.push(this.#damage(next, seq - 1, "unreadable"));
      next = seq + 1;
      try {
        const entry = this.#entry(segment, open, seq, value);
        if (entry) found.push({ kind: "record", entry });
      } catch (error) {
        if (!(error instanceof DamagedError)) throw error;
        found.push(this.#damage(seq, seq, error.message));
      }
    }
    if (records.length > 0) return { found, next };
    return { found: [this.#damage(first, to, "unreadable")], next: to + 1 };
  }

  /** Undefined where the uplink does not select it. */
  #entry(segment: Segment, open: OpenSegment, seq: number, value: Buffer): StoredEntry | undefined {
    const record = this.#record;
    record.open(segment.base, seq, value);
    const span = this.#cursor?.spanAt(seq);
    if (span?.slot !== undefined && record.prevOf(span.slot) === undefined) return undefined;
    const content = record.content((id) => open.sourceOf(id));
    if (this.#cursor && span?.slot === undefined && !this.#selects(topicOf(content))) return undefined;
    const bootId = open.header?.boot ?? "";
    const { monoMs, wallMs, clock } = record;
    const time = this.#parts.timeOf({ bootId, monoMs, wallMs, clock });
    const { stream, epoch } = segment;
    return { stream, seq, epoch, bootId, monoMs, ...time, content, bytes: value.length };
  }

  #damage(from: number, to: number, reason: string): Found {
    const damage: Damage = { stream: this.#row.stream, from, to, reason };
    return { kind: "damage", damage };
  }
}

function topicOf(content: Content): string {
  return content.kind === "message" ? content.topic : content.source.topic;
}
