import { Buffer, isUtf8 } from "node:buffer";
import { isDerived } from "../../core/derived.ts";
import type { Tag } from "../../core/driver.ts";
import type { Plant } from "../../core/plant.ts";
import type { Entry, MessageContent, SamplesContent } from "../../core/record.ts";
import type { Quality, Value } from "../../core/sample.ts";
import { DataType, dataTypeOf } from "./datatype.ts";
import type { MetricDefinition, MetricSample } from "./metrics.ts";

/** Quotients, products and offsets make fractions of integers. */
const SCALING = ["scale", "offset", "scaleFactor"] as const;
/** Why a device has no value at all. */
const UNREACHABLE: ReadonlySet<string> = new Set(["timeout", "link down"]);
const MOST_FLOAT = 3.4028234663852886e38;
/** Bytes of a metric besides its name and value, and of a payload besides its metrics, at most. */
const METRIC_BYTES = 48;

/** What a birth declares of a tag. */
export function definitionOf(tag: Tag): MetricDefinition {
  const { name, type, shape } = tag;
  if (shape?.texts !== undefined) return { name, datatype: DataType.String };
  return { name, datatype: dataTypeOf(type, isDerived(tag) || isScaled(tag)) };
}

function isScaled({ shape, options }: Tag): boolean {
  if (shape?.scale !== undefined || shape?.offset !== undefined) return true;
  return (
    typeof options === "object" && options !== null && SCALING.some((key) => key in options && isSet(options, key))
  );
}

function isSet(options: object, key: string): boolean {
  return Object.entries(options).some(([name, value]) => name === key && value !== undefined);
}

/** Reads values so that those of `Float` metrics are the very number that the device holds. */
export class MetricReader {
  readonly #floats = new Map<string, ReadonlySet<string>>();
  readonly #plant: Plant | undefined;

  constructor(plant: Plant | undefined) {
    this.#plant = plant;
    for (const { name, tags } of plant?.devices ?? []) {
      const floats = tags.map(definitionOf).filter(({ datatype }) => datatype === DataType.Float);
      this.#floats.set(name, new Set(floats.map((one) => one.name)));
    }
  }

  ofRecord({ wallMs }: Entry, { source, samples }: SamplesContent, isHistorical: boolean): MetricSample[] {
    return samples.map(({ tag, quality, value, offsetMs }) =>
      this.#sample(source.device, tag, { quality, value, timestamp: Math.round(wallMs + offsetMs), isHistorical }),
    );
  }

  /** The newest of each tag that was read. */
  present(device: string): MetricSample[] {
    const tags = this.#plant?.devices.find(({ name }) => name === device)?.tags ?? [];
    return tags.flatMap(({ name }) => {
      const newest = this.#plant?.newest(device, name);
      if (newest === undefined) return [];
      const { quality, value } = newest.sample;
      return [
        this.#sample(device, name, { quality, value, timestamp: Math.round(newest.wallMs), isHistorical: false }),
      ];
    });
  }

  #sample(
    device: string,
    name: string,
    rest: { quality: Quality; value: Value | undefined; timestamp: number; isHistorical: boolean },
  ): MetricSample {
    const { value } = rest;
    // Its text is the shortest that names the number; the number is the nearest of the type.
    const isFloat = typeof value === "number" && Math.abs(value) <= MOST_FLOAT && this.#floats.get(device)?.has(name);
    return { name, ...rest, value: isFloat === true ? Math.fround(value) : value };
  }
}

/** A captured message as a metric of the node: a text where it is one, bytes otherwise. */
export function ofMessage({ wallMs }: Entry, { topic, payload }: MessageContent, isHistorical: boolean): MetricSample {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  const value = isUtf8(bytes) ? bytes.toString("utf8") : payload;
  return { name: topic, quality: "good", value, timestamp: Math.round(wallMs), isHistorical };
}

/** Whether a record says that the device does not answer: all its tags are bad, and for this reason. */
export function saysUnreachable({ source, samples }: SamplesContent): boolean {
  return (
    samples.length >= source.tags.length &&
    samples.every(({ quality, reason }) => quality === "bad" && UNREACHABLE.has(reason ?? ""))
  );
}

/**
 * Samples in groups whose data message has no more than so many bytes.
 * @throws RangeError when one alone has more.
 */
export function groupsWithin(samples: readonly MetricSample[], bytes: number): MetricSample[][] {
  const groups: MetricSample[][] = [];
  let size = 0;
  for (const sample of samples) {
    const own = METRIC_BYTES + Buffer.byteLength(sample.name) + sizeOf(sample.value);
    if (own > bytes) throw new RangeError(`${sample.name} has ${own} bytes, and the server takes ${bytes}`);
    const last = groups.at(-1);
    if (last === undefined || size + own > bytes) groups.push([sample]);
    else last.push(sample);
    size = last === undefined || size + own > bytes ? own : size + own;
  }
  return groups;
}

function sizeOf(value: Value | undefined): number {
  if (typeof value === "string") return Buffer.byteLength(value);
  return typeof value === "object" ? value.byteLength : 10;
}
