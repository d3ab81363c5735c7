import { Buffer } from "node:buffer";
import type { Entry, SamplesContent } from "../../core/record.ts";
import type { Outgoing } from "../../core/uplink.ts";
import { capturedMessage } from "./captured.ts";
import type { EncodeContext, Encoder } from "./encoder.ts";
import { quote, valueJson } from "./json.ts";
import { envelope, properties } from "./properties.ts";
import { goodValue, type Reading, reasonOf, worst } from "./readings.ts";

/**
 * The default format: samples as `{"ts":…,"values":{…},"errors":{…}}`, one message per record; a captured message byte
 * for byte. With the envelope, `_m` comes first in the body, and a captured payload is put under `payload`, `text` or
 * `base64`, whichever holds it without loss.
 */
export const valuesEncoder: Encoder = {
  name: "values",
  joins: "json",
  encode(entry, context) {
    return [
      entry.content.kind === "samples"
        ? samples(entry, entry.content, context)
        : capturedMessage(entry, entry.content, context),
    ];
  },
};

function samples(entry: Entry, content: SamplesContent, context: EncodeContext): Outgoing {
  const quality = worst(content.samples);
  const rest = samplesBody(entry.wallMs, content.samples);
  const text = context.envelope ? `{"_m":${envelope(entry, context, quality)},${rest}` : `{${rest}`;
  return {
    topic: context.topics.record(content.source.topic, content.source),
    payload: Buffer.from(text),
    qos: 1,
    retain: false,
    properties: context.envelope ? [] : properties(entry, context, quality),
  };
}

/** The body without its opening brace, so that an envelope can stand first in it. */
export function samplesBody(wallMs: number, list: readonly Reading[]): string {
  let values = "";
  let errors = "";
  for (const sample of list) {
    const good = goodValue(sample);
    const value = good === undefined ? undefined : valueJson(good);
    if (value !== undefined) values += `${values === "" ? "" : ","}${quote(sample.tag)}:${value}`;
    else errors += `${errors === "" ? "" : ","}${quote(sample.tag)}:${quote(reasonOf(sample))}`;
  }
  const head = `"ts":${Math.round(wallMs)},"values":{${values}}`;
  return errors === "" ? `${head}}` : `${head},"errors":{${errors}}}`;
}
