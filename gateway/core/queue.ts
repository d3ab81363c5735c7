import type { BootOffset } from "./clock.ts";
import type { Entry, Gap, NewRecord, StreamName } from "./record.ts";
import type { Selector } from "./selector.ts";

/** What one uplink may be owed at most. What is over becomes a gap (`retention`) of that uplink alone. */
export interface BacklogLimits {
  /** Stored bytes. */
  readonly bytes?: number | undefined;
  readonly ageMs?: number | undefined;
}

/** How an uplink takes part in the queue. */
export interface QueueReader {
  /** Evaluated at append; a change of its text begins a new chain. */
  readonly selector: Selector;
  /** Where an uplink that the store has never seen begins. */
  readonly from: "oldest" | "now";
  /** Only a required uplink can cause `refuse`; any other is given a gap alone. */
  readonly required: boolean;
  readonly maxBacklog?: BacklogLimits;
}

/**
 * `fifo` reads one row in seq order; `live` and `backfill` are the two lanes of `live-first`. The first read of either after
 * `open` or `rewind` fixes the head of the stream, where they meet: `backfill` gives what is owed up to it, `live` what comes
 * after. Until the next `rewind` a stream is read either as one row or in lanes.
 */
export type Lane = "fifo" | "live" | "backfill";

export interface LaneRequest {
  readonly stream: StreamName;
  readonly lane: Lane;
  /** At most this many entries, and at most about this many bytes (at least one entry is returned). */
  readonly maxRecords: number;
  readonly maxBytes: number;
}

export interface StreamStats {
  /** Next seq to be given. */
  readonly nextSeq: number;
  readonly epoch: number;
  readonly segments: number;
  /** Bytes of the stream's folders on disk. */
  readonly bytes: number;
  readonly oldestWallMs?: number;
  readonly appended: number;
}

export interface UplinkStats {
  readonly name: string;
  readonly chain: string;
  readonly streams: Readonly<
    Record<
      StreamName,
      {
        /** Records still owed (an estimate where a segment was never counted) and their stored bytes. */
        readonly depth: number;
        readonly bytes: number;
        /** Greatest seq this uplink selects; 0 when none. */
        readonly lastTaken: number;
        /** Every selected seq up to here was acknowledged or told as a gap. */
        readonly lastAcked: number;
        readonly oldestWallMs?: number;
        /** Of `depth`, what is in the lane `backfill` (an estimate in the segment where the lanes meet). Absent with `fifo`. */
        readonly backfill?: number;
      }
    >
  >;
  readonly gapsPending: number;
  /** Records of it that became gaps since the start; the greatest possible number where they were unreadable. */
  readonly lost?: number;
  /** False where the configuration has it no more: it holds its data until it is forgotten. */
  readonly configured?: boolean;
  /** Seconds until it is owed nothing at the present rates; absent when its backlog is not shrinking. */
  readonly secondsToDrain?: number;
}

/** What the queue costs the card. */
export interface QueueWear {
  /** Records appended, bytes handed to the file system and fsyncs, since the start. */
  readonly records: number;
  readonly bytesWritten: number;
  readonly fsyncs: number;
  /** Bytes handed to the file system per record; absent before the first. */
  readonly bytesPerRecord?: number;
  /** An estimate of what reaches the device at the present rate (ten minutes); absent in the first minute. */
  readonly deviceBytesPerDay?: number;
  /** Bytes that the card can take, as configured. */
  readonly endurance: number;
  /** Days until that much was written, at the present rate and from a new card. */
  readonly cardDays?: number;
}

export interface QueueStats {
  readonly streams: Readonly<Record<StreamName, StreamStats>>;
  readonly uplinks: readonly UplinkStats[];
  readonly bytes: number;
  readonly maxBytes: number;
  /** Bytes handed to the file system since the start, over payload bytes appended. */
  readonly bytesWritten: number;
  readonly bytesAppended: number;
  /** Seconds until `maxBytes` at the present rate of append; absent when nothing comes in. */
  readonly secondsToFull?: number;
  /** Seconds until nothing is owed at the present rates; absent when it is not shrinking. */
  readonly secondsToDrain?: number;
  readonly dropped: number;
  readonly quarantined: number;
  readonly wear?: QueueWear;
  /** False while the disk refuses writes. */
  readonly healthy: boolean;
}

/**
 * The store-and-forward queue: append once, read by one named cursor per uplink.
 *
 * Every method rejects with `StorageError` before `start` and after `close`. An aborted call rejects with
 * `signal.reason` and has no effect. `read` of one (uplink, stream, lane) is never called again before it settled.
 */
export interface Queue {
  /**
   * Opens the store: always succeeds on a damaged one, by setting the damage aside.
   * @throws ConfigError when the folder is locked, not ours, or from a newer version (exit 78); StorageError when it
   * cannot be opened at all (exit 74).
   */
  start(): Promise<void>;

  /** Registers an uplink, or finds its cursor again. Called for every uplink before the first `append`. */
  open(uplink: string, reader: QueueReader): Promise<void>;

  /**
   * Gives each record the next seq and stores them, in order, all or none. Resolves when they are on disk as the
   * stream's `sync` says (or fsynced, where a record is `durable`). Concurrent calls share one write.
   * @throws QueueFullError when the policy is `refuse` and there is no room: push back. StorageError when the disk
   * refuses: nothing was accepted, append again later.
   */
  append(stream: StreamName, records: readonly NewRecord[]): Promise<void>;

  /**
   * The next entries that the uplink is owed and that were not read since the last `rewind`, in seq order. Waits until
   * there is at least one; in the lane `backfill` it resolves with none when all of it was read, and the lane is over.
   * Never returns a record before its batch was written.
   * @throws ConfigError when the stream is being read the other way, as one row or in lanes.
   */
  read(uplink: string, want: LaneRequest, signal: AbortSignal): Promise<Entry[]>;

  /** The far side acknowledged these. In any order. Resolves when a cursor that covers them is written. */
  settle(uplink: string, stream: StreamName, seqs: readonly number[]): Promise<void>;

  /** The far side will never take these: they become a gap (`rejected`). Resolves as `settle` does. */
  reject(uplink: string, stream: StreamName, seqs: readonly number[], reason: string): Promise<void>;

  /** The connection is gone: whatever was read and neither settled nor rejected will be read again, oldest first. */
  rewind(uplink: string): void;

  /** Gaps this uplink has yet to acknowledge, in order of seq per stream. */
  gaps(uplink: string): readonly Gap[];

  /** Resolves when the uplink has a gap that was not there when `known` gaps were; used to wake the forwarder. */
  onGap(uplink: string, listener: () => void): () => void;

  /** The far side acknowledged a gap record. Identified by stream, epoch, from and to. */
  settleGap(uplink: string, gap: Gap): Promise<void>;

  /**
   * Clock records this uplink has yet to acknowledge: boots of which it was given records without a known time, and whose
   * offset has become known since.
   */
  clocks(uplink: string): readonly BootOffset[];

  /** Calls back when `clocks` may give more than before. */
  onClock(uplink: string, listener: () => void): () => void;

  /** The far side acknowledged the clock record of this boot. Resolves as `settle` does. */
  settleClock(uplink: string, bootId: string): Promise<void>;

  /** The entry with its time as far as it is known by now; for one that was read ahead. Never throws. */
  timed(entry: Entry): Entry;

  stats(): QueueStats;

  /** Writes and fsyncs cursors and the clean mark; idempotent, never rejects. */
  close(): Promise<void>;
}
