import type { Gauge, Metrics } from "../core/metrics.ts";
import type { QueueStats } from "../core/queue.ts";
import { STREAMS } from "../core/record.ts";

/** What the queue does not measure by itself as it goes; asking it for its figures brings its own gauges up to date. */
export class QueueVitals {
  readonly #gauges: Readonly<Record<"used" | "segments" | "owed", Gauge>>;

  constructor(metrics: Metrics) {
    this.#gauges = {
      used: metrics.gauge(
        "millrace_queue_used_bytes",
        "Disk the queue uses, with what it has set aside to write into.",
      ),
      segments: metrics.gauge("millrace_queue_segments", "Segments of a stream on disk.", ["stream"]),
      owed: metrics.gauge("millrace_queue_owed_bytes", "Bytes of the records an uplink is owed.", ["uplink", "stream"]),
    };
  }

  look({ bytes, streams, uplinks }: QueueStats): void {
    const { used, segments, owed } = this.#gauges;
    used.set(bytes);
    owed.reset?.();
    for (const stream of STREAMS) {
      segments.set(streams[stream].segments, { stream });
      for (const uplink of uplinks) owed.set(uplink.streams[stream].bytes, { uplink: uplink.name, stream });
    }
  }
}
