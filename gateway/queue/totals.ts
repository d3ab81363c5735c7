import type { HistogramRow } from "../core/metrics.ts";

/** What happened since the start, for statistics. */
export class Totals {
  /** How long durable writes of records took, in seconds. */
  readonly fsync: HistogramRow;
  /** Bytes handed to the file system, and payload bytes in them. */
  bytesWritten = 0;
  bytesAppended = 0;
  /** Records that uplinks lost to the limits. */
  dropped = 0;
  quarantined = 0;
  fsyncs = 0;
  /** Per uplink, records that became gaps. */
  readonly lost = new Map<string, number>();

  constructor(fsync: HistogramRow = { observe() {} }) {
    this.fsync = fsync;
  }

  wrote(bytes: number, fsyncs: number): void {
    this.bytesWritten += bytes;
    this.fsyncs += fsyncs;
  }
}
