import { afterEach, describe, expect, it } from "vitest";
import type { Clock } from "../../gateway/core/clock.ts";
import { silentLogger } from "../../gateway/core/log.ts";
import { noMetrics } from "../../gateway/core/metrics.ts";
import type { Outgoing } from "../../gateway/core/uplink.ts";
import { valuesEncoder } from "../../gateway/northbound/encoders/values.ts";
import { Forwarder } from "../../gateway/northbound/forwarder.ts";
import type { ForwarderOptions } from "../../gateway/northbound/options.ts";
import { topicMapper } from "../../gateway/northbound/topics.ts";
import { ackAll, FakeUpstream } from "../fakes/fake-uplink.ts";
import { ListQueue } from "../fakes/list-queue.ts";
import { until } from "./until.ts";

const clock: Clock = { bootId: "boot-1", now: () => ({ wallMs: 1_732_300_000_000, monoMs: 1, clock: "synced" }) };
const running: Forwarder[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((one) => one.stop()));
});

function setUp(options: Partial<ForwarderOptions> = {}) {
  const queue = new ListQueue();
  const upstream = new FakeUpstream();
  const forwarder = new Forwarder({
    name: "cloud",
    queue,
    gatewayId: "gw",
    uplink: upstream.make,
    encoder: valuesEncoder,
    topics: topicMapper("{topic}", "gw"),
    clock,
    log: silentLogger,
    metrics: noMetrics,
    options: {
      order: "live-first",
      backoff: { baseMs: 1, capMs: 5, stableMs: 30_000 },
      drainMs: 20,
      farewellMs: 20,
      retryBaseMs: 1,
      retryCapMs: 5,
      storagePauseMs: 1,
      gapHoldMs: 10,
      ...options,
    },
  });
  running.push(forwarder);
  return { queue, upstream, forwarder };
}

const numbers = (count: number, from = 1) => Array.from({ length: count }, (_, i) => String(i + from));
const statusOnly = (message: Outgoing) => (message.topic === "gw/status" ? ackAll() : undefined);
const texts = (upstream: FakeUpstream) => upstream.records().map(({ text }) => text);
const isHistorical = (message: Outgoing) => message.properties.some(([name]) => name === "historical");

describe("live-first", () => {
  it("marks what was owed before the connection as historical, and nothing else", async () => {
    const { queue, upstream, forwarder } = setUp();
    upstream.auto = ackAll;
    queue.add("telemetry", numbers(100));
    queue.add("events", numbers(100));
    forwarder.start();
    await until(() => expect(forwarder.status().state).toBe("connected"));
    await until(() => expect(queue.readCalls.some(({ lane }) => lane === "live")).toBe(true));
    queue.add("telemetry", numbers(50, 101), "new");
    await until(() => expect(queue.owed("telemetry") + queue.owed("events")).toBe(0));
    for (const { message } of upstream.records()) {
      expect(isHistorical(message)).toBe(message.topic !== "new");
      if (isHistorical(message)) expect(message.properties).toContainEqual(["historical", "1"]);
    }
    expect(upstream.records()).toHaveLength(250);
  });

  it("sends what is new at once, in front of a backlog that waits for the link", async () => {
    const { queue, upstream, forwarder } = setUp();
    upstream.limits = { inFlight: 64, properties: true };
    upstream.auto = statusOnly;
    queue.add("telemetry", numbers(5000), "old");
    forwarder.start();
    await until(() => expect(upstream.records().length).toBeGreaterThan(5));
    const waiting = upstream.records().length;
    expect(waiting).toBeLessThan(60);
    queue.add("telemetry", ["fresh"], "new");
    await until(() => expect(upstream.records()).toHaveLength(waiting + 1));
    expect(texts(upstream).at(-1)).toBe("fresh");
    upstream.auto = ackAll;
    for (const sent of upstream.records()) sent.answer();
    await until(() => expect(queue.owed("telemetry")).toBe(0));
    const old = upstream.records().filter(({ message }) => message.topic === "old");
    expect(old.map(({ text }) => text)).toEqual(numbers(5000));
  });

  it("gives backfill its twentieth when live data takes everything, and events their eight ninths", async () => {
    const { queue, upstream, forwarder } = setUp();
    upstream.auto = statusOnly;
    queue.add("telemetry", numbers(500), "old");
    forwarder.start();
    await until(() => expect(upstream.records().length).toBeGreaterThan(0));
    queue.add("telemetry", numbers(3000), "t");
    queue.add("events", numbers(6000), "e");
    const before = upstream.records().length;
    // One answer, one message: the window is never free for the backlog.
    for (let turn = 0; upstream.records().length < before + 2000; turn++) {
      const sent = upstream.records()[turn];
      await until(() => expect(upstream.records().length).toBeGreaterThan(turn));
      sent?.answer();
      if (turn % 4 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    const after = upstream.records().slice(before, before + 2000);
    const share = (topic: string) => after.filter(({ message }) => message.topic === topic).length / 2000;
    expect(share("old")).toBeGreaterThan(0.045);
    expect(share("old")).toBeLessThan(0.4);
    expect(share("e") / share("t")).toBeGreaterThan(6);
    expect(share("t")).toBeGreaterThan(0.04);
  });

  it("owes the right things after a loss in the middle, and sends twice at most what was in flight", async () => {
    const { queue, upstream, forwarder } = setUp();
    let count = 0;
    let breaks = 0;
    queue.add("telemetry", numbers(1000));
    queue.add("events", numbers(200));
    upstream.auto = (message) => {
      if (message.topic === "gw/status") return { kind: "ack" };
      if (++count % 3 === 0 && count < 1500) queue.add("telemetry", [`n${count}`]);
      if (count % 90 !== 0 || breaks >= 15) return { kind: "ack" };
      breaks++;
      queueMicrotask(() => upstream.connection.break());
      return undefined;
    };
    forwarder.start();
    await until(() => {
      expect(queue.owed("events") + queue.owed("telemetry")).toBe(0);
      expect(count).toBeGreaterThan(1500);
    }, 10_000);
    expect(breaks).toBe(15);
    const ids = upstream.records().map(({ message }) => message.properties.find(([name]) => name === "id")?.[1]);
    const total =
      1200 + texts(upstream).filter((text, i, all) => text.startsWith("n") && all.indexOf(text) === i).length;
    expect(new Set(ids).size).toBe(total);
    expect(ids.length - total).toBeLessThanOrEqual(15 * 8);
  });

  it("tells gaps of either lane, also when the backfill is over", async () => {
    const { queue, upstream, forwarder } = setUp();
    upstream.auto = ackAll;
    queue.add("telemetry", numbers(10));
    const old = queue.drop("telemetry", 4, 6);
    forwarder.start();
    await until(() => expect(queue.settledGaps).toEqual([old]));
    await until(() => expect(queue.owed("telemetry")).toBe(0));
    queue.add("telemetry", numbers(5, 11));
    await until(() => expect(queue.owed("telemetry")).toBe(0));
    const again = { ...old, from: 8, to: 8, prev: 7, count: 1 };
    const fresh = { ...old, from: 12, to: 13, prev: 11, count: 2 };
    queue.addGap(again);
    queue.addGap(fresh);
    await until(() => expect(queue.settledGaps).toHaveLength(3));
    expect(queue.settledGaps).toEqual(expect.arrayContaining([again, fresh]));
    expect(upstream.sent.filter(({ message }) => message.topic === "gw/gap")).toHaveLength(3);
  });

  it("says how the backfill goes, and fifo says nothing of it", async () => {
    const { queue, upstream, forwarder } = setUp();
    upstream.auto = ackAll;
    queue.add("telemetry", numbers(10));
    forwarder.start();
    await until(() => expect(queue.owed("telemetry")).toBe(0));
    expect(forwarder.status().backfill).toMatchObject({ messagesPerSecond: expect.any(Number) });
    expect(forwarder.status().backfill?.windowBytes).toBeGreaterThan(0);
    const fifo = setUp({ order: "fifo" });
    fifo.forwarder.start();
    await until(() => expect(fifo.forwarder.status().state).toBe("connected"));
    expect(fifo.forwarder.status()).not.toHaveProperty("backfill");
  });

  it("halves the window when the far side refuses", async () => {
    const { queue, upstream, forwarder } = setUp({ retryBaseMs: 20, retryCapMs: 50 });
    let refuse = false;
    upstream.limits = { inFlight: 64, properties: true };
    upstream.auto = (message) =>
      refuse && message.topic !== "gw/status" ? { kind: "retry", reason: "quota exceeded" } : { kind: "ack" };
    queue.add("telemetry", numbers(20_000));
    forwarder.start();
    await until(() => expect(upstream.records().length).toBeGreaterThan(2000));
    refuse = true;
    const before = forwarder.status().backfill?.windowBytes ?? 0;
    await until(() => expect(forwarder.status().backfill?.windowBytes ?? before).toBeLessThan(before));
    refuse = false;
    await until(() => expect(queue.owed("telemetry")).toBe(0));
  });
});

describe.each(["fifo", "live-first"] as const)("maxRate with %s", (order) => {
  it("holds messages back, and sends all of them in the end", async () => {
    const { queue, upstream, forwarder } = setUp({ order, maxRate: { messages: 400 } });
    upstream.limits = { inFlight: 1000, properties: true };
    upstream.auto = ackAll;
    queue.add("telemetry", numbers(300));
    const begun = performance.now();
    forwarder.start();
    await until(() => expect(queue.owed("telemetry")).toBe(0));
    const seconds = (performance.now() - begun) / 1000;
    // The bucket holds a quarter of a second's worth; the status takes one place.
    expect(301 - 100).toBeLessThanOrEqual(400 * seconds + 1);
  });

  it("counts bytes with all that goes along", async () => {
    const { queue, upstream, forwarder } = setUp({ order, maxRate: { bytes: 40_000 } });
    upstream.limits = { inFlight: 1000, properties: true };
    upstream.auto = ackAll;
    queue.add(
      "telemetry",
      numbers(50).map((text) => text.padEnd(300)),
    );
    const begun = performance.now();
    forwarder.start();
    await until(() => expect(queue.owed("telemetry")).toBe(0));
    const seconds = (performance.now() - begun) / 1000;
    expect(50 * 300 - 10_000).toBeLessThanOrEqual(40_000 * seconds + 600);
  });

  it("does not hold the farewell back", async () => {
    const { queue, upstream, forwarder } = setUp({ order, maxRate: { messages: 1 }, drainMs: 50, farewellMs: 500 });
    upstream.auto = ackAll;
    queue.add("telemetry", numbers(20));
    forwarder.start();
    await until(() => expect(upstream.statuses()).toHaveLength(1));
    await forwarder.stop();
    expect(upstream.statuses().at(-1)).toMatchObject({ state: "offline" });
  });
});
