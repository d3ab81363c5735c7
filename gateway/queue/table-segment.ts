import { basename, join } from "node:path";
import type { Source } from "../core/record.ts";
import { DamagedError } from "./bytes.ts";
import { namesIn } from "./files.ts";
import { HEADER_KEY, sourceOfKey } from "./keys.ts";
import type { OnMeta } from "./log-batch.ts";
import { LogSegment } from "./log-segment.ts";
import { decodeHeader, decodeSource, type SegmentHeader } from "./meta.ts";
import { RecordReader } from "./record.ts";
import type { OpenSegment, StoredRecord } from "./segment-store.ts";
import { TableFile } from "./table-file.ts";

const TABLE = /^\d+\.(ldb|sst)$/;
/** Links to the files of a segment, from before an earlier version opened it. */
const KEPT = /^kept-\d+$/;

/** Something that has records of the segment; several may have the same. */
type Part = Pick<OpenSegment, "read" | "close">;

/**
 * A segment that LevelDB made tables of: version 0.1 opened old segments with it, and a log that outgrew its buffer.
 * Every file in the folder is read for itself, whatever CURRENT and MANIFEST say, and nothing is written.
 */
export class TableSegment implements OpenSegment {
  readonly #base: number;
  readonly #parts: Part[] = [];
  readonly #logs: LogSegment[] = [];
  readonly #sources = new Map<number, Source>();
  readonly #record = new RecordReader();
  #header: SegmentHeader | undefined;

  private constructor(base: number) {
    this.#base = base;
  }

  /** Opens for reading. `base` is the crc of its origin. @throws the system's error. */
  static async open(folder: string, base: number): Promise<TableSegment> {
    const segment = new TableSegment(base);
    try {
      for (const place of await placesOf(folder)) await segment.#add(place, firstOf(folder));
      return segment;
    } catch (error) {
      await segment.close();
      throw error;
    }
  }

  /** The `H` entry alone. @throws the system's error. */
  static async header(folder: string): Promise<SegmentHeader | undefined> {
    const segment = new TableSegment(0);
    for (const place of await placesOf(folder)) {
      for (const name of await tablesIn(place)) {
        await (await TableFile.open(join(place, name), undefined, 0, segment.#onMeta)).close();
        if (segment.#header) return segment.#header;
      }
      const header = await LogSegment.header(place);
      if (header) return header;
    }
    return undefined;
  }

  get header(): SegmentHeader | undefined {
    return this.#header ?? this.#logs.find(({ header }) => header)?.header;
  }

  write(): Promise<void> {
    return Promise.reject(new Error("a segment that was opened for reading cannot be written to"));
  }

  async read(from: number, to: number, maxRecords: number, maxBytes: number): Promise<StoredRecord[]> {
    const all = await Promise.all(this.#parts.map((part) => part.read(from, to, maxRecords, maxBytes)));
    // Beyond the last one that a part gave, it may have more.
    const known = Math.min(...all.flatMap((records) => records.at(-1)?.seq ?? []));
    const found = new Map<number, StoredRecord>();
    for (const record of all.flat()) {
      const other = found.get(record.seq);
      if (record.seq <= known && !(other && this.#record.openIfWhole(this.#base, other.seq, other.value)))
        found.set(record.seq, record);
    }
    const merged = [...found.values()].sort((a, b) => a.seq - b.seq);
    let bytes = 0;
    const end = merged.findIndex((record, index) => {
      bytes += record.value.length;
      return index >= maxRecords || (bytes > maxBytes && index > 0);
    });
    return end < 0 ? merged : merged.slice(0, end);
  }

  sourceOf(id: number): Source | undefined {
    return this.#sources.get(id) ?? this.#logs.map((log) => log.sourceOf(id)).find((source) => source);
  }
  know(id: number, source: Source): void {
    this.#sources.set(id, source);
  }

  async close(): Promise<void> {
    await Promise.all(this.#parts.map((part) => part.close()));
  }

  async #add(place: string, first: number): Promise<void> {
    for (const name of await tablesIn(place)) {
      this.#parts.push(await TableFile.open(join(place, name), this.#base, first, this.#onMeta));
    }
    const log = await LogSegment.open(place, this.#base);
    this.#logs.push(log);
    this.#parts.push(log);
  }

  readonly #onMeta: OnMeta = (key, value) => {
    try {
      const id = sourceOfKey(key);
      if (id !== undefined) this.#sources.set(id, decodeSource(this.#base, key, value));
      else if (key.equals(HEADER_KEY)) this.#header = decodeHeader(value);
    } catch (error) {
      // Left out: the records that need it then count as damaged, and no others.
      if (!(error instanceof DamagedError)) throw error;
    }
  };
}

/** The folder, and what an opening that was not finished kept of it. */
async function placesOf(folder: string): Promise<string[]> {
  const kept = (await namesIn(folder)).filter((name) => KEPT.test(name));
  return [folder, ...kept.map((name) => join(folder, name))];
}

async function tablesIn(place: string): Promise<string[]> {
  return (await namesIn(place)).filter((name) => TABLE.test(name)).sort();
}

function firstOf(folder: string): number {
  return Number(/^\d+/.exec(basename(folder))?.[0] ?? 0);
}
