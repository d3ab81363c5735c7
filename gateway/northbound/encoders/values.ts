import { Buffer, isUtf8 } from "node:buffer";
import type { Entry, MessageContent, SamplesContent, StoredSample } from "../../core/record.ts";
import type { Quality } from "../../core/sample.ts";
import type { Outgoing } from "../../core/uplink.ts";
import type { EncodeContext, Encoder } from "./encoder.ts";
import { quote, valueJson } from "./json.ts";
import { envelope, properties } from "./properties.ts";

/**
 * The default format: samples as `{"ts":…,"values":{…},"errors":{…}}`, one message per record; a captured message byte
 * for byte. With the envelope, `_m` comes first in the body, and a captured payload is put under `payload`, `text` or
 * `base64`, whichever holds it without loss.
 */
export const valuesEncoder: Encoder = {
  name: "values",
  encode(entry, context) {
    return [
      entry.content.kind === "samples"
        ? samples(entry, entry.content, context)
        : message(entry, entry.content, context),
    ];
  },
};

/** A sample, stored or just taken. */
type Reading = Pick<StoredSample, "tag" | "quality" | "value" | "reason">;

function samples(entry: Entry, content: SamplesContent, context: EncodeContext): Outgoing {
  const quality = worst(content.samples);
  const rest = samplesBody(entry.wallMs, content.samples);
  const text = context.envelope ? `{"_m":${envelope(entry, context, quality)},${rest}` : `{${rest}`;
  return {
    topic: context.topics.record(content.source.topic),
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
    const value = sample.quality === "good" && sample.value !== undefined ? valueJson(sample.value) : undefined;
    if (value !== undefined) values += `${values === "" ? "" : ","}${quote(sample.tag)}:${value}`;
    else errors += `${errors === "" ? "" : ","}${quote(sample.tag)}:${quote(reasonOf(sample))}`;
  }
  const head = `"ts":${Math.round(wallMs)},"values":{${values}}`;
  return errors === "" ? `${head}}` : `${head},"errors":{${errors}}}`;
}

function reasonOf(sample: Reading): string {
  return sample.reason ?? (sample.quality === "good" ? "not a number" : sample.quality);
}

function worst(list: readonly StoredSample[]): Quality {
  let found: Quality = "good";
  for (const { quality } of list) {
    if (quality === "bad") return "bad";
    if (quality === "stale") found = "stale";
  }
  return found;
}

function message(entry: Entry, content: MessageContent, context: EncodeContext): Outgoing {
  return {
    topic: context.topics.record(content.topic),
    payload: context.envelope ? wrap(entry, content, context) : content.payload,
    qos: 1,
    retain: content.retain,
    properties: context.envelope ? [] : properties(entry, context, undefined),
    ...(content.contentType === undefined || context.envelope ? {} : { contentType: content.contentType }),
  };
}

function wrap(entry: Entry, content: MessageContent, context: EncodeContext): Uint8Array {
  const { payload } = content;
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  const head = `{"_m":${envelope(entry, context, undefined)},`;
  if (!isUtf8(bytes)) return Buffer.from(`${head}"base64":"${bytes.toString("base64")}"}`);
  const text = bytes.toString("utf8");
  // The text itself goes in, not what was parsed: numbers beyond 2^53 would not survive that.
  return Buffer.from(isJson(text) ? `${head}"payload":${text}}` : `${head}"text":${JSON.stringify(text)}}`);
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
