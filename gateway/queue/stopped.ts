import { rm } from "node:fs/promises";
import { ConfigError } from "../core/errors.ts";
import type { Forgotten, Found, Inspector, RecordQuery, Snapshot, StoreStats } from "../core/inspect.ts";
import type { StreamStats, UplinkStats } from "../core/queue.ts";
import { STREAMS } from "../core/record.ts";
import { selectorOf } from "../core/selector.ts";
import { Aside } from "./aside.ts";
import { type BrowsedUplink, browse, countOf } from "./browse.ts";
import { Folders } from "./folders.ts";
import { configuredStays, noSuchUplink } from "./forget.ts";
import { LevelSegments } from "./level-segments.ts";
import { alone } from "./owned-lock.ts";
import { quarantineOf } from "./quarantined.ts";
import { Registry } from "./registry.ts";
import { takeSnapshot } from "./snapshot.ts";
import { readStopped, type StoppedStore, type StoppedUplink } from "./stopped-store.ts";
import { TwoSlotFile } from "./two-slot.ts";
import { perStream } from "./uplink-state.ts";

export interface StoppedParts {
  readonly dataDir: string;
  /** Uplinks that the configuration has, where it is known. */
  readonly configured: readonly string[];
  readonly maxBytes: number;
}

/** A look into the store of a stopped gateway. A gateway may start meanwhile: nothing here is in its way. */
export class StoppedInspector implements Inspector {
  readonly #parts: StoppedParts;
  readonly #folders: Folders;
  readonly #engine = new LevelSegments(0);
  #store: StoppedStore;

  private constructor(parts: StoppedParts, folders: Folders, store: StoppedStore) {
    this.#parts = parts;
    this.#folders = folders;
    this.#store = store;
  }

  /** @throws ConfigError where there is no store, or one of a newer version. */
  static async open(parts: StoppedParts): Promise<StoppedInspector> {
    const folders = new Folders(parts.dataDir);
    return new StoppedInspector(parts, folders, await readStopped(folders, new LevelSegments(0)));
  }

  async stats(): Promise<StoreStats> {
    const { rows, uplinks, clean } = this.#store;
    const { dataDir, maxBytes } = this.#parts;
    const quarantine = await quarantineOf(dataDir);
    return {
      running: false,
      now: Date.now(),
      streams: perStream((stream) => this.#streamStats(stream)),
      uplinks: [...uplinks.values()].map((uplink) => this.#uplinkStats(uplink)),
      bytes: rows.events.segments.diskBytes + rows.telemetry.segments.diskBytes,
      maxBytes,
      bytesWritten: 0,
      bytesAppended: 0,
      dropped: 0,
      quarantined: quarantine.segments,
      quarantine,
      healthy: true,
      unclean: !clean,
    };
  }

  count(query: RecordQuery): number {
    return countOf(this.#store.rows, query, this.#browsed(query.uplink));
  }

  async *records(query: RecordQuery, signal: AbortSignal): AsyncGenerator<readonly Found[]> {
    const { rows, boots } = this.#store;
    const aside = new Aside(this.#parts.dataDir, this.#engine);
    try {
      yield* browse(
        { rows, aside, timeOf: (stored) => boots.timeOf(stored) },
        query,
        this.#browsed(query.uplink),
        signal,
      );
    } finally {
      await aside.close();
    }
  }

  async forget(name: string, configuredToo: boolean): Promise<Forgotten> {
    return await this.#alone(async () => {
      const { rows, uplinks } = this.#store;
      const uplink = uplinks.get(name);
      if (!uplink) throw noSuchUplink(name, [...uplinks.keys()]);
      const told = this.#parts.configured.includes(name);
      if (told && !configuredToo) throw configuredStays(name);
      const records = STREAMS.reduce((sum, stream) => sum + uplink.cursors[stream].depth().count, 0);
      const others = [...uplinks.values()].filter((other) => other !== uplink);
      const bytes = STREAMS.flatMap((stream) => rows[stream].segments.all)
        .filter((segment) => uplink.cursors[segment.stream].owes(segment))
        .filter((segment) => !others.some((other) => other.cursors[segment.stream].owes(segment)))
        .reduce((sum, segment) => sum + segment.diskBytes, 0);
      if (told) await this.#dropBacklog(uplink);
      else await this.#erase(name);
      return { uplink: name, records, bytes, told };
    });
  }

  async snapshot(): Promise<Snapshot> {
    return await this.#alone(async () => {
      const { rows, uplinks } = this.#store;
      const { store, epoch } = rows.events;
      const owed = [...uplinks.values()].map(({ name, cursors }) => ({
        name,
        owed: STREAMS.reduce((sum, stream) => sum + cursors[stream].depth().count, 0),
      }));
      return await takeSnapshot({ dataDir: this.#parts.dataDir, store, epoch, rows, uplinks: owed });
    });
  }

  async close(): Promise<void> {}

  /** Works on the store as it is now, while no gateway can start. */
  async #alone<T>(work: () => Promise<T>): Promise<T> {
    return await alone(this.#parts.dataDir, async () => {
      this.#store = await readStopped(this.#folders, this.#engine);
      return await work();
    });
  }

  async #erase(name: string): Promise<void> {
    const registry = new Registry(this.#folders.state("uplinks"), () => {});
    const { damaged } = await registry.open();
    try {
      if (damaged) throw new ConfigError("the list of uplinks is unreadable; start the gateway, it makes a new one");
      await registry.remove(name);
    } finally {
      await registry.close();
    }
    await rm(this.#folders.state(`cursor-${name}`), { force: true });
  }

  async #dropBacklog({ name, cursors, unsynced }: StoppedUplink): Promise<void> {
    for (const stream of STREAMS) {
      for (const segment of this.#store.rows[stream].segments.all) cursors[stream].loseSegment(segment, "dropped");
    }
    const file = new TwoSlotFile(this.#folders.state(`cursor-${name}`));
    await file.open();
    try {
      const streams = perStream((stream) => cursors[stream].state());
      await file.write({ format: 1, uplink: name, unsynced, streams }, true);
    } finally {
      await file.close();
    }
  }

  #browsed(name: string | undefined): BrowsedUplink | undefined {
    if (name === undefined) return undefined;
    const uplink = this.#store.uplinks.get(name);
    if (!uplink) throw noSuchUplink(name, [...this.#store.uplinks.keys()]);
    return { cursors: uplink.cursors, selects: selectionOf(uplink) };
  }

  #streamStats(stream: "events" | "telemetry"): StreamStats {
    const { segments, nextSeq, epoch } = this.#store.rows[stream];
    const stats = { nextSeq, epoch, segments: segments.all.length, bytes: segments.diskBytes, appended: 0 };
    const oldest = segments.all.find(({ tally }) => tally.count > 0)?.tally.tMin;
    return oldest !== undefined && Number.isFinite(oldest) ? { ...stats, oldestWallMs: oldest } : stats;
  }

  #uplinkStats({ name, slots, cursors }: StoppedUplink): UplinkStats {
    const { rows, heads } = this.#store;
    const slot = slots.at(-1)?.slot ?? 0;
    return {
      name,
      chain: slots.at(-1)?.chain ?? "",
      configured: this.#parts.configured.includes(name),
      gapsPending: STREAMS.reduce((sum, stream) => sum + cursors[stream].gaps.length, 0),
      streams: perStream((stream) => {
        const cursor = cursors[stream];
        const { segments } = rows[stream];
        const { count: depth, bytes } = cursor.depth();
        const onDisk = segments.all.map(({ tally }) => tally.slots.get(slot)?.last ?? 0);
        const lastTaken = Math.max(heads[stream][slot] ?? 0, ...onDisk);
        const stats = { depth, bytes, lastTaken, lastAcked: cursor.lastAcked(lastTaken) };
        const oldest = segments.all.find((segment) => cursor.owes(segment))?.tally.tMin;
        return oldest !== undefined && Number.isFinite(oldest) ? { ...stats, oldestWallMs: oldest } : stats;
      }),
    };
  }
}

/** Only records from before the uplink was known are asked about: what cannot be told counts as selected. */
function selectionOf({ slots }: StoppedUplink): (topic: string) => boolean {
  try {
    const selector = selectorOf((slots.at(-1)?.select ?? "").split(" ").filter((text) => text !== ""));
    return (topic) => selector.matches(topic);
  } catch {
    return () => true;
  }
}
