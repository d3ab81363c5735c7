import { afterEach, describe, expect, it } from "vitest";
import type { BootOffset } from "../../gateway/core/clock.ts";
import { silentLogger } from "../../gateway/core/log.ts";
import { noMetrics } from "../../gateway/core/metrics.ts";
import { valuesEncoder } from "../../gateway/northbound/encoders/values.ts";
import { Forwarder } from "../../gateway/northbound/forwarder.ts";
import { topicMapper } from "../../gateway/northbound/topics.ts";
import { ackAll, FakeUpstream } from "../fakes/fake-uplink.ts";
import { ListQueue } from "../fakes/list-queue.ts";
import { until } from "./until.ts";

const running: Forwarder[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((one) => one.stop()));
});

const OFFSET: BootOffset = {
  bootId: "boot-1",
  offsetMs: 1_780_000_000_000.125,
  uncertaintyMs: 50,
  source: "timesyncd",
  knownAtMonoMs: 5000,
};

function setUp() {
  const queue = new ListQueue();
  const upstream = new FakeUpstream();
  const forwarder = new Forwarder({
    name: "cloud",
    queue,
    gatewayId: "gw",
    uplink: upstream.make,
    encoder: valuesEncoder,
    topics: topicMapper("{topic}", "gw"),
    clock: { bootId: "boot-1", now: () => ({ wallMs: 1_732_300_000_000, monoMs: 1, clock: "synced" }) },
    log: silentLogger,
    metrics: noMetrics,
    options: {
      backoff: { baseMs: 1, capMs: 5, stableMs: 30_000 },
      drainMs: 20,
      farewellMs: 20,
      retryBaseMs: 1,
      retryCapMs: 5,
      storagePauseMs: 1,
    },
  });
  running.push(forwarder);
  const clocks = () => upstream.sent.filter(({ message }) => message.topic === "gw/clock");
  const clockOf = (index: number) =>
    new Map(upstream.records()[index]?.message.properties.map(([key, value]) => [key, value]));
  return { queue, upstream, forwarder, clocks, clockOf };
}

describe("the clock of a boot", () => {
  it("is told once, when it becomes known, to whom records went without a time", async () => {
    const { queue, upstream, forwarder, clocks, clockOf } = setUp();
    upstream.auto = ackAll;
    queue.add("telemetry", ["a", "b"]);
    queue.unsync();
    forwarder.start();
    await until(() => expect(queue.owed("telemetry")).toBe(0));
    expect(clockOf(0).get("clock")).toBe("unsynced");
    expect(clocks()).toEqual([]);
    queue.learn(OFFSET);
    await until(() => expect(queue.settledClocks).toEqual(["boot-1"]));
    expect(clocks()).toHaveLength(1);
    expect(clocks()[0]?.message).toMatchObject({ qos: 1, retain: false, properties: [] });
    expect(JSON.parse(clocks()[0]?.text ?? "")).toEqual({
      type: "clock",
      gateway: "gw",
      boot: "boot-1",
      offset: 1_780_000_000_000.125,
      uncertainty: 50,
      source: "timesyncd",
      knownAt: 1_780_000_005_000,
    });
  });

  it("is told first over the next connection, when it is owed from before", async () => {
    const { queue, upstream, forwarder, clocks } = setUp();
    upstream.auto = ackAll;
    queue.learn(OFFSET);
    queue.add("telemetry", ["a"]);
    forwarder.start();
    await until(() => expect(queue.settledClocks).toEqual(["boot-1"]));
    expect(clocks()).toHaveLength(1);
  });

  it("is told again until it is acknowledged, and over the next connection when that is lost", async () => {
    const { queue, upstream, forwarder, clocks } = setUp();
    let busy = 2;
    upstream.auto = ({ topic }) => {
      if (topic !== "gw/clock") return { kind: "ack" };
      return busy-- > 0 ? { kind: "retry", reason: "busy" } : undefined;
    };
    queue.learn(OFFSET);
    forwarder.start();
    await until(() => expect(clocks()).toHaveLength(3));
    upstream.auto = ackAll;
    upstream.connection.break();
    await until(() => expect(queue.settledClocks).toEqual(["boot-1"]));
    expect(clocks()).toHaveLength(4);
  });

  it("corrects what was read ahead of it", async () => {
    const { queue, upstream, forwarder, clockOf } = setUp();
    upstream.auto = ({ topic }) => (topic === "gw/status" ? { kind: "ack" } : undefined);
    queue.add(
      "telemetry",
      Array.from({ length: 20 }, (_, n) => String(n)),
    );
    queue.unsync();
    forwarder.start();
    await until(() => expect(upstream.records()).toHaveLength(8));
    queue.learn(OFFSET);
    upstream.auto = ackAll;
    for (const sent of upstream.records()) sent.answer();
    await until(() => expect(queue.owed("telemetry")).toBe(0));
    const states = Array.from({ length: 20 }, (_, index) => clockOf(index).get("clock"));
    expect(states.slice(0, 8).every((state) => state === "unsynced")).toBe(true);
    expect(states.slice(8).every((state) => state === "corrected")).toBe(true);
    expect(clockOf(8).get("uncertainty")).toBe("50");
  });

  it("is not told twice while the queue takes its time to write that it was acknowledged", async () => {
    const { queue, upstream, forwarder, clocks } = setUp();
    upstream.auto = ackAll;
    let open: () => void = () => {};
    queue.settleGate = new Promise((resolve) => {
      open = resolve;
    });
    queue.learn(OFFSET);
    forwarder.start();
    await until(() => expect(clocks()).toHaveLength(1));
    queue.learn({ ...OFFSET, bootId: "boot-0" });
    await until(() => expect(clocks()).toHaveLength(2));
    open();
    await until(() => expect(queue.settledClocks.toSorted()).toEqual(["boot-0", "boot-1"]));
    expect(clocks()).toHaveLength(2);
  });
});
