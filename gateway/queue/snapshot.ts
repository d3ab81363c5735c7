import { copyFile, mkdir } from "node:fs/promises";
import { basename, join } from "node:path";
import type { Snapshot } from "../core/inspect.ts";
import { STREAMS } from "../core/record.ts";
import { linkOrCopy, trashFolder } from "./aside.ts";
import { namesIn, removeFolder } from "./files.ts";
import type { Row } from "./row.ts";
import type { Segment } from "./segment.ts";
import { SeqFile, type SeqMark } from "./seqs.ts";
import { type PerStream, perStream } from "./uplink-state.ts";

/** What of `state/` belongs to the queue. The lock and the way to the control socket do not. */
export const STATE = /^(store\.json|seq|uplinks|boots|cursor-.+)$/;
/** LevelDB's own log of what it does, and its lock, change while it runs. */
const NOT_CONTENT = /^(LOG|LOG\.old|LOCK)$|\.(new|dbtmp)$/;

/** What goes into a snapshot. Nothing of it changes, and nothing is removed, until `takeSnapshot` has resolved. */
export interface SnapshotParts {
  readonly dataDir: string;
  readonly store: string;
  readonly epoch: number;
  readonly rows: PerStream<Row>;
  readonly uplinks: Snapshot["uplinks"];
  /** The counters to store; absent: as they are on disk. */
  readonly marks?: PerStream<SeqMark>;
}

/** Links every segment and copies the state into a folder of its own. */
export async function takeSnapshot(parts: SnapshotParts): Promise<Snapshot> {
  const { dataDir, store, epoch, rows, uplinks } = parts;
  const folder = await trashFolder(dataDir, "backup");
  try {
    for (const stream of STREAMS) {
      await mkdir(join(folder, "queue", stream), { recursive: true });
      for (const segment of rows[stream].segments.all) {
        await linkSegment(segment, join(folder, "queue", stream, basename(segment.folder)));
      }
    }
    await mkdir(join(folder, "state"));
    for (const name of await namesIn(join(dataDir, "state"))) {
      if (STATE.test(name)) await copyFile(join(dataDir, "state", name), join(folder, "state", name));
    }
    if (parts.marks) await writeMarks(join(folder, "state", "seq"), parts.marks);
  } catch (error) {
    await removeFolder(folder).catch(() => {});
    throw error;
  }
  const streams = perStream((stream) => summaryOf(rows[stream]));
  return { folder, store, epoch, streams, uplinks, close: () => removeFolder(folder).catch(() => {}) };
}

async function linkSegment(segment: Segment, to: string): Promise<void> {
  await mkdir(to);
  for (const entry of await namesIn(segment.folder)) {
    if (NOT_CONTENT.test(entry)) continue;
    const from = join(segment.folder, entry);
    if (!entry.startsWith("kept-")) await linkOrCopy(from, join(to, entry));
    else {
      await mkdir(join(to, entry));
      for (const name of await namesIn(from)) await linkOrCopy(join(from, name), join(to, entry, name));
    }
  }
}

async function writeMarks(path: string, marks: PerStream<SeqMark>): Promise<void> {
  const file = new SeqFile(path, () => {});
  await file.open();
  try {
    for (const stream of STREAMS) await file.write(stream, marks[stream]);
  } finally {
    await file.close();
  }
}

function summaryOf({ segments }: Row): { records: number; from: number; to: number } {
  const held = segments.all.filter(({ tally }) => tally.count > 0);
  const records = held.reduce((sum, { tally }) => sum + tally.count, 0);
  return { records, from: held[0]?.first ?? 0, to: held.at(-1)?.last ?? 0 };
}
