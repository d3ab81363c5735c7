import { statfs } from "node:fs/promises";
import { arch } from "node:os";
import type { Clock } from "../core/clock.ts";
import type { Gauge, Metrics } from "../core/metrics.ts";
import type { QueueStats } from "../core/queue.ts";
import type { Health } from "../http/server.ts";
import type { ForwarderStatus } from "../northbound/forwarder.ts";
import type { LinkStatus } from "../southbound/status.ts";
import { BrokerVitals, type SomeBrokerStatus } from "./broker.ts";
import { LineVitals } from "./lines.ts";
import { QueueVitals } from "./queue.ts";
import { UplinkVitals } from "./uplinks.ts";

export interface VitalsParts {
  readonly gatewayId: string;
  readonly version: string;
  readonly dataDir: string;
  readonly clock: Clock;
  readonly metrics: Metrics;
  /** Prometheus' text format 0.0.4 of all numbers. */
  readonly metricsText: () => Promise<string>;
  readonly links: () => readonly LinkStatus[];
  readonly uplinks: () => readonly ForwarderStatus[];
  readonly queue: () => QueueStats;
  readonly broker: () => SomeBrokerStatus;
  /** Tags of a device without a good value. */
  readonly badTags: (device: string) => number;
  readonly health: () => Health;
  readonly ready: () => Health;
}

/**
 * Numbers that are states and not events. They are read when somebody looks, so that they cost nothing while nobody does,
 * and a row whose link or uplink is gone does not stand for ever.
 */
export class Vitals {
  readonly #parts: VitalsParts;
  readonly #gauges: Readonly<Record<"uptime" | "healthy" | "ready" | "time" | "source" | "free" | "loaded", Gauge>>;
  readonly #lines: LineVitals;
  readonly #queue: QueueVitals;
  readonly #uplinks: UplinkVitals;
  readonly #broker: BrokerVitals;
  readonly #beganMs: number;

  constructor(parts: VitalsParts) {
    const { metrics, clock, gatewayId, version } = parts;
    this.#parts = parts;
    this.#lines = new LineVitals(metrics);
    this.#queue = new QueueVitals(metrics);
    this.#uplinks = new UplinkVitals(metrics);
    this.#broker = new BrokerVitals(metrics);
    const now = clock.now();
    this.#beganMs = now.monoMs;
    metrics
      .gauge("millrace_build_info", "1; what runs, in the labels.", ["gateway", "version", "arch"])
      .set(1, { gateway: gatewayId, version, arch: arch() });
    this.#gauges = {
      uptime: metrics.gauge(
        "millrace_uptime_seconds",
        "Since the start of the gateway; steps of the clock do not count.",
      ),
      healthy: metrics.gauge("millrace_healthy", "1 while /healthz says so."),
      ready: metrics.gauge("millrace_ready", "1 while /readyz says so: every part has started."),
      time: metrics.gauge(
        "millrace_clock_time_seconds",
        "The gateway's wall clock, Unix seconds; less the time of the scrape it is how far off the clock is.",
      ),
      source: metrics.gauge(
        "millrace_clock_source_info",
        "1 for what vouches for the wall clock; none while it is not set.",
        ["source"],
      ),
      loaded: metrics.gauge(
        "millrace_config_loaded_timestamp_seconds",
        "When the configuration that is in force was loaded, Unix seconds of the gateway's own clock.",
      ),
      free: metrics.gauge("millrace_disk_free_bytes", "Free on the file system of the data folder."),
    };
    this.loaded();
  }

  /** Another configuration is in force from now on. */
  loaded(): void {
    this.#gauges.loaded.set(this.#parts.clock.now().wallMs / 1000);
  }

  /** All numbers as of now, in Prometheus' text format. @throws what the registry throws. */
  async text(): Promise<string> {
    await this.look();
    return await this.#parts.metricsText();
  }

  /** Brings every gauge of state up to date. Never rejects. */
  async look(): Promise<void> {
    const { clock, links, uplinks, queue, broker, badTags, health, ready } = this.#parts;
    const { uptime, healthy, time, source } = this.#gauges;
    const now = clock.now();
    uptime.set((now.monoMs - this.#beganMs) / 1000);
    healthy.set(health().ok ? 1 : 0);
    this.#gauges.ready.set(ready().ok ? 1 : 0);
    time.set(now.wallMs / 1000);
    source.reset?.();
    if (now.clock === "synced") source.set(1, { source: clock.source?.() ?? "plausible" });
    this.#lines.look(links(), now.wallMs, badTags);
    this.#queue.look(queue());
    this.#uplinks.look(uplinks());
    this.#broker.look(broker());
    await this.#disk();
  }

  async #disk(): Promise<void> {
    try {
      const { bavail, bsize } = await statfs(this.#parts.dataDir);
      this.#gauges.free.set(bavail * bsize);
    } catch {
      // No number is better than an old one.
      this.#gauges.free.reset?.();
    }
  }
}
