import { join } from "node:path";
import { env } from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, expect, it } from "vitest";
import { noMetrics } from "../../gateway/core/metrics.ts";
import type { SamplesContent } from "../../gateway/core/record.ts";
import { selectorOf } from "../../gateway/core/selector.ts";
import { valuesEncoder } from "../../gateway/northbound/encoders/values.ts";
import { Forwarder } from "../../gateway/northbound/forwarder.ts";
import { mqttModule } from "../../gateway/northbound/mqtt/module.ts";
import type { MaxRate } from "../../gateway/northbound/options.ts";
import { formedTopics, limitedTopics } from "../../gateway/northbound/topic-form.ts";
import { topicMapper } from "../../gateway/northbound/topics.ts";
import { context, recordingLogger } from "../northbound/mqtt/harness.ts";
import { levelQueue, testClock } from "../queue/support.ts";
import { CLOUDS } from "../support/preset-limits.ts";
import { scratch } from "../support/processes.ts";
import { received } from "../support/received.ts";
import { StrictBroker } from "../support/strict-broker.ts";

/**
 * Each preset drains a backlog of 50 devices with ten tags a second each into a server that enforces what the cloud does. All at
 * once, out of one queue. MILLRACE_LONG=1: for five minutes; else for MILLRACE_SECONDS (6). MILLRACE_PRESETS: only these, such as
 * `aws-iot,emqx`. All servers are in this process too: on a busy machine the rates say more about it than about the uplinks.
 */
const SECONDS = env["MILLRACE_LONG"] === "1" ? 300 : Number(env["MILLRACE_SECONDS"] ?? 6);
const RECORDS = 3000 * SECONDS + 10_000;
const DEVICES = 50;
const TAGS = 10;
const WARM_UP_MS = 1500;
/** Of the preset's own token bucket. */
const LEAST = 0.9;
/** Where the preset has no rate: a user's own cap, so that the backlog lasts. */
const OWN_CAP = { messages: 200 };

const folder = scratch("presets");
afterAll(() => folder.remove());

const sources = Array.from({ length: DEVICES }, (_, device) => ({
  link: "plc-1",
  device: `press-${device}`,
  group: "1000ms",
  // Eight levels are more than some take with a prefix.
  topic: `plant/hall-1/area-2/line-3/cell-${device % 5}/machines/press-${device}`,
  tags: Array.from({ length: TAGS }, (__, tag) => ({ name: `tag-${tag}`, type: "float32" })),
}));

function scan(n: number): SamplesContent {
  const source = sources[n % DEVICES];
  if (source === undefined) throw new Error("no device");
  const samples = source.tags.map(({ name }, tag) => ({
    tag: name,
    quality: "good" as const,
    value: Math.round(1000 * Math.sin(n + tag)) / 10,
    offsetMs: 0,
  }));
  return { kind: "samples", source, samples };
}

interface Line {
  readonly preset: string;
  readonly messages: number;
  readonly bytes: number;
  readonly records: number;
  /** Part of the token bucket that was used. */
  readonly used: number;
  readonly limit: string;
  /** Whether that is the preset's own. */
  readonly own: boolean;
  readonly mostInFlight: number;
  readonly violations: readonly string[];
  readonly duplicates: number;
  readonly batch: number;
}

async function drain(preset: string, queue: ReturnType<typeof levelQueue>, signal: Promise<void>): Promise<Line> {
  const cloud = CLOUDS[preset];
  if (cloud === undefined) throw new Error(preset);
  const counts = { messages: 0, bytes: 0, records: 0, duplicates: 0, batch: 0 };
  let startMs = 0;
  const broker = new StrictBroker({
    limits: cloud.limits,
    ...(cloud.only === undefined ? {} : { only: cloud.only }),
    ...(preset === "hivemq" ? { properties: { receiveMaximum: 10 } } : {}),
    puback: () => ({ ack: true, afterMs: 20 }),
    drain: (packet, bytes) => {
      if (startMs === 0) startMs = performance.now();
      if (performance.now() - startMs < WARM_UP_MS) return;
      const got = received([packet]);
      counts.messages++;
      counts.bytes += bytes;
      counts.records += got.ids.size;
      counts.duplicates += got.duplicates;
      counts.batch = Math.max(counts.batch, got.most);
    },
  });
  await broker.listen();
  const options = mqttModule.schema.parse({
    url: broker.url,
    preset,
    clientId: "press-shop-01",
    // One topic for all fills its messages sooner than the backlog lasts.
    ...(preset === "thingsboard" ? { batch: { count: 20 } } : {}),
  });
  const policy = mqttModule.policy?.(options, { gatewayId: "gw", name: preset }) ?? {};
  let topics = topicMapper("acme/gw/{topic}", "gw");
  if (policy.topics) topics = limitedTopics(topics, policy.topics);
  if (policy.form) topics = formedTopics(topics, policy.form, policy.client ?? "");
  const { log, lines } = recordingLogger();
  const { will: _will, ...rest } = context({ log, name: preset });
  const maxRate: MaxRate = policy.maxRate?.messages === undefined ? OWN_CAP : policy.maxRate;
  const forwarder = new Forwarder({
    name: preset,
    queue,
    gatewayId: "gw",
    uplink: () => mqttModule.create(options, rest),
    encoder: valuesEncoder,
    topics,
    clock: testClock,
    log,
    metrics: noMetrics,
    options: { maxRate, ...(policy.batch ? { batch: policy.batch } : {}) },
  });
  forwarder.start();
  await signal;
  const seconds = (performance.now() - startMs - WARM_UP_MS) / 1000;
  const { messages, bytes, records, duplicates, batch } = counts;
  const parts = [
    { limit: `${maxRate.messages}/s`, used: messages / seconds / (maxRate.messages ?? 1) },
    ...(maxRate.bytes === undefined
      ? []
      : [{ limit: `${maxRate.bytes / 1024} KiB/s`, used: bytes / seconds / maxRate.bytes }]),
  ].sort((a, b) => b.used - a.used);
  await forwarder.stop();
  await broker.close();
  expect(lines.filter(({ level }) => level === "error")).toEqual([]);
  return {
    preset,
    messages: messages / seconds,
    bytes: bytes / seconds,
    records: records / seconds,
    duplicates,
    batch,
    used: parts[0]?.used ?? 0,
    limit: parts[0]?.limit ?? "",
    own: maxRate !== OWN_CAP,
    mostInFlight: broker.maxUnacked,
    violations: broker.violations,
  };
}

it(`each preset drains for ${SECONDS} s within the limits of its cloud`, async () => {
  const queue = levelQueue(join(folder.path, "store"), {
    options: { segment: 16 * 1024 ** 2, maxBytes: 4 * 1024 ** 3 },
  });
  await queue.start();
  const only = env["MILLRACE_PRESETS"]?.split(",");
  const presets = Object.keys(CLOUDS).filter((name) => only === undefined || only.includes(name));
  for (const name of presets) {
    await queue.open(name, { selector: selectorOf(["#"]), from: "oldest", required: true });
  }
  for (let at = 0; at < RECORDS; at += 500) {
    const some = Array.from({ length: 500 }, (_, i) => ({ taken: testClock.now(), content: scan(at + i) }));
    await queue.append("telemetry", some);
  }
  const over = pause(SECONDS * 1000 + WARM_UP_MS);
  const lines = await Promise.all(presets.map((preset) => drain(preset, queue, over)));
  const cells = (values: readonly unknown[]) => values.map((value) => String(value).padStart(12)).join("");
  const head = cells([
    "messages/s",
    "KiB/s",
    "records/s",
    "of bucket",
    "limit",
    "in flight",
    "violations",
    "duplicates",
  ]);
  const rows = lines.map((line) => {
    const { preset, messages, bytes, records, used, limit, mostInFlight, violations, duplicates } = line;
    const kib = (bytes / 1024).toFixed(0);
    const percent = `${(100 * used).toFixed(1)} %`;
    return `${preset.padEnd(18)}${cells([messages.toFixed(1), kib, records.toFixed(0), percent, limit, mostInFlight, violations.length, duplicates])}`;
  });
  process.stdout.write(`\n${"preset".padEnd(18)}${head}\n${rows.join("\n")}\n`);
  for (const { violations, duplicates, used, preset, own, records } of lines) {
    expect([preset, violations, duplicates]).toEqual([preset, [], 0]);
    expect(records).toBeGreaterThan(0);
    if (own) expect(used, preset).toBeGreaterThanOrEqual(LEAST);
  }
}, 3_600_000);
