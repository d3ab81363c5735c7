import { gunzipSync } from "node:zlib";
import { afterEach, describe, expect, it } from "vitest";
import { CompletenessTracker } from "../../gateway/cli/verify/tracker.ts";
import { readMessages } from "../../gateway/cli/verify/wire.ts";
import type { Clock } from "../../gateway/core/clock.ts";
import { silentLogger } from "../../gateway/core/log.ts";
import { noMetrics } from "../../gateway/core/metrics.ts";
import type { SamplesContent } from "../../gateway/core/record.ts";
import { valuesEncoder } from "../../gateway/northbound/encoders/values.ts";
import { Forwarder } from "../../gateway/northbound/forwarder.ts";
import type { ForwarderOptions } from "../../gateway/northbound/options.ts";
import { formedTopics, limitedTopics } from "../../gateway/northbound/topic-form.ts";
import { topicMapper } from "../../gateway/northbound/topics.ts";
import { ListQueue } from "../fakes/list-queue.ts";
import { received } from "../support/received.ts";
import { type Script, StrictBroker } from "../support/strict-broker.ts";
import { mqttUplink } from "./mqtt/harness.ts";
import { until } from "./until.ts";

const clock: Clock = { bootId: "boot-1", now: () => ({ wallMs: 1_732_300_000_000, monoMs: 1, clock: "synced" }) };
const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

function scans(count: number, devices = 1, text = ""): SamplesContent[] {
  return Array.from({ length: count }, (_, n) => ({
    kind: "samples",
    source: {
      link: "plc",
      device: `press-${n % devices}`,
      group: "1s",
      topic: `plant/press-${n % devices}`,
      tags: [{ name: "t", type: "float32" }],
    },
    samples: [{ tag: "t", quality: "good", value: text === "" ? n : text, offsetMs: 0 }],
  }));
}

async function setUp(script: Script, batch: ForwarderOptions["batch"], options: Partial<ForwarderOptions> = {}) {
  const broker = await new StrictBroker(script).listen();
  const queue = new ListQueue();
  const forwarder = new Forwarder({
    name: "cloud",
    queue,
    gatewayId: "gw",
    uplink: () => mqttUplink({ url: broker.url }),
    encoder: valuesEncoder,
    topics: topicMapper("{topic}", "gw"),
    clock,
    log: silentLogger,
    metrics: noMetrics,
    options: { batch, backoff: { baseMs: 1, capMs: 5, stableMs: 30_000 }, drainMs: 20, farewellMs: 20, ...options },
  });
  stops.push(() => broker.close());
  stops.push(() => forwarder.stop());
  const drained = () => until(() => expect(queue.owed("telemetry")).toBe(0), 8000);
  return { broker, queue, forwarder, drained };
}
const BATCH = { count: 50, bytes: 16_384, lingerMs: 20 };

describe("several records in one message", () => {
  it("is an array of bodies with their ids, per topic and in order, settled by its PUBACK, and proven complete", async () => {
    const { broker, queue, forwarder, drained } = await setUp({}, BATCH);
    queue.addContents("telemetry", scans(1000, 4));
    forwarder.start();
    await drained();
    const got = received(broker.publishes);
    expect([got.ids.size, got.duplicates, got.most]).toEqual([1000, 0, 50]);
    // 20, and some more where the first of a batch waited too long on a busy machine.
    expect(broker.records.length).toBeLessThan(60);
    const tracker = new CompletenessTracker();
    for (const { payload } of broker.records) tracker.message(Buffer.from(payload), {}, false);
    expect(tracker.report()).toMatchObject({ complete: true, received: 1000 });
    const [first] = broker.records;
    const seqs = readMessages(Buffer.from(first?.payload ?? ""), {}).map((one) =>
      one.kind === "record" ? one.seq : 0,
    );
    expect(seqs).toEqual(Array.from({ length: 50 }, (_, i) => 4 * i + (seqs[0] ?? 0)));
  });

  it("is compressed where that makes it smaller, told so, and taken apart like any other", async () => {
    const plain = (payload: Buffer) => (payload[0] === 0x1f ? gunzipSync(payload) : payload).toString();
    const bad = '"values":{"t":7}';
    const { broker, queue, forwarder, drained } = await setUp(
      { puback: ({ payload }) => ({ ack: true, code: plain(Buffer.from(payload)).includes(bad) ? 0x99 : 0 }) },
      { ...BATCH, gzip: true },
      { retryBaseMs: 1, retryCapMs: 2 },
    );
    queue.addContents("telemetry", scans(500));
    forwarder.start();
    await drained();
    expect(queue.rejected.map(({ seq }) => seq)).toEqual([8]);
    const tracker = new CompletenessTracker();
    const told = broker.records.map(({ payload, properties }) => {
      const user = properties?.userProperties ?? {};
      tracker.message(Buffer.from(payload), { ...user }, false);
      return [user["content-encoding"] === "gzip", payload[0] === 0x1f];
    });
    expect(told.filter(([said]) => said).length).toBeGreaterThan(8);
    expect(told.every(([said, is]) => said === is)).toBe(true);
    expect(tracker.report()).toMatchObject({ received: 500, malformed: 0, conflicts: 0 });
    // Over MQTT 3.1.1 there are no properties.
    const other = new CompletenessTracker();
    for (const { payload } of broker.records) other.message(Buffer.from(payload), {}, false);
    expect(other.report().received).toBe(500);
    const torn = { kind: "malformed", why: "its body is not whole gzip" };
    const first = Buffer.from(broker.records[0]?.payload ?? "").subarray(0, 30);
    expect(readMessages(first, { "content-encoding": "gzip" })).toEqual([torn]);
  });

  it("keeps to the bytes of a message and of the server's packets", async () => {
    const { broker, queue, forwarder, drained } = await setUp({ properties: { maximumPacketSize: 2048 } }, BATCH);
    queue.addContents("telemetry", scans(300));
    forwarder.start();
    await drained();
    expect([received(broker.publishes).ids.size, broker.violations, queue.rejected]).toEqual([300, [], []]);
  });

  it("waits no longer than its linger, and captured messages do not wait at all", async () => {
    const { broker, queue, forwarder, drained } = await setUp({}, { ...BATCH, lingerMs: 30 });
    forwarder.start();
    await until(() => expect(broker.publishes).toHaveLength(1));
    queue.addContents("telemetry", scans(3));
    queue.add("telemetry", ["captured"]);
    await drained();
    expect(broker.records.map(({ payload }) => payload.toString().slice(0, 5))).toEqual(["captu", '[{"_m']);
  });

  it("that is refused for good is taken apart: exactly the culprit is rejected", async () => {
    const bad = '"values":{"t":7}';
    const { broker, queue, forwarder, drained } = await setUp(
      { puback: ({ payload }) => ({ ack: true, code: payload.toString().includes(bad) ? 0x99 : 0 }) },
      BATCH,
      { retryBaseMs: 1, retryCapMs: 2 },
    );
    queue.addContents("telemetry", scans(100));
    forwarder.start();
    await drained();
    expect(queue.rejected.map(({ seq }) => seq)).toEqual([8]);
    expect(received(broker.publishes).ids.size).toBe(100);
  });

  it("that ends connections is taken apart too", async () => {
    const { broker, queue, forwarder, drained } = await setUp(
      {
        puback: ({ payload }, session) => {
          if (!payload.toString().includes('"values":{"t":7}')) return { ack: true };
          session.socket.destroy();
          return { ack: false };
        },
      },
      BATCH,
    );
    queue.addContents("telemetry", scans(400, 3));
    forwarder.start();
    const feeding = setInterval(() => queue.addContents("telemetry", scans(1, 1, "new")), 10);
    await until(() => expect(queue.rejected.map(({ seq }) => seq)).toEqual([8]), 8000);
    clearInterval(feeding);
    await drained();
    expect(received(broker.publishes).conflicts).toBe(0);
  });
});

describe("topics that the far side takes", () => {
  it("surplus levels are joined, and the rest is left alone", () => {
    const mapper = limitedTopics(topicMapper("acme/{topic}", "gw"), { levels: 3, bytes: 256, charset: "ascii" });
    expect([mapper.record("a"), mapper.record("a/b/c/ü")]).toEqual(["acme/a", "acme/a/b.c._"]);
  });

  it("where it knows only its own, ours are in them", () => {
    const form = { record: "devices/{client}/x&topic={topic}", control: "devices/{client}/x&type={kind}" };
    const mapper = formedTopics(topicMapper("{topic}", "gw"), form, "d1");
    expect(mapper.record("a/b c")).toBe("devices/d1/x&topic=a%2Fb%20c");
    expect(mapper.control("gap")).toBe("devices/d1/x&type=gap");
  });
});
