import { type FileHandle, open } from "node:fs/promises";

/** Where more than this lies between two fsyncs, zeros cost the disk more than they save. */
const MOST_PER_SYNC = 8 * 1024;
const ZEROS = Buffer.alloc(64 * 1024);
const LEAST_AHEAD = 4096;
/** Of a segment, zeros may be this part. */
const PART = 64;
/** What the log adds to a pair and to a batch, at most. */
const PAIR_BYTES = 16;
const BATCH_BYTES = 40;

/**
 * Zeros ahead of the end of a log, so that a small durable write overwrites what is there. An fsync of a file that has
 * grown makes ext4 write 12 to 20 KB more, for its journal; one of a file that has not writes the blocks alone (decision 006).
 * Readers of the log format step over zeros. It is a saving and no more than that: where it fails, the log grows as it
 * would have.
 */
export class Runway {
  readonly #path: string;
  readonly #ahead: number;
  readonly #onWritten: (bytes: number) => void;
  #file: FileHandle | undefined;
  /** The greatest length that the log can have without the zeros. */
  #end = 0;
  /** How long the file was made. */
  #until = 0;
  /** Written since the last fsync, and between the two before it. */
  #gathered = 0;
  #perSync = Number.POSITIVE_INFINITY;
  #off = false;

  /** `path` is the log of a segment of about `segmentBytes`. `onWritten` is told the zeros. */
  constructor(path: string, segmentBytes: number, onWritten: (bytes: number) => void) {
    this.#path = path;
    this.#ahead = Math.max(LEAST_AHEAD, Math.min(ZEROS.length, Math.floor(segmentBytes / PART)));
    this.#onWritten = onWritten;
  }

  /**
   * Before a batch of so many pairs and bytes is written to the log, and while nothing is being written to it. Never
   * rejects.
   */
  async before(pairs: number, bytes: number, sync: boolean): Promise<void> {
    const most = bytes + pairs * PAIR_BYTES + BATCH_BYTES;
    this.#gathered += most;
    if (this.#end + most > this.#until && Math.max(this.#gathered, this.#perSync) <= MOST_PER_SYNC) {
      await this.#extend();
    }
    this.#end += most;
    if (!sync) return;
    this.#perSync = this.#gathered;
    this.#gathered = 0;
  }

  async close(): Promise<void> {
    this.#off = true;
    await this.#file?.close().catch(() => {});
    this.#file = undefined;
  }

  async #extend(): Promise<void> {
    if (this.#off) return;
    try {
      this.#file ??= await open(this.#path, "r+");
      // What lies behind the end of the file, zeros included, is nobody's.
      const { size } = await this.#file.stat();
      const { bytesWritten } = await this.#file.write(ZEROS, 0, this.#ahead, size);
      this.#end = Math.min(this.#end, size);
      this.#until = size + bytesWritten;
      this.#onWritten(bytesWritten);
    } catch {
      await this.close();
    }
  }
}
