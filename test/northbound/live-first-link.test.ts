import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { CompletenessTracker } from "../../gateway/cli/verify/tracker.ts";
import type { Clock } from "../../gateway/core/clock.ts";
import { silentLogger } from "../../gateway/core/log.ts";
import { noMetrics } from "../../gateway/core/metrics.ts";
import { queueOptions } from "../../gateway/core/options/queue.ts";
import type { NewRecord } from "../../gateway/core/record.ts";
import { selectorOf } from "../../gateway/core/selector.ts";
import { valuesEncoder } from "../../gateway/northbound/encoders/values.ts";
import { Forwarder } from "../../gateway/northbound/forwarder.ts";
import { mqttModule } from "../../gateway/northbound/mqtt/module.ts";
import { topicMapper } from "../../gateway/northbound/topics.ts";
import { LevelQueue } from "../../gateway/queue/level-queue.ts";
import { StrictBroker } from "../support/strict-broker.ts";
import { Throttle } from "../support/throttle.ts";
import { until } from "./until.ts";

const WINDOW = 64;
const clock: Clock = {
  bootId: "boot-1",
  now: () => ({ wallMs: Date.now(), monoMs: performance.now(), clock: "synced" }),
};

function records(count: number, topic: string): NewRecord[] {
  const payload = Buffer.alloc(200, "x");
  const content = { kind: "message", topic, payload, qos: 1, retain: false } as const;
  return Array.from({ length: count }, () => ({ taken: clock.now(), content }));
}

/** Queue on disk, forwarder and MQTT uplink, over a slow link to a server that watches. */
async function setUp() {
  const broker = await new StrictBroker().listen();
  const link = await new Throttle({
    port: broker.port,
    bitsPerSecond: 2_000_000,
    roundTripMs: 40,
    queueBytes: 16 * 1024,
  }).listen();
  const dataDir = await mkdtemp(join(tmpdir(), "millrace-live-first-"));
  const log = silentLogger;
  const options = queueOptions.parse({ minFree: "0B" });
  const queue = new LevelQueue({ dataDir, options, clock, log, metrics: noMetrics, machineId: "m" });
  await queue.start();
  await queue.open("cloud", { selector: selectorOf(["#"]), from: "oldest", required: true });
  const mqtt = mqttModule.schema.parse({ url: `mqtt://127.0.0.1:${link.port}`, inFlight: WINDOW });
  const context = { name: "cloud", gatewayId: "gw", log, metrics: noMetrics } as const;
  const forwarder = new Forwarder({
    name: "cloud",
    queue,
    gatewayId: "gw",
    uplink: () =>
      mqttModule.create(mqtt, {
        ...context,
        path: (name) => name,
        secret: () => {
          throw new Error("no secret");
        },
      }),
    encoder: valuesEncoder,
    topics: topicMapper("{topic}", "gw"),
    clock,
    log,
    metrics: noMetrics,
    options: { order: "live-first", backoff: { baseMs: 10, capMs: 20, stableMs: 30_000 } },
  });
  onTestFinished(async () => {
    await forwarder.stop();
    await queue.close();
    await link.close();
    await broker.close();
    await rm(dataDir, { recursive: true, force: true });
  });
  const owed = () => queue.stats().uplinks[0]?.streams.telemetry.depth;
  return { broker, link, queue, forwarder, owed };
}

it("lets live records overtake a backlog on a slow link, and fills it in behind them", async () => {
  const { broker, queue, forwarder, owed } = await setUp();
  await queue.append("telemetry", records(1500, "old"));
  forwarder.start();
  await until(() => expect(broker.records.length).toBeGreaterThan(200));
  for (let burst = 0; burst < 20; burst++) {
    const before = broker.records.length;
    await queue.append("telemetry", records(3, "new"));
    await until(() => expect(broker.records.filter(({ topic }) => topic === "new")).toHaveLength(3 * (burst + 1)));
    // No more of the backlog than the link held came before them.
    expect(broker.records.length - before).toBeLessThan(WINDOW + 40);
  }
  await until(() => expect(owed()).toBe(0), 15_000);
  const old = broker.records.filter(({ topic }) => topic === "old");
  expect(old).toHaveLength(1500);
  expect(old.every(({ properties }) => JSON.stringify(properties?.userProperties).includes('"historical":"1"'))).toBe(
    true,
  );
  expect(broker.violations).toEqual([]);
});

it("loses nothing over cuts in the middle of a drain, and sends at most the window twice", async () => {
  const { broker, link, queue, forwarder, owed } = await setUp();
  await queue.append("telemetry", records(1200, "old"));
  forwarder.start();
  const cuts = 5;
  for (let cut = 0; cut < cuts; cut++) {
    const before = broker.records.length;
    await until(() => expect(broker.records.length).toBeGreaterThan(before + 100));
    await queue.append("telemetry", records(30, "new"));
    link.cut();
  }
  await until(() => expect(owed()).toBe(0), 15_000);
  const tracker = new CompletenessTracker({ fromStart: true });
  for (const { payload, properties, retain } of broker.publishes) {
    tracker.message(
      Buffer.from(payload),
      (properties?.userProperties ?? {}) as Record<string, string>,
      retain === true,
    );
  }
  const report = tracker.report();
  expect(report).toMatchObject({ complete: true, received: 1200 + 30 * cuts, missingRanges: 0, conflicts: 0 });
  expect(report.duplicates).toBeLessThanOrEqual(cuts * WINDOW);
  expect(broker.violations).toEqual([]);
});
