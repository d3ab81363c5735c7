import { ConfigError } from "../core/errors.ts";
import { STREAMS, type StreamName } from "../core/record.ts";
import type { Boots } from "./boots.ts";
import { bootsIn } from "./clock-keeper.ts";
import { Cursor, type CursorState } from "./cursor.ts";
import { folderBytes, namesIn } from "./files.ts";
import type { Folders, FoundFolder } from "./folders.ts";
import { readIdentity } from "./identity.ts";
import { registeredUplinks } from "./registry.ts";
import { Row } from "./row.ts";
import { count, hasData } from "./scan.ts";
import { readSeal } from "./seal.ts";
import { Segment } from "./segment.ts";
import type { SegmentStore } from "./segment-store.ts";
import { isMarks, type Marks } from "./seqs.ts";
import type { Slot } from "./slots.ts";
import { readTwoSlot } from "./two-slot.ts";
import { cursorStates, owedAll, type PerStream, perStream } from "./uplink-state.ts";

export interface StoppedUplink {
  readonly name: string;
  readonly slots: readonly Slot[];
  readonly cursors: PerStream<Cursor>;
  /** What its file holds beside the cursors, and whether they were lost: then everything retained is owed. */
  readonly unsynced: unknown;
  readonly lost: boolean;
}

/** A store that no gateway has open, as it lies on disk. */
export interface StoppedStore {
  readonly rows: PerStream<Row>;
  readonly uplinks: ReadonlyMap<string, StoppedUplink>;
  readonly boots: Boots;
  /** False: seqs were given out that no clean stop accounted for. */
  readonly clean: boolean;
  /** Per stream and chain slot the last selected seq, after a clean stop. */
  readonly heads: PerStream<Readonly<Record<string, number>>>;
}

/**
 * Reads all that is known without a record being looked at, but for segments that were not sealed: those are counted.
 * Changes nothing. @throws ConfigError where there is no store, or one of a newer version.
 */
export async function readStopped(folders: Folders, engine: SegmentStore): Promise<StoppedStore> {
  const { dataDir } = folders;
  const identity = await readIdentity(dataDir);
  const names = await namesIn(folders.state(""));
  const found = perStream((stream) => folders.segments(stream));
  if (
    !identity &&
    !names.includes("seq") &&
    (await Promise.all(Object.values(found))).every((all) => all.length === 0)
  ) {
    throw new ConfigError(
      `there is no queue in ${dataDir}; name its folder with --data, or the configuration with --config`,
    );
  }
  const content = await readTwoSlot(folders.state("seq"));
  const marks = isMarks(content) ? content : undefined;
  const origin = identity ?? (await originOf(await found.telemetry, await found.events, engine));
  const rows = {
    events: await rowOf("events", await found.events, { origin, marks, engine }),
    telemetry: await rowOf("telemetry", await found.telemetry, { origin, marks, engine }),
  };
  const known = registeredUplinks(await readTwoSlot(folders.state("uplinks"))) ?? new Map<string, readonly Slot[]>();
  const uplinks = new Map<string, StoppedUplink>();
  for (const [name, slots] of known) uplinks.set(name, await uplinkOf(name, slots, rows, folders));
  return {
    rows,
    uplinks,
    boots: bootsIn(await readTwoSlot(folders.state("boots"))),
    clean: marks !== undefined && STREAMS.every((stream) => !marks[stream].open),
    heads: perStream((stream) => marks?.[stream].heads ?? {}),
  };
}

interface Origin {
  readonly store: string;
  readonly epoch: number;
}

/** The identity was lost: any segment knows it. */
async function originOf(a: readonly FoundFolder[], b: readonly FoundFolder[], engine: SegmentStore): Promise<Origin> {
  for (const { folder } of [...a, ...b].reverse()) {
    const header = await engine.header(folder).catch(() => undefined);
    if (header) return { store: header.store, epoch: header.epoch };
  }
  return { store: "0".repeat(32), epoch: 0 };
}

async function rowOf(
  stream: StreamName,
  found: readonly FoundFolder[],
  { origin, marks, engine }: { origin: Origin; marks: Marks | undefined; engine: SegmentStore },
): Promise<Row> {
  const segments: Segment[] = [];
  // From the newest, as the start does: for equal firsts the higher generation wins.
  for (const folder of [...found].reverse()) {
    if (segments[0]?.first === folder.first) continue;
    const limit = (segments[0]?.first ?? Number.MAX_SAFE_INTEGER) - 1;
    const segment = await segmentOf(stream, folder, { origin, engine, limit, reserved: marks?.[stream].reserved ?? 1 });
    if (segment) segments.unshift(segment);
  }
  const last = segments.at(-1)?.last ?? 0;
  const next = Math.max(last + 1, marks?.[stream].open === false ? marks[stream].reserved : 1);
  const row = new Row(stream, origin.store, origin.epoch, next);
  for (const segment of segments) row.segments.push(segment);
  row.tail = Math.max(last, next - 1);
  return row;
}

async function segmentOf(
  stream: StreamName,
  { first, generation, folder }: FoundFolder,
  by: { origin: Origin; engine: SegmentStore; limit: number; reserved: number },
): Promise<Segment | undefined> {
  const { store } = by.origin;
  const seal = await readSeal(folder);
  if (!seal && !(await hasData(folder))) return undefined;
  const epoch = seal?.epoch ?? (await by.engine.header(folder).catch(() => undefined))?.epoch ?? by.origin.epoch;
  const segment = new Segment({ stream, store, epoch, first, generation, folder });
  segment.sealed = true;
  segment.diskBytes = await folderBytes(folder);
  if (seal) {
    segment.tally = seal.tally;
    segment.damaged = seal.damaged;
    return segment;
  }
  try {
    const open = await by.engine.open(folder, segment.base);
    try {
      await count(segment, open, by.limit);
    } finally {
      await open.close();
    }
  } catch {
    // It may hold anything: looking at its records says why it cannot be read.
    const last = Math.max(first, Math.min(by.limit, by.reserved - 1));
    segment.tally.record(last, 0, Number.NaN);
    segment.damaged = last - first + 1;
  }
  return segment.tally.count === 0 && segment.damaged === 0 ? undefined : segment;
}

async function uplinkOf(
  name: string,
  slots: readonly Slot[],
  rows: PerStream<Row>,
  folders: Folders,
): Promise<StoppedUplink> {
  const content = await readTwoSlot(folders.state(`cursor-${name}`));
  const found = cursorStates(content);
  const states: PerStream<CursorState> =
    found ?? perStream((stream) => owedAll(rows[stream].segments.all, rows[stream].nextSeq));
  const unsynced = typeof content === "object" && content !== null && "unsynced" in content ? content.unsynced : [];
  const cursors = perStream((stream) => new Cursor(rows[stream], slots, states[stream], () => {}));
  return { name, slots, cursors, unsynced, lost: found === undefined };
}
