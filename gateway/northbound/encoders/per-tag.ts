import { Buffer } from "node:buffer";
import type { Entry, SamplesContent, StoredSample } from "../../core/record.ts";
import type { Outgoing } from "../../core/uplink.ts";
import { capturedMessage } from "./captured.ts";
import type { EncodeContext, Encoder } from "./encoder.ts";
import { quote, valueJson } from "./json.ts";
import { envelope, type PartOf, properties } from "./properties.ts";
import { reasonOf, tagOf } from "./readings.ts";

/**
 * One message per tag, for a unified namespace (ISA-95): on `{…}/{tag}`,
 * `{"value":21.4,"timestamp":…,"quality":"good","unit":"°C"}`; without a value `"value":null` and a `reason`; a stale one has
 * the last known value. All messages of a record carry its id, and `part` (`2/5`) tells them apart. Captured messages go byte
 * for byte.
 */
export const perTagEncoder: Encoder = {
  name: "per-tag",
  encode(entry, context) {
    const { content } = entry;
    if (content.kind === "message") return [capturedMessage(entry, content, context)];
    const of = content.samples.length;
    return content.samples.map((sample, i) => one(entry, content, sample, { number: i + 1, of }, context));
  },
};

function one(
  entry: Entry,
  { source }: SamplesContent,
  sample: StoredSample,
  part: PartOf,
  context: EncodeContext,
): Outgoing {
  const json = sample.quality === "bad" || sample.value === undefined ? undefined : valueJson(sample.value);
  // A good value that JSON has no word for is none.
  const quality = sample.quality === "good" && json === undefined ? "bad" : sample.quality;
  const unit = tagOf(source, sample.tag)?.unit;
  let text = context.envelope ? `{"_m":${envelope(entry, context, quality, part)},` : "{";
  text += `"value":${json ?? "null"},"timestamp":${Math.round(entry.wallMs + sample.offsetMs)},"quality":"${quality}"`;
  if (quality !== "good") text += `,"reason":${quote(reasonOf(sample))}`;
  if (unit !== undefined) text += `,"unit":${quote(unit)}`;
  return {
    topic: context.topics.record(source.topic, originOf(source, sample.tag)),
    payload: Buffer.from(`${text}}`),
    qos: 1,
    retain: false,
    properties: context.envelope ? [] : properties(entry, context, quality, part),
  };
}

/** Whose the message of one tag is. */
export function originOf({ link, device, group }: SamplesContent["source"], tag: string) {
  return { link, device, group, tag };
}
