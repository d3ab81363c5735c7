import { Buffer } from "node:buffer";
import { Liquid, type Template } from "liquidjs";
import { messageOf } from "../../core/errors.ts";
import type { Content, Entry, MessageContent, SamplesContent } from "../../core/record.ts";
import type { Value } from "../../core/sample.ts";
import { capturedMessage, payloadText } from "./captured.ts";
import type { EncodeContext, Encoder } from "./encoder.ts";
import { valueJson } from "./json.ts";
import { idOf, properties } from "./properties.ts";
import { goodValue, reasonOf, tagOf, worst } from "./readings.ts";

export interface TemplateOptions {
  /** A Liquid template. */
  readonly body: string;
  readonly contentType?: string | undefined;
  /** What becomes of captured messages: `raw` as they came, or through the template too. */
  readonly captured: "raw" | "template";
}

/** A template is a user's: it must not stop a gateway. Milliseconds, characters, and what it may hold in memory. */
const RENDER_MS = 1000;
const MOST_TEMPLATE = 65_536;
const MOST_MEMORY = 16_000_000;
/** Tags that read files or count from one rendering to the next. */
const NOT_HERE = ["include", "render", "layout", "block", "increment", "decrement", "cycle"];

/**
 * Bodies from a Liquid template, for what no other format fits. It sees `gateway`, `id`, `prev`, `chain`, `stream`, `seq`, `ts`
 * (milliseconds), `time` (ISO 8601), `clock`, `historical`, `quality`, `topic`, and of samples `link`, `device`, `group`,
 * `values`, `errors` and `samples` (`tag`, `value`, `quality`, `reason`, `type`, `unit`, `ts`), of a captured message `message`
 * (`text` or `base64`, `contentType`). `| json` writes any of them as JSON.
 * @throws RangeError when the template is wrong, naming line and column of it.
 */
export function templateEncoder({ body, contentType, captured }: TemplateOptions): Encoder {
  const engine = engineOf();
  const template = parsed(engine, body);
  return {
    name: "template",
    encode(entry, context) {
      const { content } = entry;
      if (content.kind === "message" && captured === "raw") return [capturedMessage(entry, content, context)];
      const { topics } = context;
      const quality = content.kind === "samples" ? worst(content.samples) : undefined;
      return [
        {
          topic:
            content.kind === "samples"
              ? topics.record(content.source.topic, content.source)
              : topics.record(content.topic),
          payload: Buffer.from(rendered(engine, template, scopeOf(entry, context))),
          qos: 1,
          retain: content.kind === "message" && content.retain,
          properties: context.envelope ? [] : properties(entry, context, quality),
          ...(contentType === undefined ? {} : { contentType }),
        },
      ];
    },
  };
}

/** What is wrong with a template; undefined when it can be parsed and rendered for a record that was made up. */
export function templateBodyFault(body: string): string | undefined {
  try {
    const engine = engineOf();
    const template = parsed(engine, body);
    rendered(engine, template, TRIAL);
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

function engineOf(): Liquid {
  const engine = new Liquid({
    templates: {},
    strictFilters: true,
    ownPropertyOnly: true,
    parseLimit: MOST_TEMPLATE,
    renderLimit: RENDER_MS,
    memoryLimit: MOST_MEMORY,
  });
  for (const tag of NOT_HERE) delete engine.tags[tag];
  engine.registerFilter("json", (value: unknown) => jsonOf(value));
  return engine;
}

function parsed(engine: Liquid, body: string): Template[] {
  try {
    return engine.parse(body);
  } catch (error) {
    throw new RangeError(oneLine(error), { cause: error });
  }
}

function rendered(engine: Liquid, template: Template[], scope: object): string {
  try {
    const text: unknown = engine.renderSync(template, scope);
    return String(text);
  } catch (error) {
    throw new RangeError(oneLine(error), { cause: error });
  }
}

/** Liquid's messages name line and column, and say `file:` of templates without one. */
function oneLine(error: unknown): string {
  return messageOf(error).split("\n")[0] ?? "";
}

function scopeOf(entry: Entry, context: EncodeContext): Readonly<Record<string, unknown>> {
  const { stream, seq, prev, chain, clock, wallMs, content } = entry;
  const ts = Math.round(wallMs);
  return {
    gateway: context.gatewayId,
    id: idOf(entry, context.gatewayId),
    stream,
    seq,
    prev,
    chain,
    ts,
    time: new Date(ts).toISOString(),
    clock,
    historical: context.historical,
    ...contentScope(content, wallMs),
  };
}

function contentScope(content: Content, wallMs: number): Readonly<Record<string, unknown>> {
  return content.kind === "samples" ? samplesScope(content, wallMs) : messageScope(content);
}

function samplesScope({ source, samples: list }: SamplesContent, wallMs: number): Readonly<Record<string, unknown>> {
  const { link, device, group, topic } = source;
  const values = new Map<string, Plain>();
  const errors = new Map<string, string>();
  const samples = list.map((sample) => {
    const good = goodValue(sample);
    if (good === undefined) errors.set(sample.tag, reasonOf(sample));
    else values.set(sample.tag, plain(good));
    const { type, unit } = tagOf(source, sample.tag) ?? {};
    return {
      tag: sample.tag,
      value: good === undefined ? null : plain(good),
      quality: sample.quality,
      reason: good === undefined ? reasonOf(sample) : null,
      type,
      unit,
      ts: Math.round(wallMs + sample.offsetMs),
    };
  });
  return {
    quality: worst(list),
    link,
    device,
    group,
    topic,
    samples,
    values: Object.fromEntries(values),
    errors: Object.fromEntries(errors),
  };
}

function messageScope({ topic, payload, contentType }: MessageContent): Readonly<Record<string, unknown>> {
  return { topic, samples: [], values: {}, errors: {}, message: { ...payloadText(payload), contentType } };
}

type Plain = boolean | number | bigint | string;

/** Bytes as base64; everything else is itself. */
function plain(value: Value): Plain {
  if (typeof value !== "object") return value;
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64");
}

function jsonOf(value: unknown): string {
  if (typeof value === "bigint" || typeof value === "number") return valueJson(value) ?? "null";
  if (Array.isArray(value)) return `[${value.map(jsonOf).join()}]`;
  if (typeof value === "object" && value !== null) {
    const members = Object.entries(value).filter(([, member]) => member !== undefined);
    return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${jsonOf(member)}`).join()}}`;
  }
  return JSON.stringify(value) ?? "null";
}

const TRIAL: Readonly<Record<string, unknown>> = {
  gateway: "gateway",
  id: "gateway/telemetry/00000001/2",
  stream: "telemetry",
  seq: 2,
  prev: 1,
  chain: "1",
  ts: 1_700_000_000_000,
  time: "2023-11-14T22:13:20.000Z",
  clock: "synced",
  historical: false,
  quality: "good",
  link: "link",
  device: "device",
  group: "1000ms",
  topic: "gateway/device",
  samples: [{ tag: "tag", value: 1, quality: "good", reason: null, type: "float32", unit: "", ts: 1_700_000_000_000 }],
  values: { tag: 1 },
  errors: {},
};
