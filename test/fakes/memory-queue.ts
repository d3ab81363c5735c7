import type { BootOffset } from "../../gateway/core/clock.ts";
import { ConfigError, QueueFullError, StorageError } from "../../gateway/core/errors.ts";
import type { Lane, LaneRequest, Queue, QueueReader, QueueStats, Refused } from "../../gateway/core/queue.ts";
import { type Entry, type Gap, type NewRecord, STREAMS, type StreamName } from "../../gateway/core/record.ts";

const EPOCH = 0x1a2b3c4d;

interface Stored {
  readonly seq: number;
  readonly record: NewRecord;
  /** Per uplink that selects it, what `prev` and `chain` are. */
  readonly links: Map<string, { prev: number; chain: string }>;
}

interface Place {
  reader: QueueReader;
  chain: string;
  readonly head: Record<StreamName, number>;
  readonly owed: Record<StreamName, Set<number>>;
  /** Where each lane stands, and the seq where `live` begins; empty until the first read. */
  readonly next: Record<StreamName, Partial<Record<Lane, number>>>;
  readonly meet: Record<StreamName, number>;
  readonly inFlight: Record<StreamName, Set<number>>;
  readonly acked: Record<StreamName, number>;
  gaps: Gap[];
  readonly listeners: Set<() => void>;
}

/** A queue that keeps everything in memory, for tests of what uses one. Durable for as long as the object lives. */
export class MemoryQueue implements Queue {
  readonly #maxRecords: number;
  readonly #rows: Record<StreamName, Stored[]> = { events: [], telemetry: [] };
  readonly #places = new Map<string, Place>();
  #state: "new" | "open" | "closed" = "new";
  #chains = 0;
  #refusals = 0;
  #waiting: (() => void)[] = [];

  /** Refuses with `QueueFullError` while more than `maxRecords` are owed. */
  constructor(maxRecords = Number.POSITIVE_INFINITY) {
    this.#maxRecords = maxRecords;
  }

  async start(): Promise<void> {
    await Promise.resolve();
    if (this.#state === "closed") throw new StorageError("closed");
    this.#state = "open";
  }

  async open(uplink: string, reader: QueueReader): Promise<void> {
    await Promise.resolve();
    this.#check();
    const known = this.#places.get(uplink);
    if (known?.reader.selector.text === reader.selector.text) {
      known.reader = reader;
      return;
    }
    const chain = `c${++this.#chains}`;
    if (known) {
      known.reader = reader;
      known.chain = chain;
      for (const stream of STREAMS) known.head[stream] = 0;
      return;
    }
    const place = newPlace(reader, chain);
    this.#places.set(uplink, place);
    if (reader.from === "oldest") this.#takeOld(uplink, place);
  }

  async append(stream: StreamName, records: readonly NewRecord[]): Promise<void> {
    await Promise.resolve();
    this.#check();
    const owed = Math.max(0, ...[...this.#places.values()].map(({ owed }) => owed.events.size + owed.telemetry.size));
    if (owed + records.length > this.#maxRecords) throw new QueueFullError("full");
    for (const record of records) this.#store(stream, record);
    this.#ring();
  }

  refused(stream: StreamName, { taken, topic, bytes = 0, exact = true }: Refused): void {
    if (this.#state !== "open") return;
    for (const place of this.#places.values()) {
      if (!place.reader.selector.matches(topic)) continue;
      const after = this.#rows[stream].length;
      const known = place.gaps.findIndex((gap) => gap.stream === stream && gap.reason === "refused");
      const before = place.gaps[known];
      const span = { from: after + 1, to: after, prev: after, tFrom: taken.wallMs, chain: place.chain, epoch: EPOCH };
      const gap = before ?? {
        ...span,
        stream,
        count: 0,
        bytes: 0,
        reason: "refused",
        refusal: `0000000${++this.#refusals % 10}`,
        exact,
      };
      const next: Gap = {
        ...gap,
        reason: "refused",
        tTo: taken.wallMs,
        count: gap.count + 1,
        bytes: gap.bytes + bytes,
      };
      place.gaps.splice(known < 0 ? place.gaps.length : known, 1, next);
      for (const listener of [...place.listeners]) listener();
    }
  }

  async read(uplink: string, want: LaneRequest, signal: AbortSignal): Promise<Entry[]> {
    this.#check();
    const place = this.#place(uplink);
    for (;;) {
      signal.throwIfAborted();
      this.#check();
      this.#beginLanes(place, want);
      const entries = this.#take(uplink, place, want);
      if (entries.length > 0 || want.lane === "backfill") return entries;
      await this.#wait(signal);
    }
  }

  async settle(uplink: string, stream: StreamName, seqs: readonly number[]): Promise<void> {
    await Promise.resolve();
    this.#check();
    const place = this.#place(uplink);
    for (const seq of seqs) {
      if (!place.inFlight[stream].delete(seq)) continue;
      place.owed[stream].delete(seq);
      place.acked[stream] = Math.max(place.acked[stream], seq);
    }
  }

  async reject(uplink: string, stream: StreamName, seqs: readonly number[], _reason: string): Promise<void> {
    await Promise.resolve();
    this.#check();
    const place = this.#place(uplink);
    for (const seq of [...seqs].sort((a, b) => a - b)) {
      const stored = this.#rows[stream][seq - 1];
      const link = stored?.links.get(uplink);
      if (!stored || !link || !place.inFlight[stream].has(seq)) continue;
      const { wallMs } = stored.record.taken;
      const bytes = bytesOf(stored.record);
      const span = { from: seq, to: seq, prev: link.prev, tFrom: wallMs, tTo: wallMs, count: 1, bytes };
      addGap(place, { stream, epoch: EPOCH, chain: link.chain, ...span, reason: "rejected", exact: true });
    }
    await this.settle(uplink, stream, seqs);
  }

  rewind(uplink: string): void {
    this.#check();
    const place = this.#place(uplink);
    for (const stream of STREAMS) {
      place.inFlight[stream].clear();
      place.next[stream] = {};
    }
    this.#ring();
  }

  gaps(uplink: string): readonly Gap[] {
    this.#check();
    return this.#place(uplink).gaps;
  }

  onGap(uplink: string, listener: () => void): () => void {
    this.#check();
    const { listeners } = this.#place(uplink);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  async settleGap(uplink: string, gap: Gap): Promise<void> {
    await Promise.resolve();
    this.#check();
    const place = this.#place(uplink);
    place.gaps = place.gaps.filter(
      (other) =>
        other.stream !== gap.stream || other.from !== gap.from || other.to !== gap.to || other.refusal !== gap.refusal,
    );
  }

  /** Its records come as they were taken: whatever clock they had is all that is ever known. */
  clocks(uplink: string): readonly BootOffset[] {
    this.#check();
    this.#place(uplink);
    return [];
  }

  onClock(uplink: string, _listener: () => void): () => void {
    this.#check();
    this.#place(uplink);
    return () => {};
  }

  async settleClock(uplink: string, _bootId: string): Promise<void> {
    await Promise.resolve();
    this.#check();
    this.#place(uplink);
  }

  timed(entry: Entry): Entry {
    return entry;
  }

  stats(): QueueStats {
    this.#check();
    return {
      streams: { events: this.#streamStats("events"), telemetry: this.#streamStats("telemetry") },
      uplinks: [...this.#places].map(([name, place]) => ({
        name,
        chain: place.chain,
        streams: { events: this.#placeStats(place, "events"), telemetry: this.#placeStats(place, "telemetry") },
        gapsPending: place.gaps.length,
      })),
      bytes: 0,
      maxBytes: 0,
      bytesWritten: 0,
      bytesAppended: 0,
      dropped: 0,
      quarantined: 0,
      healthy: true,
    };
  }

  async close(): Promise<void> {
    await Promise.resolve();
    this.#state = "closed";
    this.#ring();
  }

  #check(): void {
    if (this.#state !== "open") throw new StorageError(`the queue is ${this.#state}`);
  }

  #place(uplink: string): Place {
    const place = this.#places.get(uplink);
    if (!place) throw new ConfigError(`the uplink "${uplink}" is not open`);
    return place;
  }

  #store(stream: StreamName, record: NewRecord): void {
    const row = this.#rows[stream];
    const seq = row.length + 1;
    const links = new Map<string, { prev: number; chain: string }>();
    for (const [name, place] of this.#places) {
      if (!(record.to ? record.to.includes(name) : place.reader.selector.matches(topicOf(record)))) continue;
      links.set(name, { prev: place.head[stream], chain: place.chain });
      place.head[stream] = seq;
      place.owed[stream].add(seq);
    }
    row.push({ seq, record, links });
  }

  /** What is there already, for an uplink that begins at the oldest: on a chain of its own. */
  #takeOld(uplink: string, place: Place): void {
    for (const stream of STREAMS) {
      let prev = 0;
      for (const { seq, record, links } of this.#rows[stream]) {
        if (!place.reader.selector.matches(topicOf(record))) continue;
        links.set(uplink, { prev, chain: `${place.chain}-h` });
        place.owed[stream].add(seq);
        prev = seq;
      }
    }
  }

  #beginLanes(place: Place, { stream, lane }: LaneRequest): void {
    if (Object.keys(place.next[stream]).length === 0) {
      const meet = this.#rows[stream].length + 1;
      place.meet[stream] = lane === "fifo" ? Number.POSITIVE_INFINITY : meet;
      place.next[stream] = lane === "fifo" ? { fifo: 1 } : { live: meet, backfill: 1 };
    }
    if (place.next[stream][lane] === undefined) throw new ConfigError(`the lane "${lane}" is not open`);
  }

  #take(uplink: string, place: Place, { stream, lane, maxRecords, maxBytes }: LaneRequest): Entry[] {
    const entries: Entry[] = [];
    let bytes = 0;
    const end = lane === "backfill" ? place.meet[stream] - 1 : this.#rows[stream].length;
    for (const stored of this.#rows[stream].slice((place.next[stream][lane] ?? 1) - 1, end)) {
      const link = stored.links.get(uplink);
      if (link && place.owed[stream].has(stored.seq)) {
        const size = bytesOf(stored.record);
        if (entries.length >= maxRecords || (entries.length > 0 && bytes + size > maxBytes)) break;
        const { taken, content } = stored.record;
        const own = { stream, seq: stored.seq, epoch: EPOCH, bootId: "memory", content, bytes: size };
        entries.push({ ...own, ...link, ...taken });
        place.inFlight[stream].add(stored.seq);
        bytes += size;
      }
      place.next[stream][lane] = stored.seq + 1;
    }
    return entries;
  }

  #wait(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      this.#waiting.push(resolve);
    });
  }

  #ring(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }

  #streamStats(stream: StreamName): QueueStats["streams"][StreamName] {
    const { length } = this.#rows[stream];
    return { nextSeq: length + 1, epoch: EPOCH, segments: 1, bytes: 0, appended: length };
  }

  #placeStats(place: Place, stream: StreamName): QueueStats["uplinks"][number]["streams"][StreamName] {
    const owed = [...place.owed[stream]];
    const first = Math.min(...owed);
    const lastTaken = place.head[stream];
    const before = [...this.#rows[stream]].filter(({ seq, links }) => seq < first && links.size > 0).at(-1)?.seq ?? 0;
    const bytes = owed.reduce((sum, seq) => sum + bytesOf(this.#rows[stream][seq - 1]?.record), 0);
    return { depth: owed.length, bytes, lastTaken, lastAcked: owed.length === 0 ? lastTaken : before };
  }
}

function newPlace(reader: QueueReader, chain: string): Place {
  return {
    reader,
    chain,
    head: { events: 0, telemetry: 0 },
    owed: { events: new Set(), telemetry: new Set() },
    next: { events: {}, telemetry: {} },
    meet: { events: 1, telemetry: 1 },
    inFlight: { events: new Set(), telemetry: new Set() },
    acked: { events: 0, telemetry: 0 },
    gaps: [],
    listeners: new Set(),
  };
}

function addGap(place: Place, gap: Gap): void {
  const index = place.gaps.findIndex(
    ({ stream, to, chain }) => stream === gap.stream && to === gap.prev && chain === gap.chain,
  );
  const before = place.gaps[index];
  if (before) {
    const { count, bytes } = before;
    place.gaps[index] = { ...before, to: gap.to, count: count + gap.count, bytes: bytes + gap.bytes };
  } else place.gaps.push(gap);
  place.gaps.sort((a, b) => (a.stream === b.stream ? a.from - b.from : a.stream < b.stream ? -1 : 1));
  for (const listener of [...place.listeners]) listener();
}

function topicOf({ content }: NewRecord): string {
  return content.kind === "message" ? content.topic : content.source.topic;
}

function bytesOf(record: NewRecord | undefined): number {
  if (!record) return 0;
  return 32 + (record.content.kind === "message" ? record.content.payload.length : record.content.samples.length * 12);
}
