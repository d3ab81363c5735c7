import { connectAsync, type MqttClient } from "mqtt";
import { afterEach, describe, expect, it, vi } from "vitest";
import { LocalBroker } from "../gateway/broker/local-broker.ts";
import { hashPassword } from "../gateway/broker/password.ts";
import { silentLogger } from "../gateway/core/log.ts";
import { brokerOptions, captureOptions } from "../gateway/core/options/broker.ts";
import { LocalTopics } from "../gateway/local-topics.ts";
import { PromMetrics } from "../gateway/system/prom-metrics.ts";
import { clock, FakeQueue } from "./broker/support.ts";
import { startPlant } from "./support/api-plant.ts";

const cleanUp: (() => unknown)[] = [];
afterEach(async () => {
  for (const step of cleanUp.splice(0).reverse()) await step();
});

interface Heard {
  readonly topic: string;
  readonly retain: boolean;
  readonly body: string;
}

async function listen(port: number, filter: string, user?: string): Promise<{ client: MqttClient; heard: Heard[] }> {
  const login = user === undefined ? {} : { username: user, password: "a password" };
  const client = await connectAsync(`mqtt://127.0.0.1:${port}`, { ...login, reconnectPeriod: 0 });
  cleanUp.push(() => client.endAsync(true));
  const heard: Heard[] = [];
  client.on("message", (topic, payload, { retain }) => heard.push({ topic, retain, body: payload.toString() }));
  await client.subscribeAsync(filter, { qos: 1 }).catch(() => {});
  return { client, heard };
}

async function scene(users: object[] = []) {
  const queue = new FakeQueue();
  const metrics = new PromMetrics();
  const broker = new LocalBroker({
    options: brokerOptions.parse({ listeners: [{ port: 0 }], users }),
    capture: captureOptions.parse([{ topics: ["#"] }]),
    queue,
    gatewayId: "gw",
    clock,
    log: silentLogger,
    metrics,
  });
  const state = { health: { ok: true, reasons: [] as string[] } };
  const topics = new LocalTopics({
    gatewayId: "gw",
    version: "1.2.3",
    clock,
    log: silentLogger,
    broker,
    health: () => state.health,
    sysMs: 20,
    lookMs: 10,
  });
  await broker.start();
  cleanUp.push(
    () => broker.stop(),
    () => topics.stop(),
  );
  return { broker, topics, queue, state, metrics, port: () => broker.addresses()[0]?.port ?? 0 };
}

describe("{gateway}/status", () => {
  it("is there for who comes later, tells what changes, and goes offline at the stop", async () => {
    const before = Date.now();
    const { topics, state, port, queue } = await scene();
    topics.start();
    topics.start();
    const { heard } = await listen(port(), "gw/status");
    await vi.waitFor(() => expect(heard).toHaveLength(1));
    const first = JSON.parse(heard[0]?.body ?? "");
    expect(heard[0]?.retain).toBe(true);
    expect(first).toMatchObject({ type: "status", gateway: "gw", state: "online", version: "1.2.3", boot: "test" });
    expect(first.health).toEqual({ ok: true, reasons: [] });
    expect(first.since).toBeGreaterThanOrEqual(before - 1_000);
    expect(first.since).toBeLessThanOrEqual(first.ts + 1);

    state.health = { ok: false, reasons: ["the disk refuses writes to the queue"] };
    await vi.waitFor(() => expect(heard).toHaveLength(2));
    expect(JSON.parse(heard[1]?.body ?? "")).toMatchObject({
      state: "online",
      health: state.health,
      since: first.since,
    });

    await topics.stop();
    await topics.stop();
    await vi.waitFor(() => expect(heard).toHaveLength(3));
    expect(JSON.parse(heard[2]?.body ?? "")).toMatchObject({ state: "offline", gateway: "gw" });
    const late = await listen(port(), "gw/status");
    await vi.waitFor(() => expect(late.heard).toHaveLength(1));
    expect(JSON.parse(late.heard[0]?.body ?? "").state).toBe("offline");
    // The rule captures every topic; what the gateway says itself is no client's message.
    expect(queue.calls).toEqual([]);
  });

  it("is told once the broker is there, and not at all at the stop without one", async () => {
    const published: unknown[] = [];
    let there = false;
    const topics = new LocalTopics({
      gatewayId: "gw",
      version: "1",
      clock: { bootId: "b", now: () => ({ wallMs: 5, monoMs: 7, clock: "unsynced" }) },
      log: silentLogger,
      broker: {
        publish: ({ payload }) => {
          if (!there) return Promise.reject(new Error("not started"));
          published.push(JSON.parse(Buffer.from(payload).toString()));
          return Promise.resolve();
        },
        publishLive: () => {},
        status: () => ({}),
      },
      health: () => ({ ok: true, reasons: [] }),
      lookMs: 5,
    });
    topics.start();
    await vi.waitFor(() => Promise.resolve());
    there = true;
    await vi.waitFor(() => expect(published).toHaveLength(1));
    // A clock that is not set tells no times.
    expect(published).toEqual([
      {
        type: "status",
        gateway: "gw",
        state: "online",
        version: "1",
        health: { ok: true, reasons: [] },
        clock: "unsynced",
        boot: "b",
      },
    ]);
    there = false;
    await topics.stop();
    expect(published).toHaveLength(1);
  });

  it("is offline for who listens while the whole gateway stops", async () => {
    const plant = await startPlant();
    let stopped = false;
    cleanUp.push(() => (stopped ? undefined : plant.stop()));
    const addresses = plant.gateway.summary()["broker"];
    const port = Array.isArray(addresses) ? Number(addresses[0]?.port) : 0;
    const { heard } = await listen(port, "gw-1/#");
    const states = () => heard.filter(({ topic }) => topic === "gw-1/status").map(({ body }) => JSON.parse(body).state);
    await vi.waitFor(() => expect(states()).toEqual(["online"]));
    stopped = true;
    await plant.stop();
    await vi.waitFor(() => expect(states()).toEqual(["online", "offline"]));
  });
});

describe("$SYS/broker", () => {
  it("has figures for users who may have them, for nobody else, and leaves nothing in the queue", async () => {
    const password = await hashPassword("a password");
    const { topics, port, queue, metrics } = await scene([
      { name: "watch", password, subscribe: ["$SYS/broker/#"] },
      { name: "line", password, subscribe: ["#", "plant/#"], publish: ["#"] },
    ]);
    const line = await listen(port(), "#", "line");
    const refused = await line.client.subscribeAsync("$SYS/#").then(
      (grants) => grants.map(({ qos }) => qos),
      () => [128],
    );
    expect(refused).toEqual([128]);
    const watch = await listen(port(), "$SYS/broker/#", "watch");
    topics.start();
    await line.client.publishAsync("plant/a", "12345", { qos: 1 });
    const newest = (topic: string) => watch.heard.findLast((one) => one.topic === `$SYS/broker/${topic}`)?.body;
    await vi.waitFor(() => expect(newest("publish/messages/received")).toBe("1"));
    expect(newest("publish/bytes/received")).toBe("5");
    expect(newest("clients/connected")).toBe("2");
    expect(newest("version")).toBe("millrace 1.2.3");
    expect(Number(newest("uptime"))).toBeGreaterThanOrEqual(0);
    expect(newest("retained messages/count")).toBe("1");
    expect(Number(newest("publish/messages/sent"))).toBeGreaterThan(1);
    expect(watch.heard.every(({ retain }) => !retain)).toBe(true);
    expect(line.heard.map(({ topic }) => topic).filter((topic) => topic.startsWith("$"))).toEqual([]);
    expect(queue.stored.map(({ record }) => record.content)).toMatchObject([{ kind: "message", topic: "plant/a" }]);
    const text = await metrics.text();
    expect(text).toContain('millrace_broker_messages_total{direction="received"} 1\n');
    expect(text).toContain('millrace_broker_payload_bytes_total{direction="received"} 5\n');
  });

  it("may not be published to by anybody", async () => {
    const { port } = await scene();
    const { client } = await listen(port(), "x");
    const closed = new Promise<void>((resolve) => client.once("close", () => resolve()));
    client.publish("$SYS/broker/version", "mine");
    await closed;
  });
});
