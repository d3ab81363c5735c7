import { stat } from "node:fs/promises";
import { join } from "node:path";
import { StorageError } from "../core/errors.ts";
import type { StreamName } from "../core/record.ts";
import { DamagedError } from "./bytes.ts";
import type { CrashGuard } from "./crash-guard.ts";
import { folderBytes, isRefusal, namesIn, syncFiles } from "./files.ts";
import type { Folders, FoundFolder } from "./folders.ts";
import { isHurt, markHurt } from "./hurt.ts";
import type { Identity } from "./identity.ts";
import { NewerFormatError } from "./meta.ts";
import type { Quarantine } from "./quarantine.ts";
import { RecordReader } from "./record.ts";
import { readSeal, writeSeal } from "./seal.ts";
import { Segment } from "./segment.ts";
import type { OpenSegment, SegmentStore } from "./segment-store.ts";
import type { Shelf } from "./shelf.ts";
import { Tally } from "./tally.ts";

export interface ScanParts {
  readonly folders: Folders;
  readonly engine: SegmentStore;
  readonly shelf: Shelf;
  readonly guard: CrashGuard;
  readonly quarantine: Quarantine;
  readonly identity: Identity;
  /** How long the gateway had run, for segments that do not know it. */
  readonly ranMs: number;
  /** A segment cannot be opened: it was set aside. */
  readonly onLost: (lost: LostSegment) => void;
}

/** A segment that was set aside at the start. Seqs `from` to `to` were or may have been in it. */
export interface LostSegment {
  readonly stream: StreamName;
  readonly folder: string;
  readonly epoch: number;
  readonly from: number;
  readonly to: number;
  readonly error: unknown;
}

const CHUNK_RECORDS = 4096;
const CHUNK_BYTES = 1024 * 1024;

/**
 * The segments of a stream as an earlier run left them, in order. Sealed ones are believed without being opened; the
 * few others are read and sealed. `end` is the greatest seq that can have been given.
 */
export async function scanStream(stream: StreamName, end: number, parts: ScanParts): Promise<Segment[]> {
  const found: Segment[] = [];
  let lostFirst = Number.POSITIVE_INFINITY;
  // From the newest: it bounds those before it, and for equal firsts the higher generation wins.
  for (const folder of (await parts.folders.segments(stream)).reverse()) {
    const { first } = folder;
    const after = Math.min(
      found[0]?.first ?? Number.POSITIVE_INFINITY,
      first < lostFirst ? lostFirst : Number.POSITIVE_INFINITY,
    );
    const limit = Math.min(after - 1, Number.MAX_SAFE_INTEGER);
    const superseded = found[0]?.first === first;
    if (!(await stat(folder.folder)).isDirectory()) {
      // What was there, if anything, is found missing when it is read.
      await parts.quarantine.add(folder.folder);
      continue;
    }
    const segment = superseded ? undefined : await scanSegment(stream, folder, { limit, end }, parts);
    if (segment === "lost") lostFirst = first;
    else if (segment) found.unshift(segment);
    else await parts.folders.discard(folder.folder);
  }
  return found;
}

/** Undefined where there is nothing in it. */
async function scanSegment(
  stream: StreamName,
  { first, generation, folder }: FoundFolder,
  { limit, end }: { limit: number; end: number },
  parts: ScanParts,
): Promise<Segment | "lost" | undefined> {
  const { store } = parts.identity;
  const seal = await readSeal(folder);
  if (seal) {
    const segment = new Segment({ stream, store, epoch: seal.epoch, first, generation, folder });
    segment.tally = seal.tally;
    segment.damaged = seal.damaged;
    segment.boot = seal.boot;
    segment.ranMs = seal.ranMs ?? 0;
    segment.sealed = true;
    segment.hurt = await isHurt(folder);
    segment.barred = await parts.guard.bars(folder);
    segment.diskBytes = await folderBytes(folder);
    return segment;
  }
  // A kill while it was being made. Whatever was promised in its seqs is found missing all the same.
  if (!(await hasData(folder))) return undefined;
  let { epoch } = parts.identity;
  try {
    if (await parts.guard.bars(folder)) throw new StorageError("three processes ended while they opened it");
    await syncFiles(folder);
    await parts.guard.begin(folder);
    const header = await parts.engine.header(folder);
    epoch = header?.epoch ?? epoch;
    const segment = new Segment({ stream, store, epoch, first, generation, folder });
    segment.boot = header?.boot;
    segment.ranMs = parts.ranMs;
    segment.sealed = true;
    await parts.shelf.use(segment, (open) => count(segment, open, limit));
    if (segment.damaged > 0) {
      segment.hurt = true;
      await markHurt(folder);
    }
    if (segment.tally.count === 0 && segment.damaged === 0) {
      await parts.shelf.shut(segment);
      return undefined;
    }
    await writeSeal(folder, segment).catch(() => {
      // Counted again at the next start.
    });
    return segment;
  } catch (error) {
    if (error instanceof NewerFormatError) throw error;
    if (isRefusal(error)) {
      return uncounted({ stream, store, epoch, first, generation, folder }, Math.min(limit, Math.max(end, first)));
    }
    await parts.quarantine.add(folder);
    parts.onLost({ stream, folder, epoch, from: first, to: Math.min(limit, Math.max(end, first)), error });
    return "lost";
  } finally {
    await parts.guard.end(folder);
  }
}

/** Counts what can be read, into the segment's tally. */
export async function count(segment: Segment, open: OpenSegment, limit: number): Promise<void> {
  const { tally } = segment;
  const record = new RecordReader();
  let last = segment.first - 1;
  for (;;) {
    const records = await open.read(last + 1, limit, CHUNK_RECORDS, CHUNK_BYTES);
    if (records.length === 0) break;
    for (const { seq, value } of records) {
      last = seq;
      try {
        record.open(segment.base, seq, value);
        tally.record(seq, value.length, record);
        record.eachLink((slot) => tally.link(slot, seq, value.length));
      } catch (error) {
        if (!(error instanceof DamagedError)) throw error;
      }
    }
  }
  segment.damaged = last - segment.first + 1 - tally.count;
  if (segment.damaged > 0) {
    if (tally.count === 0) tally.record(last, 0, undefined);
    tally.last = last;
  }
}

/** The disk has no room for opening it now: it may hold anything up to `limit`, and is read when there is room again. */
async function uncounted(at: ConstructorParameters<typeof Segment>[0], limit: number): Promise<Segment> {
  const segment = new Segment(at);
  segment.sealed = true;
  segment.diskBytes = await folderBytes(at.folder);
  segment.damaged = limit - at.first + 1;
  segment.tally = new Tally();
  segment.tally.first = at.first;
  segment.tally.last = limit;
  segment.tally.count = segment.damaged;
  segment.tally.bytes = segment.diskBytes;
  return segment;
}

/** Whether there is any file of LevelDB in which a record could be, or links to such files. */
export async function hasData(folder: string): Promise<boolean> {
  for (const name of await namesIn(folder)) {
    if (!/^(\d+\.(log|ldb|sst)|kept-\d+)$/.test(name)) continue;
    if ((await stat(join(folder, name))).size > 0) return true;
  }
  return false;
}
