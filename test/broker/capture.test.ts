import { generate } from "mqtt-packet";
import { afterEach, describe, expect, it } from "vitest";
import { MAX_LOOSE } from "../../gateway/broker/capture.ts";
import { MAX_PENDING } from "../../gateway/broker/gate.ts";
import { QueueFullError, StorageError } from "../../gateway/core/errors.ts";
import {
  cleanUpAll,
  connected,
  connectPacket,
  publishPacket,
  RawClient,
  roundTrip,
  startBroker,
  textOf,
  waitFor,
} from "./support.ts";

afterEach(cleanUpAll);

const range = (count: number, from = 1) => Array.from({ length: count }, (_, index) => index + from);

describe("a captured message", () => {
  it("is acknowledged only after it was stored", async () => {
    const { queue, port, broker } = await startBroker();
    queue.auto = false;
    const client = await connected(port);
    client.send(publishPacket("plant/a", "one", 1, 11));
    await waitFor(() => queue.calls.length === 1, "append");
    await roundTrip(client);
    expect(client.of("puback")).toEqual([]);
    expect(broker.status().pending).toBe(1);
    queue.calls[0]?.resolve();
    await client.until("puback");
    expect(client.ids("puback")).toEqual([11]);
    expect(broker.status()).toMatchObject({ pending: 0, captured: 1 });
  });

  it("is kept byte for byte, with its topic, QoS, retain flag and time", async () => {
    const { queue, port } = await startBroker();
    const client = await connected(port);
    const payload = Buffer.from(range(256, 0));
    client.send({ cmd: "publish", topic: "plant/é/日", payload, qos: 1, retain: true, dup: false, messageId: 3 });
    client.send({ cmd: "publish", topic: "plant/empty", payload: "", qos: 0, retain: false, dup: false });
    await client.until("puback");
    await waitFor(() => queue.stored.length === 2, "two records");
    const [first, second] = queue.stored;
    expect(first?.stream).toBe("events");
    expect(first?.record).toMatchObject({ durable: true, taken: { clock: "synced" } });
    expect(first?.record.content).toMatchObject({ kind: "message", topic: "plant/é/日", qos: 1, retain: true });
    const content = first?.record.content;
    expect(content?.kind === "message" && Buffer.from(content.payload).equals(payload)).toBe(true);
    expect(second?.record).toMatchObject({ durable: false, content: { topic: "plant/empty", qos: 0 } });
    expect(second && textOf(second.record)).toBe("");
  });

  it("goes once, into the stream of the first rule that matches; others are only forwarded", async () => {
    const { queue, port } = await startBroker({}, [
      { topics: ["plant/alarm/#", "plant/scan"], stream: "events" },
      { topics: ["plant/#"], stream: "telemetry" },
    ]);
    const client = await connected(port);
    for (const [index, topic] of ["plant/alarm/1", "plant/x", "other/x", "plant/scan"].entries()) {
      client.send(publishPacket(topic, topic, 1, index + 1));
    }
    await client.until("puback", 4);
    const got = queue.stored.map(({ stream, record }) => `${stream} ${textOf(record)}`).sort();
    expect(got).toEqual(["events plant/alarm/1", "events plant/scan", "telemetry plant/x"]);
  });

  it("is acknowledged in order, whatever the streams do and whether captured or not", async () => {
    const { queue, port } = await startBroker({}, [
      { topics: ["e/#"], stream: "events" },
      { topics: ["t/#"], stream: "telemetry" },
    ]);
    queue.auto = false;
    const client = await connected(port);
    const topics = ["e/1", "t/2", "free/3", "e/4"];
    client.send(...topics.map((topic, index) => publishPacket(topic, topic, 1, index + 1)));
    await waitFor(() => queue.calls.length === 2, "an append per stream");
    expect(queue.calls.map((call) => call.records.length)).toEqual([2, 1]);
    queue.calls[1]?.resolve();
    await roundTrip(await connected(port, { clientId: "other" }));
    expect(client.of("puback")).toEqual([]);
    queue.calls[0]?.resolve();
    await client.until("puback", 4);
    expect(client.ids("puback")).toEqual([1, 2, 3, 4]);
  });

  it("shares one append with what came while the last was written, in order", async () => {
    const { queue, port, broker } = await startBroker();
    queue.auto = false;
    const clients = [await connected(port, { clientId: "a" }), await connected(port, { clientId: "b" })];
    clients[0]?.send(publishPacket("plant/x", "first"));
    await waitFor(() => queue.calls.length === 1, "first append");
    for (const [index, client] of clients.entries()) {
      client.send(...range(5, 2).map((id) => publishPacket("plant/x", `${index}-${id}`, 1, id)));
      await waitFor(() => broker.status().pending === 1 + 5 * (index + 1), "pending");
      await roundTrip(await connected(port, { clientId: `other-${index}` }));
    }
    queue.calls[0]?.resolve();
    await waitFor(() => queue.calls.length === 2, "second append");
    const second = queue.calls[1];
    expect(second?.records.map(textOf)).toEqual([0, 1].flatMap((c) => range(5, 2).map((id) => `${c}-${id}`)));
    second?.resolve();
    await clients[1]?.until("puback", 5);
  });

  it("waits in the socket once fifty are pending, even within one chunk", async () => {
    const { queue, port, broker } = await startBroker();
    queue.auto = false;
    const client = await connected(port);
    const packets = range(1000).map((id) => generate(publishPacket("plant/x", `${id}`, 1, id)));
    client.sendBytes(Buffer.concat(packets));
    await waitFor(() => broker.status().pending === MAX_PENDING, "pending");
    const other = await connected(port, { clientId: "other" });
    await roundTrip(other);
    expect(broker.status().pending).toBe(MAX_PENDING);
    queue.auto = true;
    for (const call of queue.calls) call.resolve();
    await client.until("puback", 1000);
    expect(client.ids("puback")).toEqual(range(1000));
    expect(queue.texts).toEqual(range(1000).map(String));
  });

  it("bounds the bytes that are pending, but lets one through", async () => {
    const { queue, port, broker } = await startBroker({ limits: { maxPacket: "2MiB" } });
    queue.auto = false;
    const client = await connected(port);
    const big = "x".repeat(1_200_000);
    client.send(publishPacket("plant/x", big, 1, 1), publishPacket("plant/x", big, 1, 2));
    await waitFor(() => queue.calls.length === 1, "append");
    await roundTrip(await connected(port, { clientId: "other" }));
    expect(broker.status().pending).toBe(1);
    queue.auto = true;
    queue.calls[0]?.resolve();
    await client.until("puback", 2);
  });

  it("is never captured again from what the broker retained, nor when the gateway publishes it", async () => {
    const { queue, port, broker } = await startBroker();
    const client = await connected(port);
    client.send({ cmd: "publish", topic: "plant/r", payload: "kept", qos: 1, retain: true, dup: false, messageId: 1 });
    await client.until("puback");
    const reader = await connected(port, { clientId: "reader" });
    reader.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "plant/#", qos: 1 }] });
    await reader.until("publish");
    broker.publishLive("plant/live", Buffer.from("live"));
    await reader.until("publish", 2);
    expect(reader.of("publish").map((packet) => packet.cmd === "publish" && packet.retain)).toEqual([true, false]);
    expect(queue.texts).toEqual(["kept"]);
  });
});

describe("a QoS 2 message", () => {
  it("is stored once until PUBREL, over a new connection of the session too", async () => {
    const { queue, port } = await startBroker();
    const session = { clientId: "s", clean: false };
    let client = await connected(port, session);
    client.send(publishPacket("plant/q", "one", 2, 5));
    await client.until("pubrec");
    client.send(publishPacket("plant/q", "one", 2, 5, true));
    await client.until("pubrec", 2);
    await client.end();
    client = await connected(port, session);
    client.send(publishPacket("plant/q", "one", 2, 5, true));
    await client.until("pubrec");
    expect(queue.texts).toEqual(["one"]);
    client.send({ cmd: "pubrel", messageId: 5 });
    await client.until("pubcomp");
    client.send(publishPacket("plant/q", "two", 2, 5));
    await client.until("pubrec", 2);
    expect(queue.texts).toEqual(["one", "two"]);
  });

  it("gets its PUBREC only after it was stored, a repetition too", async () => {
    const { queue, port } = await startBroker();
    queue.auto = false;
    const client = await connected(port);
    client.send(publishPacket("plant/q", "one", 2, 5), publishPacket("plant/q", "one", 2, 5, true));
    await waitFor(() => queue.calls.length === 1, "append");
    await roundTrip(await connected(port, { clientId: "other" }));
    expect(client.of("pubrec")).toEqual([]);
    expect(queue.calls[0]?.records).toHaveLength(1);
    queue.calls[0]?.resolve();
    await client.until("pubrec", 2);
    expect(queue.calls).toHaveLength(1);
  });

  it("may not be left without PUBREL more than a hundred times", async () => {
    const { queue, port } = await startBroker();
    const client = await connected(port);
    for (const id of range(101)) client.send(publishPacket("plant/q", `${id}`, 2, id));
    await client.untilClosed();
    expect(queue.stored).toHaveLength(100);
  });
});

describe("a will", () => {
  const will = { topic: "plant/gone", payload: Buffer.from("gone"), qos: 1 as const, retain: false };

  it("is captured when its client goes without DISCONNECT, and only then", async () => {
    const { queue, port } = await startBroker();
    const polite = await connected(port, { clientId: "polite", will: { ...will, payload: Buffer.from("polite") } });
    polite.send({ cmd: "disconnect" });
    await polite.untilClosed();
    const gone = await connected(port, { clientId: "gone", will });
    await gone.end();
    await waitFor(() => queue.stored.length === 1, "the will");
    expect(queue.texts).toEqual(["gone"]);
    expect(queue.stored[0]?.record).toMatchObject({ durable: true, content: { topic: "plant/gone", qos: 1 } });
  });

  it("is not said because the gateway stops", async () => {
    const { queue, port, broker } = await startBroker();
    const client = await connected(port, { will });
    await broker.stop();
    await client.untilClosed();
    expect(queue.stored).toEqual([]);
  });

  it("to a topic nobody may publish refuses the connection", async () => {
    const { port } = await startBroker();
    const client = await connected(port, { will: { ...will, topic: "$SYS/x" } });
    expect(client.of("connack")).toMatchObject([{ returnCode: 5 }]);
    await client.untilClosed();
  });
});

describe("a queue that refuses", () => {
  it.each([new QueueFullError("no room"), new StorageError("disk failed")])(
    "holds a message and tries again (%s)",
    async (refusal) => {
      const { queue, port, broker, log } = await startBroker();
      queue.refusal = refusal;
      const client = await connected(port);
      client.send(publishPacket("plant/a", "one", 1, 1), publishPacket("plant/a", "two", 1, 2));
      await waitFor(() => broker.status().holding, "holding");
      const other = await connected(port, { clientId: "other" });
      other.send(publishPacket("elsewhere", "x", 1, 9));
      await other.until("puback");
      expect(client.of("puback")).toEqual([]);
      queue.refusal = undefined;
      await client.until("puback", 2);
      expect(queue.texts).toEqual(["one", "two"]);
      expect(broker.status()).toMatchObject({ holding: false, refused: 0 });
      const told = log.filter((line) => line.message.includes("captured messages"));
      expect(told.map((line) => line.level)).toEqual(["warn", "info"]);
    },
  );

  it("costs the client its connection after half its keepalive, with a line that says why; it may come back", async () => {
    const { queue, port, log, broker } = await startBroker();
    queue.refusal = new QueueFullError("no room");
    const wants = { clientId: "scanner", keepalive: 1 };
    const client = await connected(port, wants);
    client.send(publishPacket("plant/a", "one", 1, 1));
    await client.untilClosed();
    expect(client.of("puback")).toEqual([]);
    expect(broker.status().refused).toBe(1);
    expect(log.filter((line) => line.level === "warn").map((line) => line.fields)).toContainEqual(
      expect.objectContaining({ clientId: "scanner", topic: "plant/a", reason: "no room", cure: expect.any(String) }),
    );
    const again = await connected(port, wants);
    queue.refusal = undefined;
    again.send(publishPacket("plant/a", "one", 1, 1, true));
    await again.until("puback");
    expect(queue.texts).toEqual(["one"]);
  });

  it("takes the part of a batch that finds room, in order", async () => {
    const { queue, port } = await startBroker();
    queue.auto = false;
    const client = await connected(port);
    client.send(...range(8).map((id) => publishPacket("plant/a", `${id}`, 1, id)));
    await waitFor(() => queue.calls.length === 1, "append of all");
    expect(queue.calls[0]?.records).toHaveLength(8);
    queue.calls[0]?.reject(new QueueFullError("no room for so much"));
    await waitFor(() => queue.calls.length === 2, "append of less");
    expect(queue.calls[1]?.records.map(textOf)).toEqual(["1", "2"]);
    queue.auto = true;
    queue.calls[1]?.resolve();
    await client.until("puback", 8);
    expect(queue.texts).toEqual(range(8).map(String));
  });

  it("sheds QoS 0 and counts it", async () => {
    const { queue, port, broker } = await startBroker();
    queue.auto = false;
    const client = await connected(port);
    for (let sent = 0; sent < MAX_LOOSE + 20; sent += 1) client.send(publishPacket("plant/a", "x", 0));
    await waitFor(() => broker.status().shed === 20, "shed");
    queue.auto = true;
    for (const call of queue.calls) call.resolve();
    await waitFor(() => broker.status().captured === MAX_LOOSE, "captured");
    queue.refusal = new QueueFullError("no room");
    client.send(publishPacket("plant/a", "x", 0));
    await waitFor(() => broker.status().shed === 21, "shed by the queue");
    expect(queue.told).toEqual(Array(21).fill({ stream: "events", topic: "plant/a" }));
    expect(client.closed).toBe(false);
  });

  it("with an error of another kind loses only the connections it concerns", async () => {
    const { queue, port, log } = await startBroker();
    queue.refusal = new TypeError("a bug");
    const client = await connected(port);
    client.send(publishPacket("plant/a", "one", 1, 1));
    await client.untilClosed();
    expect(client.of("puback")).toEqual([]);
    expect(log.some((line) => line.level === "error")).toBe(true);
    queue.refusal = undefined;
    const again = new RawClient(port);
    again.send(connectPacket({ clientId: "again" }), publishPacket("plant/a", "one", 1, 1));
    await again.until("puback");
  });
});
