import { join } from "node:path";
import { ClassicLevel } from "classic-level";
import type { Source } from "../core/record.ts";
import { namesIn } from "./files.ts";
import { seqKey, seqOfKey } from "./keys.ts";
import { isPlain, LogSegment } from "./log-segment.ts";
import { decodeHeader, type SegmentHeader } from "./meta.ts";
import { Runway } from "./runway.ts";
import type { OpenSegment, Pair, SegmentStore, StoredRecord } from "./segment-store.ts";
import { TableSegment } from "./table-segment.ts";

type Level = ClassicLevel<Buffer, Buffer>;

const MIB = 1024 * 1024;

/**
 * Segments as LevelDB folders that are only ever appended to. LevelDB writes them; old ones are read out of their files
 * without it, so that nothing in a damaged file can end the process (decisions 005 and 007).
 */
export class LevelSegments implements SegmentStore {
  readonly #segmentBytes: number;
  readonly #writeBufferBytes: number;
  readonly #onZeros: (bytes: number) => void;

  /**
   * `segmentBytes`: size at which a segment is sealed. The write buffer is larger, so it stays one log file. `onZeros` is
   * told what was written ahead of logs, beside the records.
   */
  constructor(segmentBytes: number, onZeros: (bytes: number) => void = () => {}) {
    this.#segmentBytes = segmentBytes;
    this.#onZeros = onZeros;
    this.#writeBufferBytes = Math.min(Math.max(segmentBytes * 2, 4 * MIB), 256 * MIB);
  }

  async create(folder: string, header: Pair): Promise<OpenSegment> {
    const db = this.#level(folder);
    await db.open();
    try {
      await db.put(header.key, header.value, { sync: false });
      const log = (await namesIn(folder)).find((name) => name.endsWith(".log"));
      const runway = log === undefined ? undefined : new Runway(join(folder, log), this.#segmentBytes, this.#onZeros);
      return new LevelSegment(db, decodeHeader(header.value), new Map(), runway);
    } catch (error) {
      await db.close().catch(() => {});
      throw error;
    }
  }

  async open(folder: string, base: number): Promise<OpenSegment> {
    if (await isPlain(folder)) return await LogSegment.open(folder, base);
    return await TableSegment.open(folder, base);
  }

  async header(folder: string): Promise<SegmentHeader | undefined> {
    if (await isPlain(folder)) return await LogSegment.header(folder);
    return await TableSegment.header(folder);
  }

  #level(folder: string): Level {
    return new ClassicLevel<Buffer, Buffer>(folder, {
      keyEncoding: "buffer",
      valueEncoding: "buffer",
      createIfMissing: true,
      errorIfExists: true,
      compression: false,
      writeBufferSize: this.#writeBufferBytes,
      cacheSize: 256 * 1024,
      maxOpenFiles: 64,
      multithreading: false,
    });
  }
}

class LevelSegment implements OpenSegment {
  readonly header: SegmentHeader | undefined;
  readonly #db: Level;
  readonly #sources: Map<number, Source>;
  readonly #runway: Runway | undefined;

  constructor(db: Level, header: SegmentHeader | undefined, sources: Map<number, Source>, runway?: Runway) {
    this.#db = db;
    this.#runway = runway;
    this.header = header;
    this.#sources = sources;
  }

  async write(pairs: readonly Pair[], sync: boolean): Promise<void> {
    // Six times as fast as an array of operations, which is cloned piece by piece.
    const batch = this.#db.batch();
    let bytes = 0;
    for (const { key, value } of pairs) {
      batch.put(key, value);
      bytes += key.length + value.length;
    }
    await this.#runway?.before(pairs.length, bytes, sync);
    await batch.write({ sync });
  }

  async read(from: number, to: number, maxRecords: number, maxBytes: number): Promise<StoredRecord[]> {
    const iterator = this.#db.iterator({
      gte: seqKey(from),
      lte: seqKey(to),
      limit: maxRecords,
      highWaterMarkBytes: maxBytes,
      fillCache: false,
    });
    try {
      const found = await iterator.nextv(maxRecords);
      return found.map(([key, value]) => ({ seq: seqOfKey(key), value }));
    } finally {
      await iterator.close();
    }
  }

  sourceOf(id: number): Source | undefined {
    return this.#sources.get(id);
  }
  know(id: number, source: Source): void {
    this.#sources.set(id, source);
  }
  async close(): Promise<void> {
    await this.#runway?.close();
    await this.#db.close();
  }
}
