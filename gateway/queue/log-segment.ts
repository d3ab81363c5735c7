import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import type { Source } from "../core/record.ts";
import { DamagedError } from "./bytes.ts";
import { namesIn } from "./files.ts";
import { HEADER_KEY, sourceOfKey } from "./keys.ts";
import { type OnMeta, recordsOf, salvage } from "./log-batch.ts";
import { type Frame, LogFrames } from "./log-frames.ts";
import { decodeHeader, decodeSource, type SegmentHeader } from "./meta.ts";
import type { OpenSegment, StoredRecord } from "./segment-store.ts";

const LOG = /^\d+\.log$/;
/** Made by an earlier version that opened segments with LevelDB: tables, and the links it kept while it did so. */
const TABLE = /^(\d+\.(ldb|sst)|kept-\d+)$/;
/** A place that reading can begin at is remembered this often. */
const MARK_BYTES = 64 * 1024;
/** Readers of one segment that each go on where they were. */
const MOST_PLACES = 4;

/** A place in a log where a batch begins, whose first record is `seq`. */
interface Mark {
  readonly seq: number;
  readonly file: number;
  readonly at: number;
}

/** Whether all that a segment holds lies in log files, so that it can be read without LevelDB. */
export async function isPlain(folder: string): Promise<boolean> {
  return !(await namesIn(folder)).some((name) => TABLE.test(name));
}

/**
 * An old segment, read out of its log file. Nothing is written, nothing but the log is needed, no memory is held but
 * what was just read, and damage costs what it hit: the rest is found by its checksums. (LevelDB would write the
 * segment anew when it opens it, keep all of it in memory meanwhile, and end the process on some damage; decision 005.)
 */
export class LogSegment implements OpenSegment {
  readonly #base: number;
  readonly #files: readonly FileHandle[];
  readonly #sources = new Map<number, Source>();
  readonly #marks: Mark[];
  #places: Place[] = [];
  #header: SegmentHeader | undefined;

  private constructor(base: number, first: number, files: readonly FileHandle[]) {
    this.#base = base;
    this.#files = files;
    this.#marks = [{ seq: first, file: 0, at: 0 }];
  }

  /** Opens for reading. `base` is the crc of its origin. @throws the system's error. */
  static async open(folder: string, base: number): Promise<LogSegment> {
    const files = await openLogs(folder);
    try {
      const header = await headerIn(files);
      const segment = new LogSegment(base, header?.first ?? 0, files);
      segment.#header = header;
      return segment;
    } catch (error) {
      await closeAll(files);
      throw error;
    }
  }

  /** The `H` entry alone. @throws the system's error. */
  static async header(folder: string): Promise<SegmentHeader | undefined> {
    const files = await openLogs(folder);
    try {
      return await headerIn(files);
    } finally {
      await closeAll(files);
    }
  }

  get header(): SegmentHeader | undefined {
    return this.#header;
  }

  write(): Promise<void> {
    return Promise.reject(new Error("a segment that was opened for reading cannot be written to"));
  }

  async read(from: number, to: number, maxRecords: number, maxBytes: number): Promise<StoredRecord[]> {
    const place = this.#placeFor(from);
    const found: StoredRecord[] = [];
    let bytes = 0;
    for (;;) {
      const record = place.peek();
      if (!record) {
        if (place.next > to || !(await place.advance(from))) break;
        continue;
      }
      const over = found.length >= maxRecords || (bytes + record.value.length > maxBytes && found.length > 0);
      if (record.seq > to || over) break;
      place.step();
      if (record.seq < from) continue;
      found.push(record);
      bytes += record.value.length;
    }
    this.#places = [place, ...this.#places].slice(0, MOST_PLACES);
    return found;
  }

  sourceOf(id: number): Source | undefined {
    return this.#sources.get(id);
  }
  know(id: number, source: Source): void {
    this.#sources.set(id, source);
  }

  async close(): Promise<void> {
    await closeAll(this.#files);
  }

  /** The place nearest before `from`. It is in use until it is put back. */
  #placeFor(from: number): Place {
    const mark = this.#marks.findLast(({ seq }) => seq <= from) ?? { seq: 0, file: 0, at: 0 };
    const known = this.#places.filter(({ next }) => next <= from && next >= mark.seq);
    const nearest = known.sort((a, b) => b.next - a.next)[0];
    if (!nearest) return new Place(this.#files, mark, this.#base, this.#onMeta, this.#onMark);
    this.#places = this.#places.filter((place) => place !== nearest);
    return nearest;
  }

  readonly #onMeta: OnMeta = (key, value) => {
    const id = sourceOfKey(key);
    if (id === undefined || this.#sources.has(id)) return;
    try {
      this.#sources.set(id, decodeSource(this.#base, key, value));
    } catch (error) {
      // Left out: the records that need it then count as damaged, and no others.
      if (!(error instanceof DamagedError)) throw error;
    }
  };

  readonly #onMark = (mark: Mark): void => {
    const last = this.#marks.at(-1);
    if (!last || mark.file > last.file || (mark.file === last.file && mark.at >= last.at + MARK_BYTES))
      this.#marks.push(mark);
  };
}

/** Where one reader of the segment stands. */
class Place {
  readonly #files: readonly FileHandle[];
  readonly #base: number;
  readonly #onMeta: OnMeta;
  readonly #onMark: (mark: Mark) => void;
  #file: number;
  #frames: LogFrames | undefined;
  #expected: number;
  #records: readonly StoredRecord[] = [];
  #index = 0;

  constructor(files: readonly FileHandle[], mark: Mark, base: number, onMeta: OnMeta, onMark: (mark: Mark) => void) {
    this.#files = files;
    this.#base = base;
    this.#onMeta = onMeta;
    this.#onMark = onMark;
    this.#file = mark.file;
    this.#expected = mark.seq;
    const file = files[mark.file];
    this.#frames = file && new LogFrames(file, mark.at);
  }

  /** The seq that comes next, or a lower one. */
  get next(): number {
    return this.peek()?.seq ?? this.#expected;
  }
  peek(): StoredRecord | undefined {
    return this.#records[this.#index];
  }
  step(): void {
    this.#index++;
  }

  /** Goes on to the next batch; its records below `from` are left out. Gives false at the end. */
  async advance(from: number): Promise<boolean> {
    while (this.#frames) {
      const frame = this.#frames.next();
      if (frame) {
        this.#take(frame, from);
        return true;
      }
      if (await this.#frames.load()) continue;
      this.#file++;
      const file = this.#files[this.#file];
      this.#frames = file && new LogFrames(file, 0);
    }
    return false;
  }

  #take(frame: Frame, from: number): void {
    const expected = this.#expected;
    const good = frame.whole ? recordsOf(frame.data, expected, from, this.#onMeta) : undefined;
    const taken = good ?? salvage(frame.data, this.#base, expected, this.#onMeta);
    this.#records = taken.records;
    this.#index = 0;
    this.#expected = taken.next;
    if (good && taken.next > expected) this.#onMark({ seq: expected, file: this.#file, at: frame.at });
  }
}

async function openLogs(folder: string): Promise<FileHandle[]> {
  const names = (await namesIn(folder)).filter((name) => LOG.test(name)).sort();
  const files: FileHandle[] = [];
  try {
    for (const name of names) files.push(await open(join(folder, name), "r"));
  } catch (error) {
    await closeAll(files);
    throw error;
  }
  return files;
}

async function closeAll(files: readonly FileHandle[]): Promise<void> {
  await Promise.all(files.map((file) => file.close().catch(() => {})));
}

/** The header is the first entry that was written. */
async function headerIn(files: readonly FileHandle[]): Promise<SegmentHeader | undefined> {
  const [file] = files;
  if (!file) return undefined;
  const frames = new LogFrames(file, 0);
  if (!(await frames.load())) return undefined;
  let header: SegmentHeader | undefined;
  const take: OnMeta = (key, value) => {
    if (!key.equals(HEADER_KEY)) return;
    try {
      header = decodeHeader(value);
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error;
    }
  };
  const frame = frames.next();
  if (frame) salvage(frame.data, 0, 0, take);
  return header;
}
