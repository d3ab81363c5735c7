import type { Source } from "../core/record.ts";
import type { SegmentHeader } from "./meta.ts";

/** One key and value of a segment. */
export interface Pair {
  readonly key: Buffer;
  readonly value: Buffer;
}

/** One stored record as read: its seq and its bytes. */
export interface StoredRecord {
  readonly seq: number;
  readonly value: Buffer;
}

/**
 * An open segment. Whoever opened it closes it. Errors are the engine's own; the caller tells a refusing disk from
 * damage with `isRefusal`.
 */
export interface OpenSegment {
  /** Its `H` entry; undefined where that is damaged. */
  readonly header: SegmentHeader | undefined;

  /**
   * Writes all pairs or none, in one step. With `sync` it resolves when they, and everything written before, are on
   * disk. After a rejection nothing more may be written here: what follows could be acknowledged and lost.
   */
  write(pairs: readonly Pair[], sync: boolean): Promise<void>;

  /**
   * Stored records from seq `from` to `to`, both inclusive, in order: at most `maxRecords`, at most about `maxBytes`.
   * Fewer do not mean that there are no more; none do.
   */
  read(from: number, to: number, maxRecords: number, maxBytes: number): Promise<StoredRecord[]>;

  /** The dictionary entry of a source id, as found when opened or as given since by `know`. */
  sourceOf(id: number): Source | undefined;
  /** Adds a source whose entry was just written. */
  know(id: number, source: Source): void;

  /** Waits for calls in flight. */
  close(): Promise<void>;
}

/** The engine that keeps segments. LevelDB here; another one may take its place without the rest noticing. */
export interface SegmentStore {
  /** Makes a segment in a folder that does not exist yet, with its `H` entry. Nothing is durable before a sync. */
  create(folder: string, header: Pair): Promise<OpenSegment>;

  /** Opens a segment; never makes one. `base` is the crc of its origin, for the dictionary. */
  open(folder: string, base: number): Promise<OpenSegment>;

  /** The `H` entry of a segment that nobody has open; undefined where it is damaged. */
  header(folder: string): Promise<SegmentHeader | undefined>;
}
