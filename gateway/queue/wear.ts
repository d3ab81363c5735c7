import type { Counter, Gauge, Metrics } from "../core/metrics.ts";
import type { QueueWear } from "../core/queue.ts";
import { STREAMS } from "../core/record.ts";
import { Rate } from "./rate.ts";
import type { Row } from "./row.ts";
import type { Totals } from "./totals.ts";
import type { PerStream } from "./uplink-state.ts";

/** What a small fsync writes to the device on ext4 beside the data: journal, inode, the rest of the page (measured). */
const FSYNC_BYTES = 8_500;
const TAU_MS = 600_000;
/** Before this the writes of the start weigh too much. */
const FIRST_MS = 60_000;
const DAY_S = 86_400;

/** What the queue writes, and how long the card lasts at that. */
export class Wear {
  readonly #totals: Totals;
  readonly #rows: PerStream<Row>;
  readonly #endurance: number;
  readonly #device = new Rate(TAU_MS);
  readonly #metrics: ReturnType<typeof instruments>;
  #sinceMs: number | undefined;
  #bytes = 0;
  #fsyncs = 0;

  constructor(parts: { totals: Totals; rows: PerStream<Row>; endurance: number; metrics: Metrics }) {
    this.#totals = parts.totals;
    this.#rows = parts.rows;
    this.#endurance = parts.endurance;
    this.#metrics = instruments(parts.metrics);
    // Not known yet, and not 0.
    this.#metrics.life.reset?.();
  }

  /** As of now, monotonic milliseconds. */
  look(nowMs: number): QueueWear {
    const { bytesWritten, fsyncs } = this.#totals;
    this.#take(bytesWritten - this.#bytes, fsyncs - this.#fsyncs, nowMs);
    const records = STREAMS.reduce((sum, stream) => sum + this.#rows[stream].appended, 0);
    const wear = { records, bytesWritten, fsyncs, endurance: this.#endurance, ...this.#life(nowMs) };
    if (records === 0) return wear;
    const bytesPerRecord = bytesWritten / records;
    this.#metrics.perRecord.set(bytesPerRecord);
    return { ...wear, bytesPerRecord };
  }

  #take(bytes: number, fsyncs: number, nowMs: number): void {
    this.#sinceMs ??= nowMs;
    this.#bytes += bytes;
    this.#fsyncs += fsyncs;
    this.#device.add(bytes + fsyncs * FSYNC_BYTES, nowMs);
    if (bytes > 0) this.#metrics.written.inc({}, bytes);
    if (fsyncs > 0) this.#metrics.fsyncs.inc({}, fsyncs);
  }

  #life(nowMs: number): { deviceBytesPerDay: number; cardDays?: number } | undefined {
    if (nowMs - (this.#sinceMs ?? nowMs) < FIRST_MS) return undefined;
    const deviceBytesPerDay = this.#device.perSecond(nowMs) * DAY_S;
    this.#metrics.perDay.set(deviceBytesPerDay);
    if (deviceBytesPerDay < 1) return { deviceBytesPerDay };
    const cardDays = this.#endurance / deviceBytesPerDay;
    this.#metrics.life.set(cardDays * DAY_S);
    return { deviceBytesPerDay, cardDays };
  }
}

function instruments(
  metrics: Metrics,
): Record<"written" | "fsyncs", Counter> & Record<"perRecord" | "perDay" | "life", Gauge> {
  return {
    written: metrics.counter("millrace_queue_written_bytes_total", "Bytes handed to the file system"),
    fsyncs: metrics.counter("millrace_queue_fsyncs_total", "Times the queue made the disk keep what was written"),
    perRecord: metrics.gauge("millrace_queue_written_bytes_per_record", "Bytes handed to the file system per record"),
    perDay: metrics.gauge(
      "millrace_queue_device_bytes_per_day",
      "Estimate of what reaches the device in a day at the rate of the last ten minutes, with 8.5 kB per fsync",
    ),
    life: metrics.gauge(
      "millrace_queue_card_life_seconds",
      "Until queue.endurance was written at that rate, from a new card",
    ),
  };
}
