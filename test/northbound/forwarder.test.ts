import { afterEach, describe, expect, it } from "vitest";
import type { Clock } from "../../gateway/core/clock.ts";
import { ConfigError, NotConnectedError } from "../../gateway/core/errors.ts";
import { noMetrics } from "../../gateway/core/metrics.ts";
import type { Entry, Gap } from "../../gateway/core/record.ts";
import { ServerBusyError } from "../../gateway/northbound/busy.ts";
import type { EncodeContext, Encoder } from "../../gateway/northbound/encoders/encoder.ts";
import { valuesEncoder } from "../../gateway/northbound/encoders/values.ts";
import { Forwarder, type ForwarderSettings } from "../../gateway/northbound/forwarder.ts";
import type { ForwarderOptions } from "../../gateway/northbound/options.ts";
import { topicMapper } from "../../gateway/northbound/topics.ts";
import { ackAll, FakeUpstream } from "../fakes/fake-uplink.ts";
import { ListQueue } from "../fakes/list-queue.ts";
import { recordingLogger } from "./mqtt/harness.ts";
import { until } from "./until.ts";

const clock: Clock = { bootId: "boot-1", now: () => ({ wallMs: 1_732_300_000_000, monoMs: 1, clock: "synced" }) };

/** Short pauses, so that a test need not wait; long ones where one would disturb. */
const QUICK: Partial<ForwarderOptions> = {
  backoff: { baseMs: 1, capMs: 5, stableMs: 30_000 },
  alarmBackoff: { baseMs: 60_000, capMs: 60_000, stableMs: 60_000 },
  drainMs: 20,
  farewellMs: 20,
  retryBaseMs: 1,
  retryCapMs: 5,
  storagePauseMs: 1,
  gapHoldMs: 10,
};

const running: Forwarder[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((one) => one.stop()));
});

function setUp(over: Partial<ForwarderSettings> = {}, options: Partial<ForwarderOptions> = {}) {
  const queue = new ListQueue();
  const upstream = new FakeUpstream();
  const { log, lines } = recordingLogger();
  const forwarder = new Forwarder({
    name: "cloud",
    queue,
    gatewayId: "gw",
    uplink: upstream.make,
    encoder: valuesEncoder,
    topics: topicMapper("{topic}", "gw"),
    clock,
    log,
    metrics: noMetrics,
    options: { ...QUICK, ...options },
    ...over,
  });
  running.push(forwarder);
  return { queue, upstream, forwarder, lines };
}

const numbers = (count: number, from = 1) => Array.from({ length: count }, (_, i) => String(i + from));
const texts = (upstream: FakeUpstream) => upstream.records().map((one) => one.text);

describe("the window", () => {
  it("sends a backlog in order and settles all of it", async () => {
    const { queue, upstream, forwarder } = setUp();
    upstream.auto = ackAll;
    queue.add("telemetry", numbers(5000));
    forwarder.start();
    await until(() => expect(queue.owed("telemetry")).toBe(0));
    expect(texts(upstream)).toEqual(numbers(5000));
    expect(queue.settleCalls.length).toBeLessThan(2000);
  });

  it("is kept full: one answer makes room for one message", async () => {
    const { queue, upstream, forwarder } = setUp();
    upstream.auto = (message) => (message.topic === "gw/status" ? { kind: "ack" } : undefined);
    queue.add("telemetry", numbers(50));
    forwarder.start();
    await until(() => expect(upstream.records()).toHaveLength(8));
    upstream.records()[5]?.answer();
    await until(() => expect(upstream.records()).toHaveLength(9));
    expect(queue.settled("telemetry")).toEqual([6]);
    expect(upstream.maxInFlight).toBeLessThanOrEqual(8);
  });

  it("gives a place free only when the queue has settled", async () => {
    const { queue, upstream, forwarder } = setUp();
    upstream.auto = ackAll;
    let settle: () => void = () => {};
    queue.settleGate = new Promise((resolve) => {
      settle = resolve;
    });
    queue.add("telemetry", numbers(50));
    forwarder.start();
    await until(() => expect(upstream.records()).toHaveLength(8));
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(upstream.records()).toHaveLength(8);
    settle();
    await until(() => expect(queue.owed("telemetry")).toBe(0));
  });

  it("sends nothing more while too many bytes are in flight", async () => {
    const { queue, upstream, forwarder } = setUp({}, { maxInFlightBytes: 250 });
    upstream.auto = (message) => (message.topic === "gw/status" ? { kind: "ack" } : undefined);
    queue.add(
      "telemetry",
      ["a", "b", "c", "d"].map((c) => c.repeat(100)),
    );
    forwarder.start();
    await until(() => expect(upstream.records()).toHaveLength(3));
    upstream.records()[0]?.answer();
    await until(() => expect(upstream.records()).toHaveLength(4));
  });

  it("sends what is appended while it waits, and drains without new input", async () => {
    const { queue, upstream, forwarder } = setUp();
    upstream.auto = ackAll;
    forwarder.start();
    await until(() => expect(forwarder.status().state).toBe("connected"));
    queue.add("events", ["late"]);
    await until(() => expect(queue.settled("events")).toEqual([1]));
  });

  it("gives events eight turns for one of telemetry, and starves neither", async () => {
    const { queue, upstream, forwarder } = setUp();
    queue.add("events", numbers(400), "e");
    queue.add("telemetry", numbers(400), "t");
    upstream.auto = ackAll;
    forwarder.start();
    await until(() => expect(upstream.records()).toHaveLength(800));
    const order = upstream.records().map((one) => one.message.topic);
    const share = order.slice(20, 380).filter((one) => one === "t").length;
    expect(share).toBeGreaterThanOrEqual(38);
    expect(share).toBeLessThanOrEqual(44);
  });
});

describe("verdicts", () => {
  it("sends a refused message again without holding up the others", async () => {
    const { queue, upstream, forwarder } = setUp();
    let refusals = 3;
    upstream.auto = (_, text) => (text === "5" && refusals-- > 0 ? { kind: "retry", reason: "busy" } : { kind: "ack" });
    queue.add("telemetry", numbers(100));
    forwarder.start();
    await until(() => expect(queue.owed("telemetry")).toBe(0));
    expect(texts(upstream).filter((one) => one === "5")).toHaveLength(4);
    expect(upstream.connections).toHaveLength(1);
  });

  it("keeps the same message for a retry, so that an uplink can count", async () => {
    const { queue, upstream, forwarder } = setUp();
    let first = true;
    upstream.auto = (message) => {
      if (message.topic === "gw/status" || !first) return { kind: "ack" };
      first = false;
      return { kind: "retry", reason: "busy" };
    };
    queue.add("telemetry", ["x"]);
    forwarder.start();
    await until(() => expect(queue.owed("telemetry")).toBe(0));
    const [a, b] = upstream.records();
    expect(a?.message).toBe(b?.message);
  });

  it("waits as long as the far side asks", async () => {
    const { queue, upstream, forwarder } = setUp();
    upstream.auto = (message, text) =>
      text === "1" && message.topic !== "gw/status"
        ? { kind: "retry", reason: "no", afterMs: 60_000 }
        : { kind: "ack" };
    queue.add("telemetry", numbers(30));
    forwarder.start();
    await until(() => expect(queue.owed("telemetry")).toBe(1));
    expect(forwarder.status().retrying).toBe(1);
    expect(texts(upstream).filter((one) => one === "1")).toHaveLength(1);
  });

  it("stops taking new records when too many are refused, and goes on when they are taken", async () => {
    const { queue, upstream, forwarder } = setUp({}, { retryBaseMs: 20, retryCapMs: 20 });
    let busy = true;
    upstream.auto = (message) =>
      busy && message.topic !== "gw/status" ? { kind: "retry", reason: "busy" } : { kind: "ack" };
    queue.add("telemetry", numbers(200));
    forwarder.start();
    await until(() => expect(upstream.records().length).toBeGreaterThan(60));
    expect(new Set(texts(upstream)).size).toBeLessThanOrEqual(16 + 8);
    busy = false;
    await until(() => expect(queue.owed("telemetry")).toBe(0));
  });

  it("tells the queue what is rejected, and why", async () => {
    const { queue, upstream, forwarder, lines } = setUp();
    upstream.auto = (_, text) => (text === "3" ? { kind: "reject", reason: "too large" } : { kind: "ack" });
    queue.add("events", numbers(5));
    forwarder.start();
    await until(() => expect(queue.owed("events")).toBe(0));
    expect(queue.rejected).toEqual([{ stream: "events", seq: 3, reason: "too large" }]);
    expect(lines.filter((one) => one.level === "warn")).toHaveLength(1);
  });

  it("rejects a record that cannot be encoded and goes on", async () => {
    const encoder: Encoder = {
      name: "picky",
      encode: (entry: Entry, context: EncodeContext) => {
        if (entry.seq === 2) throw new RangeError("no word for it");
        return valuesEncoder.encode(entry, context);
      },
    };
    const { queue, upstream, forwarder } = setUp({ encoder });
    upstream.auto = ackAll;
    queue.add("telemetry", numbers(4));
    forwarder.start();
    await until(() => expect(queue.owed("telemetry")).toBe(0));
    expect(queue.rejected).toEqual([{ stream: "telemetry", seq: 2, reason: "not encodable: no word for it" }]);
    expect(texts(upstream)).toEqual(["1", "3", "4"]);
  });

  it("settles a record of several messages when all are acknowledged, and one of none at once", async () => {
    const encoder: Encoder = {
      name: "many",
      encode: (entry, context) => {
        const [one] = valuesEncoder.encode(entry, context);
        return one === undefined || entry.seq === 2
          ? []
          : [one, { ...one, topic: "plant/second" }, { ...one, topic: "plant/third" }];
      },
    };
    const { queue, upstream, forwarder } = setUp({ encoder });
    upstream.limits = { inFlight: 2, properties: true };
    upstream.auto = ({ topic }) => (topic === "plant/third" ? undefined : { kind: "ack" });
    queue.add("telemetry", numbers(2));
    forwarder.start();
    await until(() => expect(queue.settled("telemetry")).toEqual([2]));
    expect(upstream.records()).toHaveLength(3);
    upstream.records()[2]?.answer();
    await until(() => expect(queue.settled("telemetry")).toEqual([1, 2]));
  });

  it("tells the queue again what it could not write", async () => {
    const { queue, upstream, forwarder, lines } = setUp();
    upstream.auto = (message) => (message.topic === "gw/status" ? { kind: "ack" } : undefined);
    queue.add("telemetry", numbers(3));
    forwarder.start();
    await until(() => expect(upstream.records()).toHaveLength(3));
    queue.failing = 2;
    for (const one of upstream.records()) one.answer();
    await until(() => expect(queue.owed("telemetry")).toBe(0));
    expect(upstream.records()).toHaveLength(3);
    expect(lines.some((one) => one.message === "the queue did not take an acknowledgement")).toBe(true);
  });
});

describe("gaps", () => {
  it("are sent between the records around them and settled on acknowledgement", async () => {
    const { queue, upstream, forwarder } = setUp();
    upstream.auto = ackAll;
    queue.add("telemetry", numbers(10));
    const gap = queue.drop("telemetry", 4, 6);
    forwarder.start();
    await until(() => expect(queue.settledGaps).toEqual([gap]));
    await until(() => expect(queue.owed("telemetry")).toBe(0));
    const order = upstream.sent.filter(({ message }) => message.topic !== "gw/status");
    expect(order.map(({ message, text }) => (message.topic === "gw/gap" ? "gap" : text))).toEqual([
      "1",
      "2",
      "3",
      "gap",
      "7",
      "8",
      "9",
      "10",
    ]);
    expect(JSON.parse(order[3]?.text ?? "")).toEqual({
      type: "gap",
      gateway: "gw",
      id: "gw/telemetry/1a2b3c4d/4-6",
      stream: "telemetry",
      epoch: "1a2b3c4d",
      chain: "c1",
      from: 4,
      to: 6,
      prev: 3,
      count: 3,
      bytes: 600,
      reason: "dropped",
      exact: true,
    });
    expect(order[3]?.message).toMatchObject({ qos: 1, retain: false });
  });

  it("of refused records name no seqs, and are told each for itself at the same place", async () => {
    const { queue, upstream, forwarder } = setUp();
    upstream.auto = ackAll;
    queue.add("telemetry", numbers(3));
    const first: Gap = {
      ...{ stream: "telemetry", epoch: 0x1a2b3c4d, chain: "c1", from: 4, to: 3, prev: 3, tFrom: 1000, tTo: 2000 },
      ...{ count: 7, bytes: 70, reason: "refused", refusal: "0000000a", exact: true },
    };
    const second: Gap = { ...first, refusal: "0000000b", count: 2 };
    queue.addGap(first);
    queue.addGap(second);
    forwarder.start();
    await until(() => expect(queue.settledGaps).toEqual([first, second]));
    const told = upstream.sent.filter(({ message }) => message.topic === "gw/gap").map(({ text }) => JSON.parse(text));
    expect(told[0]).toEqual({
      ...{ type: "gap", gateway: "gw", id: "gw/telemetry/1a2b3c4d/3/0000000a", stream: "telemetry" },
      ...{ epoch: "1a2b3c4d", chain: "c1", after: 3, tFrom: 1000, tTo: 2000 },
      ...{ count: 7, bytes: 70, reason: "refused", exact: true },
    });
    expect(told.map(({ id }: { id: string }) => id.slice(-8))).toEqual(["0000000a", "0000000b"]);
  });

  it("are sent when no record is behind them, and when they appear later", async () => {
    const { queue, upstream, forwarder } = setUp();
    upstream.auto = ackAll;
    queue.add("events", numbers(3));
    const first = queue.drop("events", 2, 3);
    forwarder.start();
    await until(() => expect(queue.settledGaps).toEqual([first]));
    const later: Gap = { ...first, from: 4, to: 9, prev: 3, count: 6 };
    queue.addGap(later);
    await until(() => expect(queue.settledGaps).toEqual([first, later]));
    expect(upstream.sent.filter(({ message }) => message.topic === "gw/gap")).toHaveLength(2);
  });

  it("are sent again after a loss, and never dropped when refused", async () => {
    const { queue, upstream, forwarder } = setUp();
    upstream.auto = (message) => (message.topic === "gw/gap" ? { kind: "reject", reason: "no" } : { kind: "ack" });
    queue.add("events", numbers(3));
    const gap = queue.drop("events", 1, 2);
    forwarder.start();
    await until(() => expect(upstream.sent.some(({ message }) => message.topic === "gw/gap")).toBe(true));
    expect(queue.settledGaps).toEqual([]);
    upstream.auto = ackAll;
    upstream.connection.break();
    await until(() => expect(queue.settledGaps).toEqual([gap]));
  });
});

describe("the connection", () => {
  it("loses nothing and sends nothing twice but what was in flight, over 200 losses", async () => {
    const { queue, upstream, forwarder } = setUp();
    queue.add("events", numbers(1500), "e");
    queue.add("telemetry", numbers(1500), "t");
    let breaks = 0;
    let count = 0;
    upstream.auto = (message) => {
      if (message.topic !== "gw/status" && ++count % 14 === 0 && breaks < 200) {
        breaks++;
        queueMicrotask(() => upstream.connection.break());
        return undefined;
      }
      return { kind: "ack" };
    };
    forwarder.start();
    await until(() => expect(queue.owed("events") + queue.owed("telemetry")).toBe(0), 10_000);
    expect(breaks).toBe(200);
    const ids = upstream.records().map(({ message }) => message.properties.find(([name]) => name === "id")?.[1]);
    expect(new Set(ids).size).toBe(3000);
    expect(ids.length - 3000).toBeLessThanOrEqual(200 * 8);
    expect(queue.rewinds).toBe(200);
  });

  it("connects again after failures, and tells each new one once", async () => {
    const { queue, upstream, forwarder, lines } = setUp();
    upstream.auto = ackAll;
    upstream.refusals.push(...numbers(5).map(() => new NotConnectedError("no route")));
    queue.add("telemetry", ["1"]);
    forwarder.start();
    await until(() => expect(queue.owed("telemetry")).toBe(0));
    expect(upstream.attempts).toBe(6);
    expect(lines.filter((one) => one.level === "warn").map((one) => one.message)).toEqual(["uplink cannot connect"]);
  });

  it("raises an alarm and waits long for what a person has to cure", async () => {
    const { upstream, forwarder, lines } = setUp();
    upstream.refusals.push(new ConfigError("bad user name or password"));
    forwarder.start();
    await until(() => expect(forwarder.status().alarm).toBe("bad user name or password"));
    expect(forwarder.status().state).toBe("waiting");
    expect(upstream.attempts).toBe(1);
    expect(lines.filter((one) => one.level === "error").map((one) => one.message)).toEqual(["uplink needs attention"]);
  });

  it("obeys a server that asks for a pause", async () => {
    const { upstream, forwarder, lines } = setUp();
    upstream.refusals.push(new ServerBusyError("server busy", 30_000));
    forwarder.start();
    await until(() => expect(forwarder.status().state).toBe("waiting"));
    expect(lines.at(-1)?.fields).toMatchObject({ reason: "server busy", retryInMs: 30_000 });
  });

  it("takes a fault of the uplink itself as a loss", async () => {
    const { queue, upstream, forwarder, lines } = setUp();
    upstream.auto = ackAll;
    upstream.refusals.push(new TypeError("undefined is not a function"));
    queue.add("telemetry", ["1"]);
    forwarder.start();
    await until(() => expect(queue.owed("telemetry")).toBe(0));
    expect(lines.some((one) => one.message === "uplink failed unexpectedly" && one.fields["err"])).toBe(true);
  });

  it("is made anew when nothing is acknowledged", async () => {
    const { queue, upstream, forwarder } = setUp({}, { ackTimeoutMs: 60 });
    queue.add("telemetry", numbers(3));
    forwarder.start();
    await until(() => expect(upstream.connections).toHaveLength(2));
    expect(upstream.connections[0]?.closed).toBe(true);
    expect(queue.owed("telemetry")).toBe(3);
    upstream.auto = ackAll;
    await until(() => expect(queue.owed("telemetry")).toBe(0), 3000);
  });

  it("reads on after the queue could not read", async () => {
    const { queue, upstream, forwarder } = setUp();
    upstream.auto = ackAll;
    queue.failing = 4;
    queue.add("telemetry", numbers(3));
    forwarder.start();
    await until(() => expect(queue.owed("telemetry")).toBe(0));
  });
});

describe("status", () => {
  it("is said after each connect, each period, and at stop", async () => {
    const { queue, upstream, forwarder } = setUp({}, { statusEveryMs: 30 });
    upstream.auto = ackAll;
    queue.add("events", numbers(4));
    forwarder.start();
    await until(() => expect(upstream.statuses().length).toBeGreaterThanOrEqual(3));
    await until(() => expect(queue.owed("events")).toBe(0));
    await forwarder.stop();
    const all = upstream.statuses();
    expect(upstream.sent[0]?.message).toMatchObject({ topic: "gw/status", retain: true, qos: 1 });
    expect(all[0]).toMatchObject({ type: "status", state: "online", gateway: "gw", uplink: "cloud", boot: "boot-1" });
    expect(all.at(-1)).toEqual({
      type: "status",
      state: "offline",
      gateway: "gw",
      uplink: "cloud",
      ts: 1_732_300_000_000,
      boot: "boot-1",
      streams: {
        events: { epoch: "1a2b3c4d", chain: "c1", lastTaken: 4, lastAcked: 4 },
        telemetry: { epoch: "1a2b3c4d", chain: "c1", lastTaken: 0, lastAcked: 0 },
      },
    });
  });

  it("does not pile up when it is refused", async () => {
    const { upstream, forwarder } = setUp({}, { statusEveryMs: 5 });
    upstream.auto = () => ({ kind: "retry", reason: "not authorized", afterMs: 60_000 });
    forwarder.start();
    await until(() => expect(upstream.statuses().length).toBeGreaterThan(20));
    expect(forwarder.status().retrying).toBe(0);
  });
});

describe("stop", () => {
  it("waits for what is in flight, and sends nothing new", async () => {
    const { queue, upstream, forwarder } = setUp({}, { drainMs: 5000 });
    upstream.auto = (message) => (message.topic === "gw/status" ? { kind: "ack" } : undefined);
    queue.add("telemetry", numbers(100));
    forwarder.start();
    await until(() => expect(upstream.records()).toHaveLength(8));
    const stopping = forwarder.stop();
    for (const one of upstream.records()) one.answer();
    await stopping;
    expect(queue.settled("telemetry")).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(upstream.records()).toHaveLength(8);
    expect(upstream.statuses().at(-1)).toMatchObject({ state: "offline" });
    expect(upstream.connection.closed).toBe(true);
    expect(forwarder.status()).toMatchObject({ state: "stopped", inFlight: 0 });
  });

  it("ends though nothing is acknowledged, and start goes on where it was", async () => {
    const { queue, upstream, forwarder } = setUp({}, { drainMs: 20, farewellMs: 20 });
    queue.add("telemetry", numbers(20));
    forwarder.start();
    await until(() => expect(upstream.sent.length).toBeGreaterThan(7));
    await forwarder.stop();
    await forwarder.stop();
    expect(queue.owed("telemetry")).toBe(20);
    upstream.auto = ackAll;
    forwarder.start();
    await until(() => expect(queue.owed("telemetry")).toBe(0));
  });

  it("ends though the queue never answers", async () => {
    const { queue, upstream, forwarder } = setUp({}, { drainMs: 20 });
    upstream.auto = ackAll;
    queue.settleGate = new Promise(() => {});
    queue.add("telemetry", numbers(20));
    forwarder.start();
    await until(() => expect(upstream.records()).toHaveLength(8));
    await forwarder.stop();
    expect(queue.owed("telemetry")).toBe(20);
  });

  it("ends while it connects, while it waits, and before it was started", async () => {
    const never = setUp();
    await never.forwarder.stop();
    const waiting = setUp({}, { backoff: { baseMs: 60_000, capMs: 60_000, stableMs: 1 } });
    waiting.upstream.refusals.push(new NotConnectedError("no"), new NotConnectedError("no"));
    waiting.forwarder.start();
    await until(() => expect(waiting.forwarder.status().state).toBe("waiting"));
    await waiting.forwarder.stop();
    const connecting = setUp();
    connecting.forwarder.start();
    await connecting.forwarder.stop();
    expect(connecting.forwarder.status().state).toBe("stopped");
  });
});
