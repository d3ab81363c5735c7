import type { Counter, Gauge, Histogram, Metrics } from "../core/metrics.ts";

const ACK_SECONDS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30];

/** What a forwarder counts. All carry the label `uplink`. */
export interface Instruments {
  /** By `stream` and `result`: acked, rejected. */
  readonly records: Counter;
  readonly retries: Counter;
  readonly inFlight: Gauge;
  /** From sending to acknowledgement. */
  readonly ack: Histogram;
  /** Only with a backfill lane. */
  readonly backfillRate: Gauge;
  readonly backfillWindow: Gauge;
  readonly connected: Gauge;
  /** By `result`: connected, failed, refused. */
  readonly connects: Counter;
}

export function instruments(metrics: Metrics): Instruments {
  return {
    records: metrics.counter("millrace_uplink_records_total", "Records with a final verdict.", [
      "uplink",
      "stream",
      "result",
    ]),
    retries: metrics.counter("millrace_uplink_retries_total", "Messages the far side refused for the moment.", [
      "uplink",
    ]),
    inFlight: metrics.gauge("millrace_uplink_in_flight", "Messages sent and not yet settled.", ["uplink"]),
    ack: metrics.histogram(
      "millrace_uplink_ack_seconds",
      "Time from sending a message to its acknowledgement, of one message at a time.",
      ACK_SECONDS,
      ["uplink"],
    ),
    backfillRate: metrics.gauge("millrace_uplink_backfill_bytes_per_second", "Backfill acknowledged, of late.", [
      "uplink",
    ]),
    backfillWindow: metrics.gauge(
      "millrace_uplink_backfill_window_bytes",
      "Bytes in flight at which backfill waits for live data and the link.",
      ["uplink"],
    ),
    connected: metrics.gauge("millrace_uplink_connected", "1 while there is a connection.", ["uplink"]),
    connects: metrics.counter("millrace_uplink_connects_total", "Attempts to connect.", ["uplink", "result"]),
  };
}
