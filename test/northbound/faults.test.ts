import { afterEach, describe, expect, it } from "vitest";
import type { Clock } from "../../gateway/core/clock.ts";
import { noMetrics } from "../../gateway/core/metrics.ts";
import { valuesEncoder } from "../../gateway/northbound/encoders/values.ts";
import { Forwarder } from "../../gateway/northbound/forwarder.ts";
import type { ForwarderOptions } from "../../gateway/northbound/options.ts";
import { topicMapper } from "../../gateway/northbound/topics.ts";
import { ListQueue } from "../fakes/list-queue.ts";
import { type Script, StrictBroker } from "../support/strict-broker.ts";
import { mqttUplink, recordingLogger } from "./mqtt/harness.ts";
import { until } from "./until.ts";

/** Forwarder and MQTT uplink together, against a server that misbehaves as servers do. */

const clock: Clock = { bootId: "boot-1", now: () => ({ wallMs: 1_732_300_000_000, monoMs: 1, clock: "synced" }) };
const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

async function setUp(script: Script, mqtt: Record<string, unknown> = {}, options: Partial<ForwarderOptions> = {}) {
  const broker = await new StrictBroker(script).listen();
  const queue = new ListQueue();
  const { log, lines } = recordingLogger();
  const forwarder = new Forwarder({
    name: "cloud",
    queue,
    gatewayId: "gw",
    uplink: () => mqttUplink({ url: broker.url, ...mqtt }, { log }),
    encoder: valuesEncoder,
    topics: topicMapper("{topic}", "gw"),
    clock,
    log,
    metrics: noMetrics,
    options: {
      backoff: { baseMs: 1, capMs: 5, stableMs: 30_000 },
      drainMs: 20,
      farewellMs: 20,
      retryBaseMs: 1,
      retryCapMs: 10,
      ...options,
    },
  });
  stops.push(() => broker.close());
  stops.push(() => forwarder.stop());
  /** Starts, and waits for what is expected then. */
  const startAnd = async (expectation: () => void, timeout = 5000) => {
    forwarder.start();
    await until(expectation, timeout);
  };
  return { broker, queue, forwarder, lines, startAnd };
}

const numbers = (count: number) => Array.from({ length: count }, (_, i) => String(i + 1));
const idsOf = (broker: StrictBroker) => broker.records.map((one) => String(one.properties?.userProperties?.["id"]));
const drained = (queue: ListQueue, timeout = 8000) => until(() => expect(queue.owed("telemetry")).toBe(0), timeout);

describe("a server that", () => {
  it("accepts and never acknowledges: connects anew, removes nothing, sends at most a window twice", async () => {
    const { broker, queue, startAnd } = await setUp({ puback: () => ({ ack: false }) }, { ackTimeout: "150ms" });
    queue.add("telemetry", numbers(200));
    await startAnd(() => expect(broker.sessions.length).toBeGreaterThanOrEqual(3));
    expect(queue.owed("telemetry")).toBe(200);
    const sent = broker.records.length;
    expect(new Set(idsOf(broker)).size).toBeLessThanOrEqual(64);
    expect(sent).toBeLessThanOrEqual(64 * broker.sessions.length);
    broker.script = {};
    await drained(queue);
    expect(new Set(idsOf(broker)).size).toBe(200);
    expect(broker.violations).toEqual([]);
  });

  it("cuts the connection before its answers: loses nothing, and a resend keeps its id", async () => {
    let count = 0;
    const { broker, queue, startAnd } = await setUp({
      puback: (_, session) => {
        if (++count % 20 !== 0 || count > 3000) return { ack: true };
        session.socket.destroy();
        return { ack: false };
      },
    });
    queue.add("telemetry", numbers(2000));
    await startAnd(() => expect(queue.owed("telemetry")).toBe(0), 10_000);
    const byId = new Map<string, Set<string>>();
    for (const one of broker.records) {
      const id = String(one.properties?.userProperties?.["id"]);
      byId.set(id, (byId.get(id) ?? new Set()).add(one.payload.toString()));
    }
    expect(byId.size).toBe(2000);
    expect([...byId.values()].every((bodies) => bodies.size === 1)).toBe(true);
    expect(broker.sessions.length).toBeGreaterThan(20);
    expect(broker.violations).toEqual([]);
  });

  it("answers in reverse, twice, and for what was never sent: settles exactly what was acknowledged", async () => {
    let last = 0;
    const { broker, queue, startAnd } = await setUp({
      puback: ({ messageId, payload }, session) => {
        session.puback(last);
        session.puback(60_000);
        last = messageId ?? 0;
        return payload.toString() === "7" ? { ack: false } : { ack: true, afterMs: 3 - (last % 3) };
      },
    });
    queue.add("telemetry", numbers(300));
    await startAnd(() => expect(queue.owed("telemetry")).toBeLessThanOrEqual(1));
    const acked = new Set(queue.settled("telemetry"));
    for (const seq of acked) expect(broker.records.some((one) => one.payload.toString() === String(seq))).toBe(true);
  });

  it("refuses some for now and some for good: the former arrive, exactly the latter are rejected", async () => {
    const codes: Record<string, number> = { "10": 0x80, "20": 0x83, "30": 0x97, "40": 0x90, "50": 0x99, "60": 0x10 };
    const tries = new Map<string, number>();
    const { broker, queue, startAnd } = await setUp({
      puback: ({ payload }) => {
        const text = payload.toString();
        const code = codes[text];
        tries.set(text, (tries.get(text) ?? 0) + 1);
        if (code === undefined) return { ack: true };
        const transient = [0x80, 0x83, 0x97].includes(code);
        return { ack: true, code: transient && (tries.get(text) ?? 0) > 4 ? 0 : code };
      },
    });
    queue.add("telemetry", numbers(300));
    await startAnd(() => expect(queue.owed("telemetry")).toBe(0));
    expect(queue.rejected.map(({ seq, reason }) => [seq, reason]).sort()).toEqual([
      [40, "0x90 topic name invalid"],
      [50, "0x99 payload format invalid"],
    ]);
    expect([tries.get("10"), tries.get("40"), tries.get("60")]).toEqual([5, 3, 1]);
    expect(broker.sessions).toHaveLength(1);
  });

  it.each([1, 2, 20])("takes %i at once: never gets more, and gets all", async (receiveMaximum) => {
    const { broker, queue, startAnd } = await setUp({ properties: { receiveMaximum } });
    queue.add("telemetry", numbers(500));
    await startAnd(() => expect(queue.owed("telemetry")).toBe(0));
    expect(broker.maxUnacked).toBeLessThanOrEqual(receiveMaximum);
    expect(broker.violations).toEqual([]);
    expect(broker.records.map((one) => one.payload.toString())).toEqual(numbers(500));
  });

  it("takes only small packets: the large ones are rejected once, without a loop of connections", async () => {
    const { broker, queue, startAnd } = await setUp({ properties: { maximumPacketSize: 200 } });
    queue.add("telemetry", ["a", "b".repeat(300), "c", "d".repeat(10_000), "e"]);
    await startAnd(() => expect(queue.owed("telemetry")).toBe(0));
    expect(queue.rejected.map((one) => one.seq)).toEqual([2, 4]);
    expect(broker.records.map((one) => one.payload.toString())).toEqual(["a", "c", "e"]);
    // The status has a few hundred bytes, and is refused here as well, without a trace on the wire.
    expect(broker.violations).toEqual([]);
    expect(broker.sessions).toHaveLength(1);
  });

  it("hands our client id to another: alarm, and no fight over it", async () => {
    const { broker, queue, forwarder, startAnd } = await setUp({ connected: (session) => session.kick(0x8e) });
    queue.add("telemetry", ["1"]);
    await startAnd(() => expect(forwarder.status().alarm).toMatch(/another client uses the client id/));
    expect(forwarder.status().state).toBe("waiting");
    expect(broker.sessions).toHaveLength(1);
    expect(queue.owed("telemetry")).toBe(1);
  });

  it.each([0x86, 0x87])("refuses the login with %i: alarm, one attempt", async (connack) => {
    const { broker, forwarder, lines, startAnd } = await setUp({ connack });
    await startAnd(() => expect(forwarder.status().alarm).toMatch(/refused the connection/));
    expect(broker.sessions).toHaveLength(1);
    expect(lines.filter((one) => one.level === "error")).toHaveLength(1);
  });

  it("closes right after CONNACK: pauses grow, nothing is lost", async () => {
    let closes = 0;
    const { broker, queue, lines, startAnd } = await setUp({
      connected: (session) => {
        if (++closes <= 100) session.socket.destroy();
      },
    });
    queue.add("telemetry", numbers(20));
    await startAnd(() => expect(queue.owed("telemetry")).toBe(0), 10_000);
    expect(broker.sessions.length).toBeGreaterThan(100);
    expect(lines.filter((one) => one.level === "warn").length).toBeLessThan(20);
  });

  it("goes silent without a word: is found, and delivery goes on elsewhere", async () => {
    const { broker, queue, startAnd } = await setUp(
      { deaf: true, puback: (_, session) => ({ ack: session !== broker.sessions[0] }) },
      { keepalive: "1s" },
    );
    queue.add("telemetry", numbers(5));
    await startAnd(() => expect(queue.owed("telemetry")).toBe(0), 6000);
    expect(broker.sessions.length).toBeGreaterThanOrEqual(2);
  });

  it("knows only MQTT 3.1.1: gets the envelope in the body", async () => {
    const { broker, queue, startAnd } = await setUp({ only: 4 });
    queue.add("telemetry", ['{"n":1}']);
    await startAnd(() => expect(queue.owed("telemetry")).toBe(0));
    expect(JSON.parse(broker.records[0]?.payload.toString() ?? "")).toEqual({
      _m: { id: "gw/telemetry/1a2b3c4d/1", prev: 0, chain: "c1", clock: "synced" },
      payload: { n: 1 },
    });
  });

  it("comes and goes every few messages: the backlog shrinks each time", async () => {
    const { broker, queue, startAnd } = await setUp({
      connected: (session) => {
        setTimeout(() => session.socket.destroy(), 30);
      },
      puback: () => ({ ack: true, afterMs: 1 }),
    });
    queue.add("telemetry", numbers(8000));
    await startAnd(() => expect(broker.sessions.length).toBeGreaterThanOrEqual(5), 8000);
    expect(queue.owed("telemetry")).toBeLessThan(8000);
    const duplicates = broker.records.length - new Set(idsOf(broker)).size;
    expect(duplicates).toBeLessThanOrEqual(64 * broker.sessions.length);
  });
});
