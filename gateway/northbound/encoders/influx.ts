import { Buffer } from "node:buffer";
import type { Entry, MessageContent, SamplesContent, Source } from "../../core/record.ts";
import type { Value } from "../../core/sample.ts";
import { capturedMessage, payloadText } from "./captured.ts";
import type { EncodeContext, Encoder } from "./encoder.ts";
import { idOf, properties } from "./properties.ts";
import { goodValue, KeyNames, reasonOf, tagOf, worst } from "./readings.ts";

export interface InfluxOptions {
  /** Name of the measurement of samples; `{gateway}`, `{link}`, `{device}` and `{group}` are replaced. */
  readonly measurement: string;
  /** Tags of every line besides `gateway`, `link` and `device`. */
  readonly tags: Readonly<Record<string, string>>;
  readonly precision: "ns" | "us" | "ms" | "s";
  /** Which integers get `i` or `u`: those of 64 bits, which a float would not hold, or none. */
  readonly integers: "wide" | "none";
  /** What becomes of captured messages: a line with their text, or `raw` as they came. */
  readonly captured: "wrap" | "raw";
}

const ZEROS = { ns: "000000", us: "000", ms: "", s: "" } as const;
const RESERVED: ReadonlySet<string> = new Set(["_id", "_prev", "_chain", "_clock", "_historical", "_quality"]);
const INT64 = 2n ** 63n;

/**
 * InfluxDB line protocol, one line per record. Numbers are floats, so that a field never changes its type; integers of 64
 * bits have `i` or `u` and are exact. A tag without a good value is `<tag>_error`. While the clock is not set the line has no
 * time and the tag `clock=unsynced`.
 */
export function influxEncoder(options: InfluxOptions): Encoder {
  return {
    name: "influx",
    joins: "lines",
    encode(entry, context) {
      const { content } = entry;
      if (content.kind === "message" && options.captured === "raw") return [capturedMessage(entry, content, context)];
      const isSamples = content.kind === "samples";
      const quality = isSamples ? worst(content.samples) : undefined;
      const line = isSamples
        ? samplesLine(entry, content, context, options)
        : messageLine(entry, content, context, options);
      const { topics } = context;
      return [
        {
          topic: isSamples ? topics.record(content.source.topic, content.source) : topics.record(content.topic),
          payload: Buffer.from(line),
          qos: 1,
          retain: false,
          properties: context.envelope ? [] : properties(entry, context, quality),
        },
      ];
    },
  };
}

function samplesLine(
  entry: Entry,
  { source, samples }: SamplesContent,
  context: EncodeContext,
  options: InfluxOptions,
) {
  const { gatewayId: gateway } = context;
  const { link, device, group } = source;
  const measurement = options.measurement.replace(/\{(gateway|link|device|group)\}/g, (_, name: string) => {
    return { gateway, link, device, group }[name] ?? "";
  });
  const names = new KeyNames(samples, RESERVED);
  const fields = samples.map((sample) => {
    const value = goodValue(sample);
    if (value === undefined) return `${key(names.error(sample.tag))}=${text(reasonOf(sample))}`;
    return `${key(names.value(sample.tag))}=${fieldOf(value, typeIn(source, sample.tag), options)}`;
  });
  if (fields.length === 0) fields.push("samples=0");
  return line(entry, measurement, { gateway, link, device, ...options.tags }, fields, context, options);
}

function messageLine(entry: Entry, { topic, payload }: MessageContent, context: EncodeContext, options: InfluxOptions) {
  const held = payloadText(payload);
  const field = held.text === undefined ? `base64="${held.base64}"` : `text=${text(held.text)}`;
  const tags = { gateway: context.gatewayId, topic, ...options.tags };
  return line(entry, "message", tags, [field], context, options);
}

function line(
  entry: Entry,
  measurement: string,
  tags: Readonly<Record<string, string>>,
  fields: readonly string[],
  context: EncodeContext,
  options: InfluxOptions,
): string {
  const all = entry.clock === "unsynced" ? { ...tags, clock: "unsynced" } : tags;
  let head = name(measurement).replaceAll(/[, ]/g, "\\$&");
  for (const [tag, value] of Object.entries(all)) if (value !== "") head += `,${key(tag)}=${key(value)}`;
  const body = context.envelope ? [...fields, ...metaFields(entry, context)] : fields;
  const time = entry.clock === "unsynced" ? "" : ` ${timeOf(entry.wallMs, options.precision)}`;
  return `${head} ${body.join()}${time}`;
}

/** What proves completeness, where properties do not travel. */
function metaFields(entry: Entry, context: EncodeContext): string[] {
  const fields = [
    `_id=${text(idOf(entry, context.gatewayId))}`,
    `_prev=${entry.prev}i`,
    `_chain=${text(entry.chain)}`,
    `_clock="${entry.clock}"`,
  ];
  if (entry.content.kind === "samples") fields.push(`_quality="${worst(entry.content.samples)}"`);
  if (context.historical) fields.push("_historical=true");
  return fields;
}

function timeOf(wallMs: number, precision: InfluxOptions["precision"]): string {
  return precision === "s" ? String(Math.floor(wallMs / 1000)) : `${Math.round(wallMs)}${ZEROS[precision]}`;
}

function fieldOf(value: Value, type: string | undefined, { integers }: InfluxOptions): string {
  switch (typeof value) {
    case "boolean":
      return value ? "true" : "false";
    case "string":
      return text(value);
    case "number":
    case "bigint":
      return numberOf(value, type, integers);
    default:
      return `"${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64")}"`;
  }
}

function numberOf(value: number | bigint, type: string | undefined, integers: InfluxOptions["integers"]): string {
  if (integers === "none") return String(typeof value === "bigint" ? Number(value) : value);
  const whole = typeof value === "bigint" || Number.isSafeInteger(value);
  if (whole && type === "uint64") return `${value}u`;
  if (whole && type === "int64") return `${value}i`;
  if (typeof value === "number") return String(value);
  return value < INT64 && value >= -INT64 ? `${value}i` : `${value}u`;
}

function typeIn(source: Source, tag: string): string | undefined {
  return tagOf(source, tag)?.type;
}

/** A tag key, tag value or field key. */
function key(raw: string): string {
  return name(raw).replaceAll(/[,= ]/g, "\\$&");
}

/** Backslashes and line breaks cannot be said in names. */
function name(raw: string): string {
  return raw.replaceAll(/[\\\p{Cc}]|^#/gu, "_");
}

function text(value: string): string {
  return `"${value.replaceAll(/["\\]/g, "\\$&")}"`;
}
