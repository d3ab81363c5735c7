import { Histogram, type HistogramConfiguration } from "prom-client";
import type { HistogramRow, Labels } from "../core/metrics.ts";

type Exported = ReturnType<Histogram["get"]>;

/** A histogram whose rows are counted into directly: to find the row by its labels costs more than what is counted. */
export class RowHistogram extends Histogram {
  readonly #name: string;
  /** Without rows, for what is exported beside them. */
  readonly #empty: Histogram;
  readonly #bounds: readonly number[];
  readonly #rows = new Map<string, Row>();

  constructor(configuration: HistogramConfiguration<string>) {
    super(configuration);
    this.#name = configuration.name;
    this.#empty = new Histogram({ ...configuration, registers: [] });
    this.#bounds = configuration.buckets ?? [];
  }

  row(labels: Labels): HistogramRow {
    const key = JSON.stringify(labels);
    const known = this.#rows.get(key);
    if (known) return known;
    const row = new Row(labels, this.#bounds);
    this.#rows.set(key, row);
    return row;
  }

  /** As prom-client exports its own: cumulative buckets, sum and count of each row. */
  override async get() {
    const values = [...this.#rows.values()].flatMap((row) => row.values(this.#name));
    return { ...(await this.#empty.get()), values };
  }

  /** What the registry asks for in place of `get`. */
  getForPromString(): Exported {
    return this.get();
  }
}

class Row implements HistogramRow {
  readonly #labels: Labels;
  readonly #bounds: readonly number[];
  /** Of each bucket alone; the last one has no bound. */
  readonly #counts: number[];
  #sum = 0;
  #count = 0;

  constructor(labels: Labels, bounds: readonly number[]) {
    this.#labels = labels;
    this.#bounds = bounds;
    this.#counts = bounds.map(() => 0);
  }

  observe(value: number): void {
    this.#sum += value;
    this.#count++;
    const bounds = this.#bounds;
    for (let at = 0; at < bounds.length; at++) {
      if (value <= (bounds[at] ?? 0)) {
        this.#counts[at] = (this.#counts[at] ?? 0) + 1;
        return;
      }
    }
  }

  values(name: string) {
    let upTo = 0;
    const buckets = this.#bounds.map((le, at) => {
      upTo += this.#counts[at] ?? 0;
      return { metricName: `${name}_bucket`, labels: { le, ...this.#labels }, value: upTo };
    });
    return [
      ...buckets,
      { metricName: `${name}_bucket`, labels: { le: "+Inf", ...this.#labels }, value: this.#count },
      { metricName: `${name}_sum`, labels: this.#labels, value: this.#sum },
      { metricName: `${name}_count`, labels: this.#labels, value: this.#count },
    ];
  }
}
