import type { BootOffset, Clock, SentTime } from "../core/clock.ts";
import { ConfigError, StorageError } from "../core/errors.ts";
import type { Inspector } from "../core/inspect.ts";
import type { Logger } from "../core/log.ts";
import type { Metrics } from "../core/metrics.ts";
import type { QueueOptions } from "../core/options/queue.ts";
import type { LaneRequest, QueueReader, QueueStats } from "../core/queue.ts";
import { type Entry, type Gap, type NewRecord, STREAMS, type StreamName } from "../core/record.ts";
import type { StoredTime } from "./boots.ts";
import type { ClockKeeper } from "./clock-keeper.ts";
import { Committer } from "./committer.ts";
import { CursorFile } from "./cursor-file.ts";
import { Serial } from "./deferred.ts";
import type { Folders } from "./folders.ts";
import type { Health } from "./health.ts";
import { Insight } from "./insight.ts";
import { LaneReaders } from "./lanes.ts";
import { LiveInspector } from "./live.ts";
import type { Recovered } from "./recovery.ts";
import { Remover } from "./remover.ts";
import { Retention } from "./retention.ts";
import { Room } from "./room.ts";
import type { SegmentStore } from "./segment-store.ts";
import { SegmentWriter } from "./segment-writer.ts";
import type { Shelf } from "./shelf.ts";
import type { Slot } from "./slots.ts";
import { Sources } from "./sources.ts";
import type { Totals } from "./totals.ts";
import { owedAll, owedFrom, type PerStream, perStream, UplinkState } from "./uplink-state.ts";

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
  readonly onGap: (uplink: string, gap: Gap) => void;
  readonly onFatal: (error: StorageError) => void;
}

/** An open store: rows with their writers, uplinks with their readers. Methods are those of `Queue`. */
export class Store {
  readonly #parts: StoreParts;
  readonly #state: Recovered;
  readonly #committers: PerStream<Committer>;
  readonly #readers = new Map<string, PerStream<LaneReaders>>();
  readonly #remover: Remover;
  readonly #room: Room;
  readonly #insight: Insight;
  readonly #retention: Retention;
  readonly #opening = new Serial();
  #closed = false;
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
    const sources = new Sources();
    this.#committers = perStream((stream) => this.#committer(stream, sources));
    const { options } = parts;
    const { dataDir } = parts.folders;
    this.#room = new Room({ dataDir, options, rows, committers: this.#committers, uplinks, remover: this.#remover });
    const roll = (stream: StreamName) => this.#committers[stream].roll();
    this.#retention = new Retention({
      ...parts,
      rows,
      uplinks,
      remover: this.#remover,
      roll,
      retainMs: options.retain,
    });
    this.#insight = new Insight({
      ...parts,
      rows,
      uplinks,
      room: this.#room,
      maxBytes: options.maxBytes,
      endurance: options.endurance,
    });
  }

  async start(): Promise<void> {
    await this.#room.start();
  }

  async append(stream: StreamName, records: readonly NewRecord[]): Promise<void> {
    if (records.length === 0) return;
    this.#begun();
    const committer = this.#committers[stream];
    const bytes = committer.sizeOf(records);
    if (!this.#room.fits(stream, bytes)) await this.#room.make(stream, bytes);
    await committer.append(records, bytes);
  }

  async open(name: string, reader: QueueReader): Promise<void> {
    await this.#opening.run(() => this.#open(name, reader));
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
    if (uplink.cursors[gap.stream].settleGap(gap)) await this.#saved(uplink);
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
      registering: (work) => this.#opening.run(work),
    });
  }

  /** Writes everything down and closes it. Never rejects. */
  async close(): Promise<void> {
    const { rows, uplinks, registry, seqs, heads } = this.#state;
    const closed = new StorageError("the queue is closed");
    this.#closed = true;
    for (const readers of this.#readers.values()) for (const stream of STREAMS) readers[stream].close(closed);
    const retained = this.#retention.stop();
    const clean = perStream((stream) => this.#committers[stream].close());
    await this.#opening.run(() => Promise.resolve());
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
    await retained;
    await this.#remover.idle();
    await this.#room.idle();
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
      onSealed: () => {
        this.#remover.trim("all");
        this.#retention.check();
      },
      onNoSpace: () => this.#room.relieve(),
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
        this.#room.recount();
        this.#insight.committed(row, batch);
      },
    });
  }

  async #open(name: string, reader: QueueReader): Promise<void> {
    if (this.#closed) throw new StorageError("the queue is closed");
    const known = this.#state.uplinks.get(name);
    if (known?.reader && known.slot?.select === reader.selector.text) {
      known.reader = reader;
      return;
    }
    if (known?.slot?.select === reader.selector.text) this.#join(known, reader, this.#headOf(known));
    else await this.#begin(name, known, reader);
  }

  #headOf(uplink: UplinkState): PerStream<number> {
    return perStream((stream) => this.#state.heads[stream](uplink.slot?.slot ?? 0));
  }

  /** A new uplink, or a new selection: a chain of its own begins with the next seq. */
  async #begin(name: string, known: UplinkState | undefined, reader: QueueReader): Promise<void> {
    const { registry, rows, uplinks } = this.#state;
    for (const stream of STREAMS) this.#committers[stream].hold();
    try {
      const first = perStream((stream) => rows[stream].nextSeq);
      const slot = registry.newSlot(reader.selector.text, first);
      const slots = [...(known ? stillNeeded(known) : []), slot];
      const uplink = known ?? (await this.#newUplink(name, reader, slots));
      await registry.write(name, slots);
      uplink.setSlots(slots);
      uplinks.set(name, uplink);
      this.#join(
        uplink,
        reader,
        perStream(() => 0),
      );
    } catch (error) {
      throw new StorageError("the uplink cannot be registered", { cause: error });
    } finally {
      for (const stream of STREAMS) this.#committers[stream].release();
    }
  }

  async #newUplink(name: string, reader: QueueReader, slots: readonly Slot[]): Promise<UplinkState> {
    const { rows } = this.#state;
    const { folders, health, totals, onGap } = this.#parts;
    const onWritten = (bytes: number, fsyncs: number) => totals.wrote(bytes, fsyncs);
    const file = new CursorFile(folders.state(`cursor-${name}`), `cursor ${name}`, health, onWritten);
    const states = perStream((stream) => {
      const { segments, nextSeq, tail } = rows[stream];
      // What is being written at this moment has its seqs already.
      return reader.from === "now" ? owedFrom(nextSeq) : owedAll(segments.all, tail + 1);
    });
    await file.open();
    const uplink = new UplinkState(name, { file, rows, slots, states, onGap });
    await file.flush();
    return uplink;
  }

  #join(uplink: UplinkState, reader: QueueReader, heads: PerStream<number>): void {
    const { rows } = this.#state;
    uplink.reader = reader;
    for (const stream of STREAMS) {
      rows[stream].linker.set(uplink.name, reader.selector, { slot: uplink.slot?.slot ?? 0, head: heads[stream] });
    }
    const { shelf, health } = this.#parts;
    const readers = perStream(
      (stream) =>
        new LaneReaders({
          row: rows[stream],
          head: () => rows[stream].linker.head(uplink.name),
          shelf,
          health,
          cursor: uplink.cursors[stream],
          selects: (topic) => uplink.reader?.selector.matches(topic) ?? false,
          timeOf: (stored) => this.#timeOf(uplink, stored),
          onDamaged: (segment, error) => this.#remover.setAside(segment, error),
          onMoved: () => {
            uplink.file.touch();
            this.#remover.moved(uplink);
          },
        }),
    );
    if (!this.#readers.has(uplink.name)) this.#readers.set(uplink.name, readers);
    else for (const stream of STREAMS) this.#readers.get(uplink.name)?.[stream].overtake();
  }

  #timeOf(uplink: UplinkState, stored: StoredTime): SentTime {
    const time = this.#parts.keeper.timeOf(stored);
    if (time.clock === "unsynced") uplink.clocks.add(stored.bootId);
    return time;
  }

  async #saved(uplink: UplinkState): Promise<void> {
    this.#remover.moved(uplink);
    await uplink.file.save();
  }

  /** Only now every uplink is known: what none of them is owed may go. */
  #begun(): void {
    if (this.#trimmed) return;
    this.#trimmed = true;
    this.#remover.trim("all");
    this.#retention.start();
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

/** The slots of an uplink that something owed or a gap may still refer to. */
function stillNeeded({ slots, cursors }: UplinkState): readonly Slot[] {
  const needed = slots.findIndex((_, index) => {
    const next = slots[index + 1];
    return (
      next === undefined ||
      STREAMS.some(
        (stream) => cursors[stream].gaps.length > 0 || (cursors[stream].firstOwed?.from ?? 1) < next.first[stream],
      )
    );
  });
  return slots.slice(Math.max(0, needed));
}
