import { Buffer } from "node:buffer";
import type { Entry, SamplesContent } from "../../core/record.ts";
import type { Outgoing } from "../../core/uplink.ts";
import { capturedMessage } from "./captured.ts";
import type { EncodeContext, Encoder } from "./encoder.ts";
import { quote, valueJson } from "./json.ts";
import { envelope, properties } from "./properties.ts";
import { goodValue, KeyNames, reasonOf, worst } from "./readings.ts";

const RESERVED: ReadonlySet<string> = new Set(["ts", "_m"]);

/**
 * One flat JSON object per record: `{"ts":…,"temperature":21.4,"pressure_error":"timeout"}`. A tag named `ts` or `_m` is
 * `ts_`, `_m_`. Captured messages go byte for byte.
 */
export const flatEncoder: Encoder = {
  name: "flat",
  joins: "json",
  encode(entry, context) {
    const { content } = entry;
    return [content.kind === "samples" ? samples(entry, content, context) : capturedMessage(entry, content, context)];
  },
};

function samples(entry: Entry, content: SamplesContent, context: EncodeContext): Outgoing {
  const quality = worst(content.samples);
  const names = new KeyNames(content.samples, RESERVED);
  let text = context.envelope ? `{"_m":${envelope(entry, context, quality)},` : "{";
  text += `"ts":${Math.round(entry.wallMs)}`;
  for (const sample of content.samples) {
    const value = goodValue(sample);
    const json = value === undefined ? undefined : valueJson(value);
    text +=
      json === undefined
        ? `,${quote(names.error(sample.tag))}:${quote(reasonOf(sample))}`
        : `,${quote(names.value(sample.tag))}:${json}`;
  }
  return {
    topic: context.topics.record(content.source.topic, content.source),
    payload: Buffer.from(`${text}}`),
    qos: 1,
    retain: false,
    properties: context.envelope ? [] : properties(entry, context, quality),
  };
}
