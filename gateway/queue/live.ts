import { rm } from "node:fs/promises";
import type { SentTime } from "../core/clock.ts";
import { StorageError } from "../core/errors.ts";
import type { Forgotten, Found, Inspector, RecordQuery, Snapshot, StoreStats } from "../core/inspect.ts";
import type { QueueStats } from "../core/queue.ts";
import { STREAMS, type StreamName } from "../core/record.ts";
import { Aside } from "./aside.ts";
import type { StoredTime } from "./boots.ts";
import { type BrowsedUplink, browse, countOf } from "./browse.ts";
import type { Committer } from "./committer.ts";
import type { Folders } from "./folders.ts";
import { configuredStays, noSuchUplink } from "./forget.ts";
import { quarantineOf } from "./quarantined.ts";
import type { Registry } from "./registry.ts";
import type { Remover } from "./remover.ts";
import type { Row } from "./row.ts";
import type { Segment } from "./segment.ts";
import type { SegmentStore } from "./segment-store.ts";
import type { Shelf } from "./shelf.ts";
import { takeSnapshot } from "./snapshot.ts";
import type { Totals } from "./totals.ts";
import { type PerStream, perStream, type UplinkState } from "./uplink-state.ts";

/** Rounds until nothing that was accepted is on its way; one is enough but for what was encoded already. */
const MOST_ROLLS = 100;

export interface LiveParts {
  readonly folders: Folders;
  readonly engine: SegmentStore;
  readonly shelf: Shelf;
  readonly totals: Totals;
  readonly rows: PerStream<Row>;
  readonly uplinks: Map<string, UplinkState>;
  readonly registry: Registry;
  readonly committers: PerStream<Committer>;
  readonly remover: Remover;
  readonly timeOf: (stored: StoredTime) => SentTime;
  readonly stats: () => QueueStats;
  /** What the uplink is owed in a stream has changed under its reader. */
  readonly overtake: (uplink: string, stream: StreamName) => void;
  /** The list of uplinks is written by one at a time. */
  readonly registering: <T>(work: () => Promise<T>) => Promise<T>;
}

/** A look into the store of a running gateway. */
export class LiveInspector implements Inspector {
  readonly #parts: LiveParts;

  constructor(parts: LiveParts) {
    this.#parts = parts;
  }

  async stats(): Promise<StoreStats> {
    const { folders, stats } = this.#parts;
    return { ...stats(), running: true, now: Date.now(), quarantine: await quarantineOf(folders.dataDir) };
  }

  count(query: RecordQuery): number {
    return countOf(this.#parts.rows, query, this.#browsed(query.uplink));
  }

  async *records(query: RecordQuery, signal: AbortSignal): AsyncGenerator<readonly Found[]> {
    const { rows, folders, engine, shelf, timeOf } = this.#parts;
    const aside = new Aside(folders.dataDir, engine, shelf);
    try {
      yield* browse({ rows, aside, timeOf }, query, this.#browsed(query.uplink), signal);
    } finally {
      await aside.close();
    }
  }

  async forget(name: string, configuredToo: boolean): Promise<Forgotten> {
    const { uplinks, rows, remover } = this.#parts;
    const uplink = uplinks.get(name);
    if (!uplink) throw noSuchUplink(name, [...uplinks.keys()]);
    const told = uplink.reader !== undefined;
    if (told && !configuredToo) throw configuredStays(name);
    this.#mustBeHealthy();
    const records = STREAMS.reduce((sum, stream) => sum + uplink.cursors[stream].depth().count, 0);
    const bytes = STREAMS.flatMap((stream) => rows[stream].segments.all)
      .filter((segment) => this.#onlyOwedTo(uplink, segment))
      .reduce((sum, segment) => sum + segment.diskBytes, 0);
    if (told) await this.#dropBacklog(uplink);
    else await this.#erase(uplink);
    remover.trim("all");
    return { uplink: name, records, bytes, told };
  }

  /** Everything that was accepted before is in it. Appends wait meanwhile: for as long as linking the segments takes. */
  async snapshot(): Promise<Snapshot> {
    this.#mustBeHealthy();
    const { committers, remover, rows, uplinks, folders } = this.#parts;
    for (const stream of STREAMS) committers[stream].hold();
    try {
      for (const stream of STREAMS) await this.#settleRow(stream);
      return await remover.alone(async () => {
        await Promise.all([...uplinks.values()].map((uplink) => uplink.file.flush()));
        const { store, epoch } = rows.events;
        return await takeSnapshot({
          dataDir: folders.dataDir,
          store,
          epoch,
          rows,
          uplinks: [...uplinks.values()].map(({ name, cursors }) => ({
            name,
            owed: STREAMS.reduce((sum, stream) => sum + cursors[stream].depth().count, 0),
          })),
          // As after a clean stop: all that was given out up to here is in it.
          marks: perStream((stream) => ({ reserved: rows[stream].nextSeq, open: false, heads: {} })),
        });
      });
    } finally {
      for (const stream of STREAMS) committers[stream].release();
    }
  }

  async close(): Promise<void> {}

  #browsed(name: string | undefined): BrowsedUplink | undefined {
    if (name === undefined) return undefined;
    const uplink = this.#parts.uplinks.get(name);
    if (!uplink) throw noSuchUplink(name, [...this.#parts.uplinks.keys()]);
    return { cursors: uplink.cursors, selects: (topic) => uplink.reader?.selector.matches(topic) ?? true };
  }

  #onlyOwedTo(uplink: UplinkState, segment: Segment): boolean {
    const owes = (other: UplinkState) => other.cursors[segment.stream].owes(segment);
    return owes(uplink) && ![...this.#parts.uplinks.values()].some((other) => other !== uplink && owes(other));
  }

  /** Until every seq that was given is in a sealed segment. Seqs are held. */
  async #settleRow(stream: StreamName): Promise<void> {
    const row = this.#parts.rows[stream];
    for (let left = MOST_ROLLS; left > 0; left--) {
      await this.#parts.committers[stream].roll();
      if (row.tail >= row.nextSeq - 1 && row.segments.all.every(({ sealed }) => sealed)) return;
    }
    throw new StorageError("the disk does not keep up with what comes in; try again when it is quieter");
  }

  async #dropBacklog(uplink: UplinkState): Promise<void> {
    const { committers, remover, rows, totals, overtake } = this.#parts;
    for (const stream of STREAMS) await committers[stream].roll();
    await remover.alone(async () => {
      for (const stream of STREAMS) {
        for (const segment of rows[stream].segments.all) {
          if (segment.sealed) totals.dropped += uplink.cursors[stream].loseSegment(segment, "dropped");
        }
        overtake(uplink.name, stream);
      }
      await uplink.file.flush();
    });
  }

  async #erase(uplink: UplinkState): Promise<void> {
    const { remover, registry, registering, uplinks, folders } = this.#parts;
    const { name, file } = uplink;
    await remover.alone(() =>
      registering(async () => {
        await registry.remove(name).catch((error: unknown) => {
          throw new StorageError(`the uplink "${name}" is not forgotten: the disk refuses`, { cause: error });
        });
        uplinks.delete(name);
        await file.close();
        await rm(folders.state(`cursor-${name}`), { force: true });
      }),
    );
  }

  #mustBeHealthy(): void {
    if (!this.#parts.stats().healthy) {
      throw new StorageError("the disk refuses writes; make room or replace it, then try again");
    }
  }
}
