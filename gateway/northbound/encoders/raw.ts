import { Buffer } from "node:buffer";
import type { Entry, SamplesContent, StoredSample } from "../../core/record.ts";
import type { Value } from "../../core/sample.ts";
import type { Outgoing } from "../../core/uplink.ts";
import type { EncodeContext, Encoder } from "./encoder.ts";
import { originOf } from "./per-tag.ts";
import { type PartOf, properties } from "./properties.ts";
import { goodValue, reasonOf } from "./readings.ts";

/**
 * Payloads and nothing else: a captured message byte for byte, also where properties do not travel; of samples one message
 * per tag on `{…}/{tag}` with the value as text (bytes as they are), empty where there is no good value. What proves
 * completeness is in the properties; over MQTT 3.1.1 there is none.
 */
export const rawEncoder: Encoder = {
  name: "raw",
  encode(entry, context) {
    const { content } = entry;
    if (content.kind === "samples") {
      const of = content.samples.length;
      return content.samples.map((sample, i) => one(entry, content, sample, { number: i + 1, of }, context));
    }
    return [
      {
        topic: context.topics.record(content.topic),
        payload: content.payload,
        qos: 1,
        retain: content.retain,
        properties: context.envelope ? [] : properties(entry, context, undefined),
        ...(content.contentType === undefined ? {} : { contentType: content.contentType }),
      },
    ];
  },
};

function one(
  entry: Entry,
  { source }: SamplesContent,
  sample: StoredSample,
  part: PartOf,
  context: EncodeContext,
): Outgoing {
  const value = goodValue(sample);
  const quality = sample.quality === "good" && value === undefined ? "bad" : sample.quality;
  const pairs = context.envelope ? [] : properties(entry, context, quality, part);
  return {
    topic: context.topics.record(source.topic, originOf(source, sample.tag)),
    payload: value === undefined ? new Uint8Array() : bytesOf(value),
    qos: 1,
    retain: false,
    properties: context.envelope || value !== undefined ? pairs : [...pairs, ["reason", reasonOf(sample)]],
  };
}

function bytesOf(value: Value): Uint8Array {
  return typeof value === "object" ? value : Buffer.from(String(value));
}
