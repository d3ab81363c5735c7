import type { HistogramRow } from "../core/metrics.ts";
import type { StreamName } from "../core/record.ts";

/** What happened since the start, for statistics. */
export class Totals {
  readonly #fsync: HistogramRow;
  readonly #onFsync: ((stream: StreamName, seconds: number) => void) | undefined;
  /** Bytes handed to the file system, and payload bytes in them. */
  bytesWritten = 0;
  bytesAppended = 0;
  /** Records that uplinks lost to the limits. */
  dropped = 0;
  quarantined = 0;
  fsyncs = 0;
  /** Per uplink, records that became gaps. */
  readonly lost = new Map<string, number>();

  constructor(
    fsync: HistogramRow = { observe() {} },
    onFsync: ((stream: StreamName, seconds: number) => void) | undefined = undefined,
  ) {
    this.#fsync = fsync;
    this.#onFsync = onFsync;
  }

  /** A durable write of records took so long. */
  synced(stream: StreamName, seconds: number): void {
    this.#fsync.observe(seconds);
    this.#onFsync?.(stream, seconds);
  }

  wrote(bytes: number, fsyncs: number): void {
    this.bytesWritten += bytes;
    this.fsyncs += fsyncs;
  }
}
