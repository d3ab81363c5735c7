/**
 * Where numbers go. Names follow Prometheus: prefix `millrace_`, base units, `_total` for counters. Registering a
 * name twice returns the same instrument, so that a part may be stopped and made again.
 */
export type Labels = Readonly<Record<string, string>>;

/** One row of a counter, for what is counted by the thousand a second. */
export interface CounterRow {
  inc(by?: number): void;
}
export interface HistogramRow {
  observe(value: number): void;
}

export interface Counter {
  inc(labels?: Labels, by?: number): void;
  /** The row with these labels; it stays for good. */
  row?(labels: Labels): CounterRow;
}
export interface Gauge {
  set(value: number, labels?: Labels): void;
  /** Forgets all rows: for what is set anew whenever somebody looks. */
  reset?(): void;
}
export interface Histogram {
  observe(value: number, labels?: Labels): void;
  /** The row with these labels; it stays for good. */
  row?(labels: Labels): HistogramRow;
}

export interface Metrics {
  counter(name: string, help: string, labelNames?: readonly string[]): Counter;
  gauge(name: string, help: string, labelNames?: readonly string[]): Gauge;
  histogram(name: string, help: string, buckets: readonly number[], labelNames?: readonly string[]): Histogram;
}

export function counterRow(counter: Counter, labels: Labels): CounterRow {
  return counter.row?.(labels) ?? { inc: (by) => counter.inc(labels, by) };
}

export function histogramRow(histogram: Histogram, labels: Labels): HistogramRow {
  return histogram.row?.(labels) ?? { observe: (value) => histogram.observe(value, labels) };
}

export const noMetrics: Metrics = {
  counter: () => ({ inc() {} }),
  gauge: () => ({ set() {} }),
  histogram: () => ({ observe() {} }),
};
