import type { Clock } from "../core/clock.ts";
import { type Counter, type HistogramRow, histogramRow, type Metrics } from "../core/metrics.ts";
import type { QueueStats, StreamStats, UplinkStats } from "../core/queue.ts";
import { type Gap, type GapReason, STREAMS } from "../core/record.ts";
import type { Batch } from "./batch.ts";
import type { Health } from "./health.ts";
import { Rate } from "./rate.ts";
import type { Room } from "./room.ts";
import type { Row } from "./row.ts";
import { timesOf } from "./segment-time.ts";
import type { Totals } from "./totals.ts";
import { type PerStream, perStream, type UplinkState } from "./uplink-state.ts";
import { Wear } from "./wear.ts";

const REFRESH_MS = 1000;
const REASONS: Readonly<Record<GapReason, true>> = {
  dropped: true,
  damaged: true,
  rejected: true,
  expired: true,
  "power-loss": true,
  retention: true,
  refused: true,
};

export interface InsightParts {
  readonly rows: PerStream<Row>;
  readonly uplinks: ReadonlyMap<string, UplinkState>;
  readonly room: Room;
  readonly totals: Totals;
  readonly health: Health;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly maxBytes: number;
  readonly endurance: number;
}

/** What the queue tells about itself. Gauges follow at most once a second. */
export class Insight {
  readonly #parts: InsightParts;
  readonly #appendedBytes = new Rate();
  readonly #appended = new Rate();
  readonly #settled = new Rate();
  readonly #settledOf = new Map<string, Rate>();
  readonly #wear: Wear;
  /** Uplinks with gauges: what is said of one that was forgotten must not stand for ever. */
  readonly #told = new Set<string>();
  readonly #metrics: ReturnType<typeof instruments>;
  #refreshedMs = Number.NEGATIVE_INFINITY;

  constructor(parts: InsightParts) {
    this.#parts = parts;
    this.#metrics = instruments(parts.metrics);
    this.#wear = new Wear(parts);
  }

  committed(row: Row, batch: Batch): void {
    const { monoMs } = this.#parts.clock.now();
    this.#parts.totals.bytesAppended += batch.bytes;
    this.#appendedBytes.add(batch.diskBytes, monoMs);
    this.#appended.add(batch.count, monoMs);
    this.#metrics.appended.inc({ stream: row.stream }, batch.count);
    if (monoMs - this.#refreshedMs >= REFRESH_MS) this.stats();
  }

  settled(uplink: string, records: number): void {
    const { monoMs } = this.#parts.clock.now();
    this.#settled.add(records, monoMs);
    const rate = this.#settledOf.get(uplink) ?? new Rate();
    this.#settledOf.set(uplink, rate);
    rate.add(records, monoMs);
    if (monoMs - this.#refreshedMs >= REFRESH_MS) this.stats();
  }

  stats(): QueueStats {
    const { rows, uplinks, room, totals, health, maxBytes, clock } = this.#parts;
    const { monoMs, wallMs } = clock.now();
    this.#refreshedMs = monoMs;
    room.recount();
    const all = [...uplinks.values()].map((uplink) => {
      const stats = statsOf(uplink, rows);
      const secondsToDrain = this.#drainOf(stats, monoMs);
      const drain = secondsToDrain === undefined ? {} : { secondsToDrain };
      return { ...stats, lost: totals.lost.get(uplink.name) ?? 0, configured: uplink.reader !== undefined, ...drain };
    });
    const toFull = this.#secondsToFull(monoMs);
    const toDrain = this.#secondsToDrain(all, monoMs);
    const stats = {
      streams: perStream((stream) => streamStats(rows[stream])),
      uplinks: all,
      bytes: room.usedBytes,
      maxBytes,
      bytesWritten: totals.bytesWritten,
      bytesAppended: totals.bytesAppended,
      ...(toFull === undefined ? {} : { secondsToFull: toFull }),
      ...(toDrain === undefined ? {} : { secondsToDrain: toDrain }),
      dropped: totals.dropped,
      quarantined: totals.quarantined,
      wear: this.#wear.look(monoMs),
      healthy: health.good,
    };
    this.#publish(stats, wallMs);
    return stats;
  }

  #secondsToFull(nowMs: number): number | undefined {
    const rate = this.#appendedBytes.perSecond(nowMs);
    if (rate < 1) return undefined;
    return Math.max(0, (this.#parts.maxBytes - this.#parts.room.usedBytes) / rate);
  }

  #secondsToDrain(uplinks: readonly UplinkStats[], nowMs: number): number | undefined {
    const depth = Math.max(0, ...uplinks.map(({ streams }) => streams.events.depth + streams.telemetry.depth));
    if (depth === 0) return 0;
    const rate = this.#settled.perSecond(nowMs) / Math.max(1, uplinks.length) - this.#appended.perSecond(nowMs);
    return rate > 0 ? depth / rate : undefined;
  }

  /** The first loss must be a step from 0: a row that begins with 1 is no increase to who watches. */
  #begin(uplink: string): void {
    this.#told.add(uplink);
    for (const stream of STREAMS)
      for (const reason of Object.keys(REASONS)) this.#metrics.lost.inc({ uplink, stream, reason }, 0);
  }

  #clear(uplink: string): void {
    const { depth, oldest, gaps, toDrain } = this.#metrics;
    for (const stream of STREAMS) for (const gauge of [depth, oldest]) gauge.set(0, { uplink, stream });
    for (const gauge of [gaps, toDrain]) gauge.set(0, { uplink });
    this.#told.delete(uplink);
  }

  #drainOf({ name, streams }: UplinkStats, nowMs: number): number | undefined {
    const depth = streams.events.depth + streams.telemetry.depth;
    if (depth === 0) return 0;
    const rate = (this.#settledOf.get(name)?.perSecond(nowMs) ?? 0) - this.#appended.perSecond(nowMs);
    return rate > 0 ? depth / rate : undefined;
  }

  #publish(stats: QueueStats, wallMs: number): void {
    const { depth, lane, oldest, bytes, written, healthy, maxBytes, toFull, toDrain, gaps, quarantined } =
      this.#metrics;
    for (const stream of STREAMS) bytes.set(stats.streams[stream].bytes, { stream });
    for (const uplink of stats.uplinks) {
      if (!this.#told.has(uplink.name)) this.#begin(uplink.name);
      gaps.set(uplink.gapsPending, { uplink: uplink.name });
      toDrain.set(uplink.secondsToDrain ?? Number.POSITIVE_INFINITY, { uplink: uplink.name });
      for (const stream of STREAMS) {
        const labels = { uplink: uplink.name, stream };
        const { depth: owed, oldestWallMs, backfill } = uplink.streams[stream];
        depth.set(owed, labels);
        if (backfill !== undefined) {
          lane.set(backfill, { ...labels, lane: "backfill" });
          lane.set(Math.max(0, owed - backfill), { ...labels, lane: "live" });
        }
        oldest.set(oldestWallMs === undefined ? 0 : Math.max(0, (wallMs - oldestWallMs) / 1000), labels);
      }
    }
    for (const name of this.#told) if (!this.#parts.uplinks.has(name)) this.#clear(name);
    maxBytes.set(stats.maxBytes);
    written.set(stats.bytesAppended === 0 ? 0 : stats.bytesWritten / stats.bytesAppended);
    healthy.set(stats.healthy ? 1 : 0);
    toFull.set(stats.secondsToFull ?? Number.POSITIVE_INFINITY);
    quarantined.set(stats.quarantined);
  }
}

/** Counts records that uplinks lost, by reason. */
export function gapCounter(
  metrics: Metrics,
  totals: Totals,
): (uplink: string, gap: Pick<Gap, "stream" | "reason" | "count">) => void {
  const lost = lostCounter(metrics);
  return (uplink, { stream, reason, count }) => {
    totals.lost.set(uplink, (totals.lost.get(uplink) ?? 0) + count);
    lost.inc({ uplink, stream, reason }, count);
  };
}

const FSYNC_SECONDS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5];

/** Times durable writes of records. */
export function fsyncHistogram(metrics: Metrics): HistogramRow {
  const help = "Time of a write of records until the disk had it";
  return histogramRow(metrics.histogram("millrace_queue_fsync_seconds", help, FSYNC_SECONDS), {});
}

function lostCounter(metrics: Metrics): Counter {
  return metrics.counter(
    "millrace_queue_lost_records_total",
    "Records an uplink was owed and is told as a gap; the greatest possible number where the content is unreadable",
    ["uplink", "stream", "reason"],
  );
}

function instruments(metrics: Metrics) {
  return {
    lost: lostCounter(metrics),
    appended: metrics.counter("millrace_queue_appended_total", "Records appended", ["stream"]),
    depth: metrics.gauge("millrace_queue_depth", "Records an uplink is owed", ["uplink", "stream"]),
    lane: metrics.gauge("millrace_queue_lane_depth", "Records an uplink is owed, by lane of live-first", [
      "uplink",
      "stream",
      "lane",
    ]),
    oldest: metrics.gauge("millrace_queue_oldest_age_seconds", "Age of the oldest record an uplink is owed", [
      "uplink",
      "stream",
    ]),
    bytes: metrics.gauge("millrace_queue_bytes", "Bytes of a stream on disk", ["stream"]),
    maxBytes: metrics.gauge("millrace_queue_max_bytes", "Disk the queue may use"),
    written: metrics.gauge("millrace_queue_write_ratio", "Bytes handed to the file system per byte of records"),
    toFull: metrics.gauge("millrace_queue_seconds_to_full", "Seconds until the queue is full at the present rate"),
    toDrain: metrics.gauge(
      "millrace_queue_seconds_to_drain",
      "Seconds until an uplink is owed nothing at the present rates; infinite while its backlog does not shrink",
      ["uplink"],
    ),
    gaps: metrics.gauge("millrace_queue_gaps_pending", "Gaps an uplink has yet to acknowledge", ["uplink"]),
    quarantined: metrics.gauge("millrace_queue_quarantined_segments", "Damaged segments set aside since the start"),
    healthy: metrics.gauge("millrace_queue_healthy", "0 while the disk refuses writes"),
  };
}

function streamStats({ segments, nextSeq, epoch, appended, timeOf }: Row): StreamStats {
  const first = segments.all.find((segment) => segment.tally.count > 0);
  const { tFrom: oldest } = first ? timesOf(first, timeOf) : {};
  const stats = { nextSeq, epoch, segments: segments.all.length, bytes: segments.diskBytes, appended };
  return oldest === undefined ? stats : { ...stats, oldestWallMs: oldest };
}

function statsOf(uplink: UplinkState, rows: PerStream<Row>): UplinkStats {
  return {
    name: uplink.name,
    chain: uplink.slot?.chain ?? "",
    streams: perStream((stream) => {
      const row = rows[stream];
      const cursor = uplink.cursors[stream];
      const { count, bytes } = cursor.depth();
      const lastTaken = row.linker.head(uplink.name);
      const backfill = cursor.backfillDepth();
      const lanes = backfill === undefined ? {} : { backfill };
      const stats = { depth: count, bytes, lastTaken, lastAcked: cursor.lastAcked(lastTaken), ...lanes };
      const first = row.segments.all.find((segment) => cursor.owes(segment));
      const { tFrom: oldest } = first ? timesOf(first, row.timeOf) : {};
      return oldest === undefined ? stats : { ...stats, oldestWallMs: oldest };
    }),
    gapsPending: uplink.gaps.length,
  };
}
