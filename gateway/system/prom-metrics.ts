import {
  collectDefaultMetrics,
  Counter as PromCounter,
  Gauge as PromGauge,
  Histogram as PromHistogram,
  Registry,
} from "prom-client";
import type { Counter, Gauge, Histogram, Metrics } from "../core/metrics.ts";

/** `Metrics` on prom-client, with a registry of its own. */
export class PromMetrics implements Metrics {
  readonly #registry = new Registry();
  readonly #counters = new Map<string, Counter>();
  readonly #gauges = new Map<string, Gauge>();
  readonly #histograms = new Map<string, Histogram>();

  /** Adds the process's own numbers (memory, CPU, event loop lag, open files). Call it once. */
  collectProcess(): void {
    collectDefaultMetrics({ register: this.#registry });
  }

  counter(name: string, help: string, labelNames: readonly string[] = []): Counter {
    return once(this.#counters, name, () => {
      const counter = new PromCounter({ name, help, labelNames: [...labelNames], registers: [this.#registry] });
      return { inc: (labels = {}, by = 1) => counter.inc({ ...labels }, by) };
    });
  }

  gauge(name: string, help: string, labelNames: readonly string[] = []): Gauge {
    return once(this.#gauges, name, () => {
      const gauge = new PromGauge({ name, help, labelNames: [...labelNames], registers: [this.#registry] });
      return { set: (value, labels = {}) => gauge.set({ ...labels }, value) };
    });
  }

  histogram(name: string, help: string, buckets: readonly number[], labelNames: readonly string[] = []): Histogram {
    return once(this.#histograms, name, () => {
      const registers = [this.#registry];
      const histogram = new PromHistogram({
        name,
        help,
        buckets: [...buckets],
        labelNames: [...labelNames],
        registers,
      });
      return { observe: (value, labels = {}) => histogram.observe({ ...labels }, value) };
    });
  }

  /** All numbers in Prometheus' text format. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }

  get contentType(): string {
    return this.#registry.contentType;
  }
}

function once<T>(made: Map<string, T>, name: string, make: () => T): T {
  const before = made.get(name);
  if (before !== undefined) return before;
  const instrument = make();
  made.set(name, instrument);
  return instrument;
}
