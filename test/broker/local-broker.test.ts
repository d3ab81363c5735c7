import { connect, connectAsync } from "mqtt";
import { afterEach, describe, expect, it } from "vitest";
import { ConfigError } from "../../gateway/core/errors.ts";
import {
  cleanUp,
  cleanUpAll,
  connected,
  makeBroker,
  publishPacket,
  RawClient,
  roundTrip,
  startBroker,
  waitFor,
} from "./support.ts";

afterEach(cleanUpAll);

async function mqttClient(url: string, options: object = {}) {
  const client = await connectAsync(url, { reconnectPeriod: 0, ...options });
  cleanUp(() => client.endAsync(true));
  return client;
}

describe("listeners", () => {
  it.each(["0.0.0.0", "::", "192.0.2.1"])("on %s are a configuration error that names them", async (host) => {
    const { broker } = makeBroker({ listeners: [{ host, port: 18_830 }] });
    await expect(broker.start()).rejects.toThrow(ConfigError);
    await expect(broker.start()).rejects.toThrow(
      new RegExp(`${host.replaceAll(".", "\\.")} port 18830.*127\\.0\\.0\\.1`),
    );
    expect(broker.addresses()).toEqual([]);
  });

  it("open all or none, and may be tried again", async () => {
    const taken = await startBroker();
    const { broker } = makeBroker({ listeners: [{ port: 0 }, { port: taken.port }] });
    await expect(broker.start()).rejects.toThrow(/another program listens there/);
    expect(broker.status().listening).toBe(false);
    await taken.broker.stop();
    await broker.start();
    cleanUp(() => broker.stop());
    expect(broker.addresses()).toHaveLength(2);
    expect(broker.addresses()[1]).toEqual({ host: "127.0.0.1", port: taken.port });
    for (const { port } of broker.addresses()) await connected(port, { clientId: `${port}` });
  });

  it("name a capture filter that is not valid", async () => {
    const { broker } = makeBroker({}, [{ topics: ["a/#/b"] }]);
    await expect(broker.start()).rejects.toThrow(ConfigError);
  });
});

describe("mqtt.js clients", () => {
  it("exchange messages of every QoS", async () => {
    const { url, queue } = await startBroker();
    const got: string[] = [];
    const reader = await mqttClient(url);
    reader.on("message", (topic, payload, packet) => got.push(`${topic} ${payload.toString()} ${packet.qos}`));
    await reader.subscribeAsync("plant/#", { qos: 2 });
    const writer = await mqttClient(url);
    for (const qos of [0, 1, 2] as const) await writer.publishAsync("plant/a", `${qos}`, { qos });
    await waitFor(() => got.length === 3, "three messages");
    expect(got.sort()).toEqual(["plant/a 0 0", "plant/a 1 1", "plant/a 2 2"]);
    await waitFor(() => queue.stored.length === 3, "three records");
  });

  it("of a kept session get what they missed, at most what a session keeps", async () => {
    const { url, port } = await startBroker();
    const options = { clientId: "hmi", clean: false };
    const first = await mqttClient(url, options);
    await first.subscribeAsync("free/#", { qos: 1 });
    await first.endAsync();
    const writer = await connected(port, { clientId: "writer" });
    const sent = 1000 + 50;
    for (let id = 1; id <= sent; id += 1) writer.send(publishPacket("free/a", `${id}`, 1, id));
    await writer.until("puback", sent);
    await roundTrip(writer);
    const got: string[] = [];
    const again = connect(url, { reconnectPeriod: 0, ...options });
    again.on("message", (_topic, payload) => got.push(payload.toString()));
    cleanUp(() => again.endAsync(true));
    await waitFor(() => got.length >= 1000, "what was missed");
    expect(got).toEqual(Array.from({ length: 1000 }, (_, index) => `${index + 1}`));
  });
});

describe("live values", () => {
  it("reach local subscribers and never the queue", async () => {
    const { broker, queue, port } = await startBroker();
    const reader = await connected(port);
    reader.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "plant/+", qos: 0 }] });
    await reader.until("suback");
    for (let n = 0; n < 100; n += 1) broker.publishLive("plant/a", new TextEncoder().encode(`${n}`));
    await reader.until("publish", 100);
    const payloads = reader.of("publish").map((packet) => packet.cmd === "publish" && packet.payload.toString());
    expect(payloads).toEqual(Array.from({ length: 100 }, (_, n) => `${n}`));
    expect(queue.calls).toEqual([]);
  });

  it("are dropped before start and after stop, and never throw", async () => {
    const { broker } = makeBroker();
    broker.publishLive("plant/a", Buffer.from("x"));
    await broker.start();
    for (let n = 0; n < 5000; n += 1) broker.publishLive("plant/a", Buffer.from("x"));
    broker.publishLive(Array(500).fill("a").join("/"), Buffer.from("x"));
    await broker.stop();
    broker.publishLive("plant/a", Buffer.from("x"));
  });
});

describe("a subscriber that does not read", () => {
  it("does not stall the others", async () => {
    const { broker, port, log } = await startBroker();
    const frozen = await connected(port, { clientId: "frozen" });
    const reader = await connected(port, { clientId: "reader" });
    for (const client of [frozen, reader]) {
      client.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "free/#", qos: 1 }] });
      await client.until("suback");
    }
    frozen.socket.pause();
    const writer = await connected(port, { clientId: "writer" });
    const payload = "x".repeat(20_000);
    for (let round = 0; round < 40; round += 1) {
      for (let n = 1; n <= 40; n += 1) writer.send(publishPacket("free/a", payload, 1, round * 40 + n));
      await reader.until("publish", (round + 1) * 40);
    }
    await writer.until("puback", 1600);
    broker.publishLive("free/live", Buffer.from("live"));
    await reader.until("publish", 1601);
    expect(log).toContainEqual(expect.objectContaining({ fields: { clientId: "frozen" }, level: "warn" }));
  });
});

describe("stop", () => {
  it("acknowledges what is just being stored, then closes everything", async () => {
    const { broker, queue, port } = await startBroker();
    queue.auto = false;
    const client = await connected(port);
    const half = new RawClient(port);
    half.sendBytes(Buffer.from([0x10]));
    client.send(publishPacket("plant/a", "one", 1, 4));
    await waitFor(() => queue.calls.length === 1 && broker.status().connections === 2, "append");
    const stopped = broker.stop();
    const again = broker.stop();
    queue.calls[0]?.resolve();
    await Promise.all([stopped, again]);
    await client.untilClosed();
    await half.untilClosed();
    expect(client.ids("puback")).toEqual([4]);
    expect(broker.status()).toMatchObject({ listening: false, connections: 0, clients: 0, pending: 0 });
    expect(broker.addresses()).toEqual([]);
    await new RawClient(port).untilClosed();
  });

  it("does not wait for ever for a queue that does not answer, nor for one that refuses", async () => {
    const { broker, queue, port } = await startBroker();
    queue.auto = false;
    const client = await connected(port);
    client.send(publishPacket("plant/a", "one", 1, 4));
    await waitFor(() => queue.calls.length === 1, "append");
    await broker.stop();
    await client.untilClosed();
    expect(client.of("puback")).toEqual([]);
    queue.calls[0]?.resolve();
  });

  it("is idempotent, and the broker can be started again", async () => {
    const { broker, queue } = makeBroker();
    await broker.stop();
    for (let round = 0; round < 3; round += 1) {
      await broker.start();
      const client = await connected(broker.addresses()[0]?.port ?? 0, { clientId: "c" });
      client.send(publishPacket("plant/a", `${round}`, 1, 1));
      await client.until("puback");
      await broker.stop();
      await broker.stop();
    }
    expect(queue.texts).toEqual(["0", "1", "2"]);
  });
});
