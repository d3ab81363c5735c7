import { collectDefaultMetrics, Counter as PromCounter, Gauge as PromGauge, Registry } from "prom-client";
import type { Counter, CounterRow, Gauge, Histogram, Labels, Metrics } from "../core/metrics.ts";
import { RowHistogram } from "./row-histogram.ts";

const MISNAMED = ["nodejs_active_handles_total", "nodejs_active_requests_total", "nodejs_active_resources_total"];

/** `Metrics` on prom-client, with a registry of its own. */
export class PromMetrics implements Metrics {
  readonly #registry = new Registry();
  readonly #counters = new Map<string, Counter>();
  readonly #gauges = new Map<string, Gauge>();
  readonly #histograms = new Map<string, Histogram>();

  /** Adds the process's own numbers (memory, CPU, event loop lag, open files). Call it once. */
  collectProcess(): void {
    collectDefaultMetrics({ register: this.#registry });
    // They are gauges; `_total` is for counters, and checkers of metrics complain.
    for (const name of MISNAMED) this.#registry.removeSingleMetric(name);
  }

  counter(name: string, help: string, labelNames: readonly string[] = []): Counter {
    return once(this.#counters, name, () => {
      const rows = new Map<string, Row>();
      const registers = [this.#registry];
      // Rows are added up when somebody looks: to find the row by its labels costs more than what is counted.
      const collect = () => {
        for (const row of rows.values()) row.give(counter);
      };
      const counter = new PromCounter({ name, help, labelNames: [...labelNames], registers, collect });
      return {
        inc: (labels = {}, by = 1) => counter.inc(labels, by),
        row(labels) {
          return once(rows, JSON.stringify(labels), () => new Row(labels));
        },
      };
    });
  }

  gauge(name: string, help: string, labelNames: readonly string[] = []): Gauge {
    return once(this.#gauges, name, () => {
      const gauge = new PromGauge({ name, help, labelNames: [...labelNames], registers: [this.#registry] });
      return {
        set: (value, labels = {}) => gauge.set({ ...labels }, value),
        // Without labels it would come back as 0, which is a figure.
        reset: () => (labelNames.length === 0 ? gauge.remove({}) : gauge.reset()),
      };
    });
  }

  histogram(name: string, help: string, buckets: readonly number[], labelNames: readonly string[] = []): Histogram {
    return once(this.#histograms, name, () => {
      const registers = [this.#registry];
      const histogram = new RowHistogram({
        name,
        help,
        buckets: [...buckets],
        labelNames: [...labelNames],
        registers,
      });
      return {
        observe: (value, labels = {}) => histogram.row(labels).observe(value),
        row: (labels) => histogram.row(labels),
      };
    });
  }

  /** All numbers in Prometheus' text format. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }

  /** Every number there is, by name. */
  describe(): MetricDescription[] {
    return this.#registry
      .getMetricsAsArray()
      .map((metric) => ({
        name: metric.name,
        help: metric.help,
        type: String(metric.type),
        labels: "labelNames" in metric && Array.isArray(metric.labelNames) ? metric.labelNames.map(String) : [],
      }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  get contentType(): string {
    return this.#registry.contentType;
  }
}

export interface MetricDescription {
  readonly name: string;
  readonly help: string;
  /** counter, gauge or histogram. */
  readonly type: string;
  readonly labels: readonly string[];
}

class Row implements CounterRow {
  readonly #labels: Labels;
  #since = 0;

  constructor(labels: Labels) {
    this.#labels = labels;
  }

  inc(by = 1): void {
    this.#since += by;
  }

  /** What was counted since the last time; a 0 too, so that the first event is a step from there. */
  give(counter: PromCounter): void {
    counter.inc(this.#labels, this.#since);
    this.#since = 0;
  }
}

function once<T>(made: Map<string, T>, name: string, make: () => T): T {
  const before = made.get(name);
  if (before !== undefined) return before;
  const instrument = make();
  made.set(name, instrument);
  return instrument;
}
