import type { BootOffset } from "../../gateway/core/clock.ts";
import { StorageError } from "../../gateway/core/errors.ts";
import type { Lane, LaneRequest, Queue, QueueReader, QueueStats, Refused } from "../../gateway/core/queue.ts";
import type { Content, Entry, Gap, NewRecord, StreamName } from "../../gateway/core/record.ts";

const EPOCH = 0x1a2b3c4d;
const CHAIN = "c1";
const LANES = ["fifo", "live", "backfill"] as const;

interface Row {
  entries: Entry[];
  /** Per lane, the index of the next entry to read. */
  next: Record<Lane, number>;
  /** Index where the lanes meet; undefined until one of them is read. */
  meet: number | undefined;
  settled: Set<number>;
}

/** A queue for one uplink, in memory. Everything is selected. What it was told is kept for tests to look at. */
export class ListQueue implements Queue {
  readonly settleCalls: { stream: StreamName; seqs: readonly number[] }[] = [];
  readonly rejected: { stream: StreamName; seq: number; reason: string }[] = [];
  readonly settledGaps: Gap[] = [];
  readonly refusals: Refused[] = [];
  readonly settledClocks: string[] = [];
  readonly readCalls: LaneRequest[] = [];
  rewinds = 0;
  /** Settle, reject and settleGap wait for it. */
  settleGate: Promise<void> = Promise.resolve();
  /** Thrown by the next so many calls of settle and read. */
  failing = 0;
  readonly #rows: Record<StreamName, Row> = { events: row(), telemetry: row() };
  #gaps: Gap[] = [];
  #clocks: BootOffset[] = [];
  readonly #known = new Map<string, BootOffset>();
  readonly #clockListeners = new Set<() => void>();
  readonly #gapListeners = new Set<() => void>();
  #waiting: (() => void)[] = [];

  /** Appends messages with these payloads under one topic, seq from 1 up. */
  add(stream: StreamName, payloads: readonly string[], topic = "plant/a"): void {
    const contents = payloads.map(
      (text): Content => ({ kind: "message", topic, payload: Buffer.from(text), qos: 1, retain: false }),
    );
    this.addContents(stream, contents);
  }

  /** What was read from now on, and what was read ahead, is corrected by this offset; a clock record is owed. */
  learn(offset: BootOffset): void {
    this.#clocks.push(offset);
    this.#known.set(offset.bootId, offset);
    for (const row of Object.values(this.#rows)) row.entries = row.entries.map((entry) => this.timed(entry));
    for (const listener of this.#clockListeners) listener();
  }

  /** Entries that are there have no known time. */
  unsync(): void {
    for (const row of Object.values(this.#rows)) {
      row.entries = row.entries.map((entry) => ({ ...entry, clock: "unsynced", wallMs: entry.monoMs }));
    }
  }

  addContents(stream: StreamName, contents: readonly Content[]): void {
    const { entries } = this.#rows[stream];
    for (const content of contents) {
      const prev = entries.at(-1)?.seq ?? 0;
      entries.push({
        stream,
        seq: prev + 1,
        epoch: EPOCH,
        prev,
        chain: CHAIN,
        bootId: "boot-1",
        monoMs: 1000 + prev,
        wallMs: 1_732_300_000_000 + prev,
        clock: "synced",
        content,
        bytes: 200,
      });
    }
    this.#wake();
  }

  /** Takes entries out of the row and tells a gap for them. */
  drop(stream: StreamName, from: number, to: number): Gap {
    const row = this.#rows[stream];
    const inside = (one: Entry) => one.seq >= from && one.seq <= to;
    for (const lane of LANES) row.next[lane] -= row.entries.slice(0, row.next[lane]).filter(inside).length;
    if (row.meet !== undefined) row.meet -= row.entries.slice(0, row.meet).filter(inside).length;
    row.entries = row.entries.filter((one) => !inside(one));
    const gap: Gap = {
      stream,
      epoch: EPOCH,
      chain: CHAIN,
      from,
      to,
      prev: from - 1,
      count: to - from + 1,
      bytes: 200 * (to - from + 1),
      reason: "dropped",
      exact: true,
    };
    this.addGap(gap);
    return gap;
  }

  addGap(gap: Gap): void {
    this.#gaps.push(gap);
    this.#gaps.sort((a, b) => a.from - b.from);
    for (const listener of this.#gapListeners) listener();
  }

  refused(_stream: StreamName, lost: Refused): void {
    this.refusals.push(lost);
  }

  settled(stream: StreamName): number[] {
    return [...this.#rows[stream].settled].sort((a, b) => a - b);
  }

  owed(stream: StreamName): number {
    return this.#rows[stream].entries.filter((one) => !this.#rows[stream].settled.has(one.seq)).length;
  }

  async start(): Promise<void> {}
  async open(_uplink: string, _reader: QueueReader): Promise<void> {}
  async close(): Promise<void> {}

  async append(stream: StreamName, records: readonly NewRecord[]): Promise<void> {
    this.addContents(
      stream,
      records.map((one) => one.content),
    );
    await Promise.resolve();
  }

  async read(_uplink: string, want: LaneRequest, signal: AbortSignal): Promise<Entry[]> {
    this.readCalls.push(want);
    for (;;) {
      signal.throwIfAborted();
      await this.#failIfTold();
      const taken = this.#take(want);
      if (taken.length > 0 || want.lane === "backfill") return taken;
      const heard = new AbortController();
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
        if (signal.aborted) resolve();
        signal.addEventListener("abort", () => resolve(), { once: true, signal: heard.signal });
      });
      heard.abort();
    }
  }

  async settle(_uplink: string, stream: StreamName, seqs: readonly number[]): Promise<void> {
    await this.settleGate;
    await this.#failIfTold();
    this.settleCalls.push({ stream, seqs });
    for (const seq of seqs) this.#rows[stream].settled.add(seq);
  }

  async reject(_uplink: string, stream: StreamName, seqs: readonly number[], reason: string): Promise<void> {
    await this.settleGate;
    for (const seq of seqs) {
      this.rejected.push({ stream, seq, reason });
      this.#rows[stream].settled.add(seq);
    }
  }

  rewind(_uplink: string): void {
    this.rewinds++;
    for (const row of Object.values(this.#rows)) {
      row.next = { fifo: 0, live: 0, backfill: 0 };
      row.meet = undefined;
    }
    this.#wake();
  }

  gaps(_uplink: string): readonly Gap[] {
    return [...this.#gaps];
  }

  onGap(_uplink: string, listener: () => void): () => void {
    this.#gapListeners.add(listener);
    return () => this.#gapListeners.delete(listener);
  }

  async settleGap(_uplink: string, gap: Gap): Promise<void> {
    await this.settleGate;
    this.settledGaps.push(gap);
    this.#gaps = this.#gaps.filter((one) => one.stream !== gap.stream || one.from !== gap.from || one.to !== gap.to);
  }

  clocks(_uplink: string): readonly BootOffset[] {
    return [...this.#clocks];
  }

  onClock(_uplink: string, listener: () => void): () => void {
    this.#clockListeners.add(listener);
    return () => this.#clockListeners.delete(listener);
  }

  async settleClock(_uplink: string, bootId: string): Promise<void> {
    await this.settleGate;
    await this.#failIfTold();
    this.settledClocks.push(bootId);
    this.#clocks = this.#clocks.filter((one) => one.bootId !== bootId);
  }

  timed(entry: Entry): Entry {
    const known = this.#known.get(entry.bootId);
    if (entry.clock !== "unsynced" || known === undefined) return entry;
    const { offsetMs, uncertaintyMs } = known;
    return { ...entry, wallMs: entry.monoMs + offsetMs, clock: "corrected", uncertaintyMs };
  }

  stats(): QueueStats {
    const stream = (name: StreamName) => ({
      nextSeq: (this.#rows[name].entries.at(-1)?.seq ?? 0) + 1,
      epoch: EPOCH,
      segments: 1,
      bytes: 0,
      appended: this.#rows[name].entries.length,
    });
    const own = (name: StreamName) => ({
      depth: this.owed(name),
      bytes: 0,
      lastTaken: this.#rows[name].entries.at(-1)?.seq ?? 0,
      lastAcked: this.#rows[name].settled.size,
    });
    return {
      streams: { events: stream("events"), telemetry: stream("telemetry") },
      uplinks: [
        {
          name: "cloud",
          chain: CHAIN,
          streams: { events: own("events"), telemetry: own("telemetry") },
          gapsPending: this.#gaps.length,
        },
      ],
      bytes: 0,
      maxBytes: 1,
      bytesWritten: 0,
      bytesAppended: 0,
      dropped: 0,
      quarantined: 0,
      healthy: true,
    };
  }

  #take(want: LaneRequest): Entry[] {
    const row = this.#rows[want.stream];
    const taken: Entry[] = [];
    let bytes = 0;
    const { lane } = want;
    if (lane !== "fifo" && row.meet === undefined) {
      row.meet = row.entries.length;
      row.next.live = row.meet;
    }
    const end = lane === "backfill" ? (row.meet ?? 0) : row.entries.length;
    while (taken.length < want.maxRecords && (bytes < want.maxBytes || taken.length === 0)) {
      const entry = row.next[lane] < end ? row.entries[row.next[lane]] : undefined;
      if (entry === undefined) break;
      row.next[lane]++;
      if (row.settled.has(entry.seq)) continue;
      taken.push(entry);
      bytes += entry.bytes;
    }
    return taken;
  }

  async #failIfTold(): Promise<void> {
    await Promise.resolve();
    if (this.failing > 0) {
      this.failing--;
      throw new StorageError("the disk is full");
    }
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const done of waiting) done();
  }
}

function row(): Row {
  return { entries: [], next: { fifo: 0, live: 0, backfill: 0 }, meet: undefined, settled: new Set() };
}
