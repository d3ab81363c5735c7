import type { Clock } from "../core/clock.ts";
import type { Logger } from "../core/log.ts";
import type { Metrics } from "../core/metrics.ts";
import type { TelemetryOptions } from "../core/options/telemetry.ts";
import { OtlpExporter } from "./exporter.ts";
import type { Origin } from "./span.ts";
import { Tracer } from "./tracer.ts";

/** Traces as the configuration asks for them; nothing, and no cost, where it does not. */
export class Tracing {
  readonly tracer: Tracer | undefined;
  readonly #exporter: OtlpExporter | undefined;

  constructor(parts: {
    readonly options: TelemetryOptions;
    readonly syncAlways: boolean;
    readonly origin: Origin;
    readonly clock: Clock;
    readonly log: Logger;
    readonly metrics: Metrics;
  }) {
    const { otlp } = parts.options;
    if (!otlp) return;
    const exporter = new OtlpExporter({ ...parts, endpoint: otlp.endpoint });
    this.#exporter = exporter;
    this.tracer = new Tracer({ ...parts, sample: otlp.sample, add: (span) => exporter.add(span) });
  }

  start(): void {
    this.#exporter?.start();
  }

  /** Idempotent, never rejects. */
  async stop(): Promise<void> {
    await this.#exporter?.stop();
  }
}
