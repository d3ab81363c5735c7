import { generate } from "mqtt-packet";
import { afterEach, describe, expect, it } from "vitest";
import {
  cleanUpAll,
  connected,
  connectPacket,
  publishPacket,
  RawClient,
  roundTrip,
  startBroker,
  waitFor,
} from "./support.ts";

afterEach(cleanUpAll);

/** A PUBLISH whose topic may be any bytes. */
function rawPublish(topic: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from([0, topic.length]), topic, Buffer.from([0, 1]), Buffer.from("x")]);
  return Buffer.concat([Buffer.from([0x32, body.length]), body]);
}

describe("the guard", () => {
  it("cuts a hundred sockets that announce 256 MB, at the header and without keeping memory", async () => {
    const { port, broker } = await startBroker({ limits: { maxConnections: 300, maxConnectionsPerAddress: 300 } });
    const before = process.memoryUsage();
    const clients = Array.from({ length: 100 }, () => new RawClient(port));
    for (const client of clients) client.sendBytes(Buffer.from([0x10, 0xff, 0xff, 0xff, 0x7f, 0, 4]));
    for (const client of clients) await client.untilClosed();
    const after = process.memoryUsage();
    expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(5e6);
    expect(broker.status()).toMatchObject({ cut: 100, connections: 0 });
  });

  it("cuts an oversize PUBLISH of a connected client too, with one line in the log", async () => {
    const { port, log } = await startBroker({ limits: { maxPacket: "1KiB" } });
    for (const clientId of ["a", "b", "c"]) {
      const client = await connected(port, { clientId });
      client.send(publishPacket("free/x", "y".repeat(900), 1, 1));
      await client.until("puback");
      client.send(publishPacket("free/x", "y".repeat(1100), 1, 2));
      await client.untilClosed();
    }
    expect(log.filter((line) => line.level === "warn")).toHaveLength(1);
  });

  it.each([
    ["no byte at all", []],
    ["one byte", [0x10]],
    ["a CONNECT that lacks its end", [...generate(connectPacket()).subarray(0, 15)]],
  ])("closes a connection that sends %s in time", async (_what, bytes) => {
    const { port, broker, log } = await startBroker({ limits: { connectTimeout: "150ms" } });
    const slow = new RawClient(port);
    slow.sendBytes(Buffer.from(bytes));
    const client = await connected(port);
    await slow.untilClosed();
    await roundTrip(client);
    expect(broker.status()).toMatchObject({ connections: 1, clients: 1, cut: 1 });
    expect(log).toContainEqual(
      expect.objectContaining({ fields: expect.objectContaining({ reason: "connect-timeout" }) }),
    );
  });

  it("takes a CONNECT that arrives byte by byte", async () => {
    const { port } = await startBroker();
    const client = new RawClient(port);
    client.socket.setNoDelay(true);
    for (const byte of generate(connectPacket())) client.sendBytes(Buffer.from([byte]));
    await client.until("connack");
  });

  it("limits connections from one address and in all, and lets in again who left", async () => {
    const { port, broker } = await startBroker({ limits: { maxConnections: 10, maxConnectionsPerAddress: 2 } });
    const first = await connected(port, { clientId: "1" });
    await connected(port, { clientId: "2" });
    const third = new RawClient(port);
    await third.untilClosed();
    await first.end();
    await waitFor(() => broker.status().connections === 1, "left");
    await connected(port, { clientId: "4" });
    const crowded = await startBroker({ limits: { maxConnections: 1, maxConnectionsPerAddress: 5 } });
    await connected(crowded.port);
    await new RawClient(crowded.port).untilClosed();
    expect(crowded.broker.status().connections).toBe(1);
  });

  it("takes everything a client sends right behind its CONNECT", async () => {
    const { port, queue } = await startBroker();
    const client = new RawClient(port);
    const publishes = Array.from({ length: 1500 }, (_, index) => publishPacket("plant/a", `${index}`, 1, index + 1));
    client.send(connectPacket(), ...publishes);
    await client.until("puback", 1500);
    expect(queue.texts).toEqual(publishes.map((_, index) => `${index}`));
  });

  it.each([
    ["bytes that are not UTF-8", Buffer.from([0xc3, 0x28])],
    ["a surrogate", Buffer.from([0xed, 0xa0, 0x80])],
    ["U+0000", Buffer.from("a\0b")],
    ["a wildcard", Buffer.from("a/#")],
    ["a reserved topic", Buffer.from("$SYS/x")],
    ["101 levels", Buffer.from(Array(101).fill("").join("/"))],
  ])("refuses a topic with %s", async (_what, topic) => {
    const { port, queue } = await startBroker({}, [{ topics: ["#", "$SYS/#"] }]);
    const client = await connected(port);
    client.sendBytes(rawPublish(topic));
    await client.untilClosed();
    expect(client.of("puback")).toEqual([]);
    expect(queue.calls).toEqual([]);
  });

  it.each([
    ["U+0000 in the client id", { clientId: "a\0b" }],
    ["a client id without end", { clientId: "c".repeat(5000) }],
  ])("answers %s with return code 2", async (_what, wants) => {
    const { port } = await startBroker();
    const client = await connected(port, wants);
    expect(client.of("connack")).toMatchObject([{ returnCode: 2, sessionPresent: false }]);
    await client.untilClosed();
  });

  it("answers no client id for a session that is kept with return code 2", async () => {
    const { port } = await startBroker();
    const bytes = generate(connectPacket({ clientId: "" }));
    const clean = new RawClient(port);
    clean.sendBytes(bytes);
    await clean.until("connack");
    bytes.writeUInt8(bytes.readUInt8(9) & ~2, 9);
    const kept = new RawClient(port);
    kept.sendBytes(bytes);
    await kept.untilClosed();
    expect([clean, kept].map((client) => client.of("connack")[0])).toMatchObject([
      { returnCode: 0 },
      { returnCode: 2 },
    ]);
  });

  it("answers MQTT 5 with return code 1", async () => {
    const { port } = await startBroker();
    const client = new RawClient(port);
    client.sendBytes(
      generate({ cmd: "connect", protocolId: "MQTT", protocolVersion: 5, clientId: "v5", clean: true, keepalive: 60 }),
    );
    await client.until("connack");
    expect(client.of("connack")).toMatchObject([{ returnCode: 1 }]);
  });

  it.each(["__proto__", "constructor", "hasOwnProperty"])("serves a client and a topic named %s", async (name) => {
    const { port, queue } = await startBroker({}, [{ topics: ["#"] }]);
    for (const clean of [true, false]) {
      const client = await connected(port, { clientId: name, clean });
      client.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: name, qos: 2 }] });
      await client.until("suback");
      client.send(publishPacket(name, name, 2, 7));
      await client.until("pubrec");
      await client.until("publish");
      await client.end();
    }
    expect(queue.texts).toEqual([name, name]);
  });

  it("does not grant shared subscriptions, nor more filters than a client may hold", async () => {
    const { port } = await startBroker({ limits: { maxSubscriptions: 500 } });
    const client = await connected(port, { clean: false });
    const topics = ["$share/g/t", ...Array.from({ length: 510 }, (_, index) => `t/${index}`), "u/ok"];
    client.send({ cmd: "subscribe", messageId: 1, subscriptions: topics.map((topic) => ({ topic, qos: 1 })) });
    const [suback] = await client.until("suback");
    const granted = suback?.cmd === "suback" ? suback.granted : [];
    expect(granted.slice(0, 3)).toEqual([128, 1, 1]);
    expect(granted.filter((code) => code === 128)).toHaveLength(12);
    client.send({ cmd: "unsubscribe", messageId: 2, unsubscriptions: ["t/0"] });
    await client.until("unsuback");
    client.send({ cmd: "subscribe", messageId: 3, subscriptions: [{ topic: "u/ok", qos: 1 }] });
    await client.until("suback", 2);
    expect(client.of("suback")[1]).toMatchObject({ granted: [1] });
  });
});
