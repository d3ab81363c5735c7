import type { LoadedConfig } from "../../config/types.ts";
import type { Tag } from "../../core/driver.ts";
import { formatDuration } from "../../core/options/units.ts";
import type { NewRecord, Source, StoredSample, StreamName } from "../../core/record.ts";
import { type GroupRate, groupRate, type LineLoad, lineRates } from "./rates.ts";
import type { Flow } from "./types.ts";
import { exampleValue } from "./values.ts";

/** What is given beside the configuration. */
export interface Given {
  /** Part of the readings at which a tag with a deadband has moved far enough, 0 to 1. */
  readonly change: number;
  /** Records a second in all, in place of what the configuration gives. */
  readonly rate?: number;
  /** Messages a second of local clients that are captured, and their payload bytes. */
  readonly captured: number;
  readonly capturedBytes: number;
}

export interface Incoming {
  readonly flows: readonly Flow[];
  readonly lines: readonly LineLoad[];
}

/** All that comes in, and what it asks of the lines. */
export function incoming(config: LoadedConfig, given: Given): Incoming {
  const lines: LineLoad[] = [];
  const flows: Flow[] = [];
  for (const link of config.links) {
    const { load, runs } = lineRates(link);
    lines.push(load);
    for (const [at, group] of link.groups.entries()) {
      const rate = groupRate(group, runs[at] ?? 0, given.change);
      const listens = group.requests.length === 0 && group.derived.length === 0;
      if (rate.recordsPerSecond > 0) flows.push(scanFlow(link.name, rate));
      else if (listens && given.rate !== undefined) flows.push(listenFlow(link.name, rate));
    }
  }
  flows.push(...captureFlows(config, given));
  return { lines, flows: given.rate === undefined ? flows : scaled(flows, given.rate) };
}

/** The same flows at another rate in all; where there is no rate to begin with, alike. */
function scaled(flows: readonly Flow[], rate: number): Flow[] {
  const all = flows.reduce((sum, { perSecond }) => sum + perSecond, 0);
  return flows.map((flow) => ({
    ...flow,
    perSecond: all === 0 ? rate / flows.length : (flow.perSecond * rate) / all,
  }));
}

function captureFlows({ capture }: LoadedConfig, { captured, capturedBytes, rate }: Given): Flow[] {
  if (captured === 0 && rate === undefined) return [];
  return capture.map(({ topics, stream }) => {
    const [filter = "#"] = topics;
    const topic = filter.replace(/\+/g, "station-1").replace(/#$/, "station-1/value");
    return {
      name: `captured ${topics.join(" ")}`,
      topic,
      stream,
      perSecond: captured / capture.length,
      values: 0,
      periodic: false,
      durable: true,
      record: (_values, n) => messageRecord(topic, capturedBytes, n),
    };
  });
}

/** A payload that looks like text of people's making, so that it can be compressed about as well. */
function messageRecord(topic: string, bytes: number, n: number): NewRecord {
  const text = `{"n":${n},"value":${(n * 7919) % 10_007},"state":"running","order":"A-${(n * 104_729) % 99_991}"}`;
  const payload = new TextEncoder().encode(text.repeat(Math.ceil(bytes / text.length)).slice(0, bytes));
  return { taken: takenAt(n), content: { kind: "message", topic, payload, qos: 1, retain: false } };
}

function scanFlow(link: string, rate: GroupRate): Flow {
  const { group, recordsPerSecond, values, periodic } = rate;
  const { device, stream, everyMs } = group;
  const source = sourceOf(link, rate);
  const offsets = offsetsOf(rate);
  const asked = group.tags.filter((tag) => offsets.has(tag));
  const tags = [...(group.requests.length === 0 ? group.tags : asked), ...group.derived];
  return {
    name: `${link}/${device.name} every ${formatDuration(everyMs)}`,
    link,
    topic: device.topic,
    stream,
    perSecond: recordsPerSecond,
    values,
    periodic,
    durable: false,
    record: (count, n) => ({
      taken: takenAt(n),
      content: { kind: "samples", source, samples: pick(tags, count, n).map((tag) => sampleOf(tag, offsets, n)) },
    }),
  };
}

/** What speaks unasked: a telegram has all tags, and only a measured rate says how often it comes. */
function listenFlow(link: string, rate: GroupRate): Flow {
  const { device, tags } = rate.group;
  const flow = scanFlow(link, { ...rate, values: tags.length, periodic: false });
  return { ...flow, name: `${link}/${device.name} unasked` };
}

/** As the queue is given it: `200ms-events` for the other stream. */
function sourceOf(link: string, { group }: GroupRate): Source {
  const { device, everyMs, stream, tags, derived } = group;
  return {
    link,
    device: device.name,
    group: groupName(everyMs, stream),
    topic: device.topic,
    tags: [...tags, ...derived].map(({ name, type, unit }) => ({
      name,
      type,
      ...(unit === undefined ? {} : { unit }),
    })),
  };
}

function groupName(everyMs: number, stream: StreamName): string {
  return stream === "telemetry" ? `${everyMs}ms` : `${everyMs}ms-${stream}`;
}

/** A record has the time of its last answer; what came with an earlier one has its distance from it. */
function offsetsOf({ group }: GroupRate): Map<Tag, number> {
  const offsets = new Map<Tag, number>();
  let laterMs = 0;
  for (const { tags, wireMs, busyMs = wireMs } of [...group.requests].reverse()) {
    for (const tag of tags) offsets.set(tag, -Math.round(laterMs));
    laterMs += busyMs;
  }
  return offsets;
}

/** Every other tag its turn. */
function pick(tags: readonly Tag[], count: number, n: number): Tag[] {
  if (count >= tags.length) return [...tags];
  return tags.filter((_, at) => (at + n * count) % tags.length < count);
}

function sampleOf(tag: Tag, offsets: ReadonlyMap<Tag, number>, n: number): StoredSample {
  return { tag: tag.name, quality: "good", value: exampleValue(tag, n), offsetMs: offsets.get(tag) ?? 0 };
}

const AT_MS = 1_732_300_000_123;
function takenAt(n: number): NewRecord["taken"] {
  return { wallMs: AT_MS + 1000 * n, monoMs: 86_400_000.125 + 1000 * n, clock: "synced" };
}
