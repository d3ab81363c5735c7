import type { BootOffset, Clock } from "../core/clock.ts";
import { ConfigError, StorageError } from "../core/errors.ts";
import type { Inspector } from "../core/inspect.ts";
import type { Logger } from "../core/log.ts";
import type { Metrics } from "../core/metrics.ts";
import type { QueueOptions } from "../core/options/queue.ts";
import type { LaneRequest, QueueReader, QueueStats, Refused } from "../core/queue.ts";
import { type Entry, type Gap, type NewRecord, STREAMS, type StreamName } from "../core/record.ts";
import type { Worker } from "../core/work.ts";
import type { StoredTime } from "./boots.ts";
import type { ClockKeeper } from "./clock-keeper.ts";
import { Committer } from "./committer.ts";
import { Enrolment } from "./enrolment.ts";
import type { Folders } from "./folders.ts";
import type { Health } from "./health.ts";
import { Insight } from "./insight.ts";
import type { LaneReaders } from "./lanes.ts";
import { Limits } from "./limits.ts";
import { LiveInspector } from "./live.ts";
import type { Quarantine } from "./quarantine.ts";
import type { Recovered } from "./recovery.ts";
import { Remover } from "./remover.ts";
import { Reserve } from "./reserve.ts";
import type { SegmentStore } from "./segment-store.ts";
import { SegmentWriter } from "./segment-writer.ts";
import type { Shelf } from "./shelf.ts";
import { Sources } from "./sources.ts";
import type { Totals } from "./totals.ts";
import { type PerStream, perStream, type UplinkState } from "./uplink-state.ts";

export interface StoreParts {
  readonly options: QueueOptions;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly folders: Folders;
  readonly engine: SegmentStore;
  readonly shelf: Shelf;
  readonly health: Health;
  readonly totals: Totals;
  readonly keeper: ClockKeeper;
  readonly quarantine: Quarantine;
  readonly onGap: (uplink: string, gap: Pick<Gap, "stream" | "reason" | "count">) => void;
  readonly onFatal: (error: StorageError) => void;
}

/** An open store: rows with their writers, uplinks with their readers. Methods are those of `Queue`. */
export class Store {
  readonly #parts: StoreParts;
  readonly #state: Recovered;
  readonly #committers: PerStream<Committer>;
  readonly #readers = new Map<string, PerStream<LaneReaders>>();
  readonly #remover: Remover;
  readonly #limits: Limits;
  readonly #insight: Insight;
  readonly #enrolment: Enrolment;
  #trimmed = false;

  constructor(parts: StoreParts, state: Recovered) {
    this.#parts = parts;
    this.#state = state;
    const { rows, uplinks } = state;
    const overtake = (stream: StreamName) => {
      for (const readers of this.#readers.values()) readers[stream].overtake();
    };
    this.#remover = new Remover({ ...parts, rows, uplinks, overtake });
    for (const { clocks } of uplinks.values()) clocks.prune((bootId) => parts.keeper.mayKnow(bootId));
    parts.keeper.onLearnt(() => {
      for (const { clocks } of uplinks.values()) clocks.ring();
    });
    const timeOf = (stored: StoredTime) => parts.keeper.timeOf(stored);
    for (const stream of STREAMS) {
      rows[stream].timeOf = timeOf;
      for (const { ranMs } of rows[stream].segments.all) parts.keeper.ranAtLeast(ranMs);
    }
    const sources = new Sources();
    this.#committers = perStream((stream) => this.#committer(stream, sources));
    const { options, folders, keeper, log } = parts;
    const { dataDir } = folders;
    this.#enrolment = new Enrolment({
      ...parts,
      ...{ state, committers: this.#committers, readers: this.#readers, remover: this.#remover },
    });
    this.#limits = new Limits({
      ...parts,
      ...{ dataDir, rows, committers: this.#committers, uplinks, remover: this.#remover },
      reserve: new Reserve(folders.queue, options.segment, log),
      ranMs: () => keeper.ranMs(),
      onGivenUp: (uplink) => this.#givenUp(uplink),
    });
    this.#insight = new Insight({
      ...parts,
      rows,
      uplinks,
      room: this.#limits.room,
      maxBytes: options.maxBytes,
      endurance: options.endurance,
    });
  }

  async start(): Promise<void> {
    await this.#remover.setBarredAside();
    await this.#limits.start();
  }

  get workers(): readonly Worker[] {
    return STREAMS.map((stream) => this.#committers[stream]);
  }

  async append(stream: StreamName, records: readonly NewRecord[]): Promise<void> {
    if (records.length === 0) return;
    this.#begun();
    const committer = this.#committers[stream];
    const bytes = committer.sizeOf(records);
    const { room } = this.#limits;
    if (!room.fits(stream, bytes)) await room.make(stream, bytes);
    await committer.append(records, bytes);
  }

  refused(stream: StreamName, lost: Refused): void {
    this.#limits.refused(stream, lost);
  }

  async open(name: string, reader: QueueReader): Promise<void> {
    await this.#enrolment.open(name, reader);
  }

  async read(name: string, want: LaneRequest, signal: AbortSignal): Promise<Entry[]> {
    const reader = this.#reader(name, want.stream);
    this.#begun();
    return await reader.read(want, signal);
  }

  async settle(name: string, stream: StreamName, seqs: readonly number[]): Promise<void> {
    const uplink = this.#uplink(name);
    if (!uplink.cursors[stream].settle(seqs)) return;
    this.#insight.settled(name, seqs.length);
    await this.#saved(uplink);
  }

  async reject(name: string, stream: StreamName, seqs: readonly number[], reason: string): Promise<void> {
    const uplink = this.#uplink(name);
    if (!uplink.cursors[stream].reject(seqs)) return;
    this.#parts.log.warn({ uplink: name, stream, records: seqs.length, first: seqs[0], reason }, "records rejected");
    this.#insight.settled(name, seqs.length);
    await this.#saved(uplink);
  }

  rewind(name: string): void {
    const uplink = this.#uplink(name);
    for (const stream of STREAMS) {
      uplink.cursors[stream].rewind();
      this.#readers.get(name)?.[stream].rewind();
    }
    uplink.file.touch();
  }

  gaps(name: string): readonly Gap[] {
    return this.#uplink(name).gaps;
  }

  onGap(name: string, listener: () => void): () => void {
    return this.#uplink(name).onGap(listener);
  }

  async settleGap(name: string, gap: Gap): Promise<void> {
    const uplink = this.#uplink(name);
    const settled = gap.reason === "refused" ? uplink.refusals.settle(gap) : uplink.cursors[gap.stream].settleGap(gap);
    if (settled) await this.#saved(uplink);
  }

  clocks(name: string): readonly BootOffset[] {
    return this.#uplink(name).clocks.all.flatMap((bootId) => this.#parts.keeper.offsetOf(bootId) ?? []);
  }

  onClock(name: string, listener: () => void): () => void {
    return this.#uplink(name).clocks.onRing(listener);
  }

  async settleClock(name: string, bootId: string): Promise<void> {
    const uplink = this.#uplink(name);
    if (uplink.clocks.settle(bootId)) await this.#saved(uplink);
  }

  timed(entry: Entry): Entry {
    const { bootId, monoMs, wallMs, clock } = entry;
    return clock === "unsynced" ? { ...entry, ...this.#parts.keeper.timeOf({ bootId, monoMs, wallMs, clock }) } : entry;
  }

  stats(): QueueStats {
    return this.#insight.stats();
  }

  inspector(): Inspector {
    const { folders, engine, shelf, keeper, totals } = this.#parts;
    const { rows, uplinks, registry } = this.#state;
    return new LiveInspector({
      folders,
      engine,
      shelf,
      totals,
      rows,
      uplinks,
      registry,
      committers: this.#committers,
      remover: this.#remover,
      timeOf: (stored) => keeper.timeOf(stored),
      stats: () => this.stats(),
      overtake: (name, stream) => this.#readers.get(name)?.[stream].overtake(),
      registering: (work) => this.#enrolment.alone(work),
    });
  }

  /** Writes everything down and closes it. Never rejects. */
  async close(): Promise<void> {
    const { rows, uplinks, registry, seqs, heads } = this.#state;
    const closed = new StorageError("the queue is closed");
    const enrolled = this.#enrolment.close();
    this.#limits.close();
    for (const readers of this.#readers.values()) for (const stream of STREAMS) readers[stream].close(closed);
    const clean = perStream((stream) => this.#committers[stream].close());
    await enrolled;
    for (const stream of STREAMS) {
      if (!(await clean[stream])) continue;
      const known = [...uplinks.values()].flatMap(({ slot }) => (slot ? [[slot.slot, heads[stream](slot.slot)]] : []));
      const mark = { reserved: rows[stream].nextSeq, open: false };
      await this.#quietly(
        seqs.write(stream, { ...mark, heads: { ...Object.fromEntries(known), ...rows[stream].linker.heads() } }),
      );
    }
    for (const uplink of uplinks.values()) {
      for (const stream of STREAMS) uplink.cursors[stream].rewind();
      if (this.#parts.health.good) await this.#quietly(uplink.file.flush());
    }
    await this.#remover.idle();
    await this.#limits.room.idle();
    for (const uplink of uplinks.values()) await this.#quietly(uplink.file.close());
    await this.#quietly(this.#parts.shelf.close());
    await this.#quietly(registry.close());
    await this.#quietly(seqs.close());
  }

  async #quietly(work: Promise<void>): Promise<void> {
    await work.catch((error: unknown) => {
      this.#parts.log.warn({ reason: String(error) }, "queue not closed cleanly");
    });
  }

  #committer(stream: StreamName, sources: Sources): Committer {
    const { options, clock, health } = this.#parts;
    const row = this.#state.rows[stream];
    const writer = new SegmentWriter({
      ...this.#parts,
      row,
      boot: clock.bootId,
      segmentBytes: options.segment,
      ranMs: () => this.#parts.keeper.ranMs(),
      rollAfterMs: () => this.#limits.backlog.rollAfterMs(),
      onSealed: () => {
        this.#remover.trim("all");
        this.#limits.look();
      },
      onNoSpace: () => {
        this.#committers[stream].noSpace();
        return this.#limits.room.relieve(stream);
      },
    });
    const sync = stream === "events" ? "always" : options.sync;
    const { seqs } = this.#state;
    return new Committer({
      row,
      writer,
      seqs,
      sources,
      health,
      sync,
      onCommitted: (batch) => {
        this.#limits.committed();
        this.#insight.committed(row, batch);
      },
    });
  }

  /** What an uplink was owed became a gap, and its segments may stay. */
  #givenUp(uplink: UplinkState): void {
    for (const stream of STREAMS) this.#readers.get(uplink.name)?.[stream].overtake();
    uplink.file.touch();
    this.#remover.moved(uplink);
  }

  async #saved(uplink: UplinkState): Promise<void> {
    this.#remover.moved(uplink);
    await uplink.file.save();
  }

  /** Only now every uplink is known: what none of them is owed may go. */
  #begun(): void {
    if (this.#trimmed) return;
    this.#trimmed = true;
    this.#limits.begin();
    this.#remover.trim("all");
  }

  #uplink(name: string): UplinkState {
    const uplink = this.#state.uplinks.get(name);
    if (!uplink?.reader) throw new ConfigError(`the uplink "${name}" is not open`);
    return uplink;
  }

  #reader(name: string, stream: StreamName): LaneReaders {
    const reader = this.#readers.get(name)?.[stream];
    if (!reader) throw new ConfigError(`the uplink "${name}" is not open`);
    return reader;
  }
}
