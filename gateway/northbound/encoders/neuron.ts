import { Buffer } from "node:buffer";
import type { Entry, SamplesContent } from "../../core/record.ts";
import type { Value } from "../../core/sample.ts";
import type { Outgoing } from "../../core/uplink.ts";
import { capturedMessage } from "./captured.ts";
import type { EncodeContext, Encoder } from "./encoder.ts";
import { quote, valueJson } from "./json.ts";
import { envelope, properties } from "./properties.ts";
import { goodValue, type Reading, reasonOf, worst } from "./readings.ts";

export interface NeuronOptions {
  readonly format: "values" | "tags";
}

/** Neuron's own codes: read failed, not connected, value expired. */
const READ_FAILURE = 3000;
const NOT_CONNECTED = 3002;
const VALUE_EXPIRED = 3008;

/**
 * What EMQX Neuron publishes, for consumers made for it: `node` is the device, `group` the scan group, errors are Neuron's
 * numbers, integers are JSON numbers whatever their size. Captured messages go byte for byte.
 */
export function neuronEncoder({ format }: NeuronOptions): Encoder {
  const bodyOf = format === "values" ? valuesBody : tagsBody;
  return {
    name: "neuron",
    joins: "json",
    encode(entry, context) {
      const { content } = entry;
      if (content.kind === "message") return [capturedMessage(entry, content, context)];
      return [samples(entry, content, context, bodyOf(content.samples))];
    },
  };
}

function samples(entry: Entry, { source, samples: list }: SamplesContent, context: EncodeContext, body: string) {
  const quality = worst(list);
  const head = context.envelope ? `{"_m":${envelope(entry, context, quality)},` : "{";
  const text = `${head}"timestamp":${Math.round(entry.wallMs)},"node":${quote(source.device)},"group":${quote(source.group)}`;
  const message: Outgoing = {
    topic: context.topics.record(source.topic, source),
    payload: Buffer.from(`${text},${body}}`),
    qos: 1,
    retain: false,
    properties: context.envelope ? [] : properties(entry, context, quality),
  };
  return message;
}

function valuesBody(list: readonly Reading[]): string {
  const values: string[] = [];
  const errors: string[] = [];
  for (const sample of list) {
    const json = numberJson(goodValue(sample));
    if (json === undefined) errors.push(`${quote(sample.tag)}:${codeOf(sample)}`);
    else values.push(`${quote(sample.tag)}:${json}`);
  }
  return `"values":{${values.join()}},"errors":{${errors.join()}},"metas":{}`;
}

function tagsBody(list: readonly Reading[]): string {
  const tags = list.map((sample) => {
    const json = numberJson(goodValue(sample));
    return `{"name":${quote(sample.tag)},${json === undefined ? `"error":${codeOf(sample)}` : `"value":${json}`}}`;
  });
  return `"tags":[${tags.join()}]`;
}

/** As `valueJson`, but wide integers as they are. */
function numberJson(value: Value | undefined): string | undefined {
  if (typeof value === "bigint") return String(value);
  return value === undefined ? undefined : valueJson(value);
}

function codeOf(sample: Reading): number {
  if (sample.quality === "stale") return VALUE_EXPIRED;
  return /timeout|not connected|no connection/.test(reasonOf(sample)) ? NOT_CONNECTED : READ_FAILURE;
}
