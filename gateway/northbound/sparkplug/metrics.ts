import type { Quality, Value } from "../../core/sample.ts";
import { DataType, fits, freshType, widened } from "./datatype.ts";
import type { Metric } from "./payload.ts";

/** A metric that a birth declares. */
export interface MetricDefinition {
  readonly name: string;
  readonly datatype: DataType;
}

/** A value of a metric at a time, as a record has it. */
export interface MetricSample {
  readonly name: string;
  readonly quality: Quality;
  /** With `stale` the last known value. */
  readonly value?: Value | undefined;
  /** Unix milliseconds. */
  readonly timestamp: number;
  readonly isHistorical: boolean;
}

interface Known {
  readonly name: string;
  alias: number | undefined;
  datatype: DataType;
  last: { readonly value: Value | undefined; readonly quality: Quality; readonly timestamp: number } | undefined;
  /** The type the last birth announced. */
  announced: DataType | undefined;
  /** What the host was told last. */
  toldQuality: Quality;
}

/**
 * The metrics of an edge node's own or of one device: what a birth says of them, and how a sample is said after it. A
 * name, type or value that the birth did not announce makes a new birth necessary.
 */
export class MetricSet {
  readonly #known = new Map<string, Known>();
  readonly #byAlias = new Map<number, Known>();
  readonly #nextAlias: (() => number) | undefined;

  /** @param nextAlias gives numbers that are unique over the node and its devices; absent: names are sent always. */
  constructor(nextAlias: (() => number) | undefined) {
    this.#nextAlias = nextAlias;
  }

  get size(): number {
    return this.#known.size;
  }

  /** @returns whether it was new, or has another type now. */
  define({ name, datatype }: MetricDefinition): boolean {
    const known = this.#known.get(name);
    if (known?.datatype === datatype) return false;
    if (known === undefined) this.#add(name, datatype);
    else known.datatype = datatype;
    return true;
  }

  /** Takes note of a sample. @returns whether the birth has to be said anew before the sample can be. */
  learn(sample: MetricSample): boolean {
    const { name, timestamp, isHistorical } = sample;
    const { value, quality } = sayable(sample);
    const known = this.#known.get(name) ?? this.#add(name, value === undefined ? DataType.String : freshType(value));
    if (value !== undefined) known.datatype = widened(value, known.datatype);
    const { last } = known;
    const isNewer = last === undefined || (isHistorical ? timestamp > last.timestamp : timestamp >= last.timestamp);
    if (isNewer) known.last = { value: value ?? (quality === "stale" ? last?.value : undefined), quality, timestamp };
    return known.announced !== known.datatype;
  }

  /** All of them as a birth says them. What was never read is null. */
  birth(nowMs: number): Metric[] {
    return [...this.#known.values()].map((known) => {
      const { name, alias, datatype, last } = known;
      // What was read in another type cannot be said in this one.
      const value = last?.value !== undefined && fits(last.value, datatype) ? last.value : undefined;
      const quality = last?.quality ?? "bad";
      known.announced = datatype;
      known.toldQuality = value === undefined && quality === "good" ? "stale" : quality;
      return {
        name,
        ...(alias === undefined ? {} : { alias }),
        timestamp: last?.timestamp ?? nowMs,
        datatype,
        quality: known.toldQuality,
        ...(value === undefined ? { isNull: true } : { value }),
      };
    });
  }

  /** A sample as data: by alias where there is one, quality where it is not good or was not. */
  data(sample: MetricSample): Metric {
    const { name, timestamp, isHistorical } = sample;
    const { value, quality } = sayable(sample);
    const known = this.#known.get(name);
    if (known === undefined) throw new RangeError(`metric ${name} is in no birth`);
    const says = quality !== "good" || known.toldQuality !== "good";
    if (!isHistorical) known.toldQuality = quality;
    return {
      ...(known.alias === undefined ? { name } : { alias: known.alias }),
      timestamp,
      ...(isHistorical ? { isHistorical } : {}),
      ...(value === undefined ? { isNull: true } : { value, valueType: known.datatype }),
      ...(says ? { quality } : {}),
    };
  }

  /** Gives every metric another alias, for the next birth. */
  renumber(): void {
    if (this.#nextAlias === undefined) return;
    this.#byAlias.clear();
    for (const known of this.#known.values()) {
      known.alias = this.#nextAlias();
      this.#byAlias.set(known.alias, known);
    }
  }

  /** The name and type that a command means; undefined when there is no such metric. */
  find({ name, alias }: Pick<Metric, "name" | "alias">): MetricDefinition | undefined {
    return name === undefined ? this.#byAlias.get(alias ?? -1) : this.#known.get(name);
  }

  #add(name: string, datatype: DataType): Known {
    const alias = this.#nextAlias?.();
    const known: Known = { name, alias, datatype, last: undefined, announced: undefined, toldQuality: "bad" };
    this.#known.set(name, known);
    if (alias !== undefined) this.#byAlias.set(alias, known);
    return known;
  }
}

/** Without a value nothing is good, what is not finite is no value, and what is bad has none. */
function sayable({ value, quality }: MetricSample): Pick<MetricSample, "value" | "quality"> {
  const isNone = value === undefined || quality === "bad" || (typeof value === "number" && !Number.isFinite(value));
  if (!isNone) return { value, quality };
  return { quality: quality === "good" ? "bad" : quality };
}
