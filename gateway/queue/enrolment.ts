import type { SentTime } from "../core/clock.ts";
import { StorageError } from "../core/errors.ts";
import type { QueueReader } from "../core/queue.ts";
import { type Gap, STREAMS } from "../core/record.ts";
import type { StoredTime } from "./boots.ts";
import type { ClockKeeper } from "./clock-keeper.ts";
import type { Committer } from "./committer.ts";
import { CursorFile } from "./cursor-file.ts";
import { Serial } from "./deferred.ts";
import type { Folders } from "./folders.ts";
import type { Health } from "./health.ts";
import { LaneReaders } from "./lanes.ts";
import type { Recovered } from "./recovery.ts";
import type { Remover } from "./remover.ts";
import type { Shelf } from "./shelf.ts";
import type { Slot } from "./slots.ts";
import type { Totals } from "./totals.ts";
import { owedAll, owedFrom, type PerStream, perStream, UplinkState } from "./uplink-state.ts";

export interface EnrolmentParts {
  readonly state: Recovered;
  readonly committers: PerStream<Committer>;
  /** Of every uplink that is open; filled here. */
  readonly readers: Map<string, PerStream<LaneReaders>>;
  readonly remover: Remover;
  readonly folders: Folders;
  readonly shelf: Shelf;
  readonly health: Health;
  readonly totals: Totals;
  readonly keeper: ClockKeeper;
  readonly onGap: (uplink: string, gap: Pick<Gap, "stream" | "reason" | "count">) => void;
}

/** How uplinks come to take part in an open store: found again with their cursors, new, or with a new selection. */
export class Enrolment {
  readonly #parts: EnrolmentParts;
  readonly #turns = new Serial();
  #closed = false;

  constructor(parts: EnrolmentParts) {
    this.#parts = parts;
  }

  /** As `Queue.open`. */
  async open(name: string, reader: QueueReader): Promise<void> {
    await this.#turns.run(() => this.#openNow(name, reader));
  }

  /** Nothing is opened while `work` runs. */
  async alone<T>(work: () => Promise<T>): Promise<T> {
    return await this.#turns.run(work);
  }

  /** From now on nothing can be opened. Resolves when nothing is under way. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#turns.run(() => Promise.resolve());
  }

  async #openNow(name: string, reader: QueueReader): Promise<void> {
    if (this.#closed) throw new StorageError("the queue is closed");
    const known = this.#parts.state.uplinks.get(name);
    if (known?.reader && known.slot?.select === reader.selector.text) {
      known.reader = reader;
      known.retention.use(reader.retainMs);
      return;
    }
    if (known?.slot?.select === reader.selector.text) this.#join(known, reader, this.#headOf(known));
    else await this.#begin(name, known, reader);
  }

  #headOf(uplink: UplinkState): PerStream<number> {
    return perStream((stream) => this.#parts.state.heads[stream](uplink.slot?.slot ?? 0));
  }

  /** A new uplink, or a new selection: a chain of its own begins with the next seq. */
  async #begin(name: string, known: UplinkState | undefined, reader: QueueReader): Promise<void> {
    const { registry, rows, uplinks } = this.#parts.state;
    for (const stream of STREAMS) this.#parts.committers[stream].hold();
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
      for (const stream of STREAMS) this.#parts.committers[stream].release();
    }
  }

  async #newUplink(name: string, reader: QueueReader, slots: readonly Slot[]): Promise<UplinkState> {
    const { rows, uplinksLost } = this.#parts.state;
    const { folders, health, totals, onGap } = this.#parts;
    const onWritten = (bytes: number, fsyncs: number) => totals.wrote(bytes, fsyncs);
    const file = new CursorFile(folders.state(`cursor-${name}`), `cursor ${name}`, health, onWritten);
    const states = perStream((stream) => {
      const { segments, nextSeq, tail } = rows[stream];
      // What is being written at this moment has its seqs already.
      const fromNow = reader.from === "now" && !uplinksLost;
      return fromNow ? owedFrom(nextSeq) : owedAll(segments.all, tail + 1);
    });
    await file.open();
    const uplink = new UplinkState(name, { file, rows, slots, states, onGap });
    await file.flush();
    return uplink;
  }

  #join(uplink: UplinkState, reader: QueueReader, heads: PerStream<number>): void {
    const { rows } = this.#parts.state;
    uplink.reader = reader;
    uplink.retention.use(reader.retainMs);
    uplink.file.touch();
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
          onDamaged: (segment, error) => this.#parts.remover.setAside(segment, error),
          onHurt: (segment) => void this.#parts.remover.hurt(segment),
          onMoved: () => {
            uplink.file.touch();
            this.#parts.remover.moved(uplink);
          },
        }),
    );
    if (!this.#parts.readers.has(uplink.name)) this.#parts.readers.set(uplink.name, readers);
    else for (const stream of STREAMS) this.#parts.readers.get(uplink.name)?.[stream].overtake();
  }

  #timeOf(uplink: UplinkState, stored: StoredTime): SentTime {
    const time = this.#parts.keeper.timeOf(stored);
    if (time.clock === "unsynced") uplink.clocks.add(stored.bootId);
    return time;
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
