import { Buffer } from "node:buffer";
import type { Entry, MessageContent, SamplesContent } from "../../core/record.ts";
import type { Quality, Value } from "../../core/sample.ts";
import { capturedMessage, payloadMember, payloadText } from "./captured.ts";
import type { EncodeContext, Encoder } from "./encoder.ts";
import { quote, valueJson } from "./json.ts";
import { envelope, properties } from "./properties.ts";
import { goodValue, KeyNames, type Reading, reasonOf, worst } from "./readings.ts";

export interface ThingsboardOptions {
  /** `gateway`: ThingsBoard's gateway API, a device each; `device`: all of it as one device. */
  readonly format: "gateway" | "device";
  /** What becomes of captured messages: `wrap`ped as telemetry, or `raw` on their own topic. */
  readonly captured: "wrap" | "raw";
}

const TOPICS = { gateway: "v1/gateway/telemetry", device: "v1/devices/me/telemetry" } as const;
const RESERVED: ReadonlySet<string> = new Set();
/** ThingsBoard refuses integers beyond its `long`. */
const LONG = 2n ** 63n;

/**
 * Telemetry of ThingsBoard, on its own topics: `{"press-1":[{"ts":…,"values":{…}}]}`. While the clock is not set there is
 * no `ts`, so that ThingsBoard takes its own. A tag without a good value is `<tag>_error`.
 */
export function thingsboardEncoder({ format, captured }: ThingsboardOptions): Encoder {
  return {
    name: "thingsboard",
    ...(format === "device" ? { joins: "json" } : {}),
    encode(entry, context) {
      const { content } = entry;
      if (content.kind === "message" && captured === "raw") return [capturedMessage(entry, content, context)];
      const isSamples = content.kind === "samples";
      const quality = isSamples ? worst(content.samples) : undefined;
      const values = isSamples ? samplesMembers(content) : messageMembers(content, format);
      const element = elementOf(entry, values, context, quality);
      const device = isSamples ? content.source.device : content.topic;
      return [
        {
          topic: TOPICS[format],
          payload: Buffer.from(format === "gateway" ? `{${quote(device)}:[${element}]}` : element),
          qos: 1,
          retain: false,
          properties: context.envelope ? [] : properties(entry, context, quality),
        },
      ];
    },
  };
}

function elementOf(entry: Entry, values: string, context: EncodeContext, quality: Quality | undefined): string {
  const meta = context.envelope ? `"_m":${envelope(entry, context, quality)}` : "";
  // Without `ts` every key is taken for telemetry; `_m` is then a value of type JSON.
  if (entry.clock === "unsynced") return `{${[meta, values].filter((one) => one !== "").join()}}`;
  return `{${meta === "" ? "" : `${meta},`}"ts":${Math.round(entry.wallMs)},"values":{${values}}}`;
}

function samplesMembers({ samples }: SamplesContent): string {
  const names = new KeyNames(samples, RESERVED);
  return samples.map((sample) => member(sample, names)).join();
}

function member(sample: Reading, names: KeyNames): string {
  const value = goodValue(sample);
  const json = value === undefined ? undefined : longJson(value);
  if (json === undefined) return `${quote(names.error(sample.tag))}:${quote(reasonOf(sample))}`;
  return `${quote(names.value(sample.tag))}:${json}`;
}

function longJson(value: Value): string | undefined {
  return typeof value === "bigint" && value < LONG && value >= -LONG ? String(value) : valueJson(value);
}

/** A JSON object's members as they stand; anything else under `payload`, `text` or `base64`. */
function messageMembers({ payload, topic }: MessageContent, format: ThingsboardOptions["format"]): string {
  const inner = objectMembers(payloadText(payload).text) ?? payloadMember(payload);
  return format === "gateway" ? inner : [inner, `"topic":${quote(topic)}`].filter((one) => one !== "").join();
}

function objectMembers(text: string | undefined): string | undefined {
  const trimmed = text?.trim();
  if (trimmed === undefined || !trimmed.startsWith("{")) return undefined;
  try {
    JSON.parse(trimmed);
    return trimmed.slice(1, -1).trim();
  } catch {
    return undefined;
  }
}
