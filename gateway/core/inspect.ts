import type { SentTime } from "./clock.ts";
import type { QueueStats } from "./queue.ts";
import type { Content, StreamName } from "./record.ts";

/** A look into the store that delivers nothing and changes nothing, of a running gateway or of a stopped one. */

/** Which records to look at; both ends of `from` to `to` are inclusive. */
export interface RecordQuery {
  /** Only what this uplink is still owed. */
  readonly uplink?: string;
  readonly stream?: StreamName;
  readonly from?: number;
  readonly to?: number;
  /** At most this many records. */
  readonly limit?: number;
}

/** A record as it lies in the store, with its time as far as it is known by now. */
export interface StoredEntry extends SentTime {
  readonly stream: StreamName;
  readonly seq: number;
  readonly epoch: number;
  readonly bootId: string;
  readonly monoMs: number;
  readonly content: Content;
  /** Size of the stored record in bytes. */
  readonly bytes: number;
}

/** Seqs that should be there and cannot be read. */
export interface Damage {
  readonly stream: StreamName;
  readonly from: number;
  readonly to: number;
  readonly reason: string;
}

export type Found =
  | { readonly kind: "record"; readonly entry: StoredEntry }
  | { readonly kind: "damage"; readonly damage: Damage };

export interface StoreStats extends QueueStats {
  /** False where the store was read without a gateway: then there are no rates, and nothing counted since its start. */
  readonly running: boolean;
  /** Unix milliseconds of the look. */
  readonly now: number;
  /** Segments that were set aside because they are damaged, and their bytes. */
  readonly quarantine: { readonly segments: number; readonly bytes: number };
  /** Stopped only: it was not stopped cleanly; what the last moments lost is told as a gap at the next start. */
  readonly unclean?: boolean;
}

export interface Forgotten {
  readonly uplink: string;
  /** Records it was owed, and the bytes of disk that no other uplink needs any more. */
  readonly records: number;
  readonly bytes: number;
  /** True where the uplink stays and was told the loss as a gap; false where its cursor is gone. */
  readonly told: boolean;
}

/** A consistent state of the store in a folder of its own, on the same disk, until it is closed. */
export interface Snapshot {
  readonly folder: string;
  readonly store: string;
  readonly epoch: number;
  readonly streams: Readonly<
    Record<StreamName, { readonly records: number; readonly from: number; readonly to: number }>
  >;
  readonly uplinks: readonly { readonly name: string; readonly owed: number }[];
  /** Removes the folder. Never rejects. */
  close(): Promise<void>;
}

/** Errors: ConfigError for a request that cannot be met (the message has the cure), StorageError for a disk that refuses. */
export interface Inspector {
  stats(): Promise<StoreStats>;
  /** About how many records `records` will give. */
  count(query: RecordQuery): number;
  /** In order of seq, stream after stream; what comes in meanwhile is left out. Rejects with `signal.reason`. */
  records(query: RecordQuery, signal: AbortSignal): AsyncIterable<readonly Found[]>;
  /** An uplink that the configuration has is refused unless `configuredToo`: then it stays and is told a gap. */
  forget(uplink: string, configuredToo: boolean): Promise<Forgotten>;
  snapshot(): Promise<Snapshot>;
  close(): Promise<void>;
}

/** What an export begins with, has between its records and ends with. */
export const TOTAL = '{"total":';
export const DAMAGED = '{"damaged":';
export const END = '{"end":';

/**
 * An export as lines of JSON, many at a time: the expected total, the records as `encode` writes them (which begins with
 * another key) with what was damaged among them, the end. Without the end it is not whole.
 */
export async function* exportLines(
  inspector: Inspector,
  query: RecordQuery,
  encode: (entry: StoredEntry) => string,
  signal: AbortSignal,
): AsyncGenerator<string> {
  yield `${TOTAL}${inspector.count(query)}}\n`;
  let records = 0;
  let damaged = 0;
  for await (const chunk of inspector.records(query, signal)) {
    let text = "";
    for (const found of chunk) {
      if (found.kind === "record") {
        records++;
        text += `${encode(found.entry)}\n`;
      } else {
        damaged += found.damage.to - found.damage.from + 1;
        text += `${DAMAGED}${JSON.stringify(found.damage)}}\n`;
      }
    }
    yield text;
  }
  yield `${END}${JSON.stringify({ records, damaged })}}\n`;
}
