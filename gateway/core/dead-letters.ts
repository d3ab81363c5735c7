import type { Entry } from "./record.ts";

/** What an uplink keeps of records that its far side will never take. */
export interface DeadLetterStats {
  readonly records: number;
  readonly bytes: number;
  /** Wall time of the oldest, Unix milliseconds; absent when there is none. */
  readonly oldestMs?: number;
  /** Given up since the start, because of `bytes` or `age`. */
  readonly dropped: number;
}

/** Where records go that the far side refused for good, beside the gap that tells so. */
export interface DeadLetters {
  /** Resolves when they are on disk (fsync). @throws StorageError: nothing was kept, try again later. */
  add(entries: readonly Entry[], reason: string): Promise<void>;
  stats(): DeadLetterStats;
}
