import { describe, expect, it } from "vitest";
import { MAX_FILTERS, MAX_SESSIONS, MemoryPersistence } from "../../gateway/broker/persistence.ts";
import { MAX_RETAINED, MAX_RETAINED_BYTES } from "../../gateway/broker/retained.ts";
import { MAX_OFFLINE, type StoredPacket } from "../../gateway/broker/session.ts";

async function make(connected: Record<string, unknown> = Object.create(null)) {
  const dropped: string[] = [];
  const released: string[] = [];
  const forgotten: string[] = [];
  const persistence = new MemoryPersistence({
    onDropped: (kind, clientId) => dropped.push(clientId === undefined ? kind : `${kind} ${clientId}`),
    onReleased: (clientId, packetId) => released.push(`${clientId} ${packetId}`),
    onForgotten: (clientId) => forgotten.push(clientId),
  });
  await persistence.setup({ id: "broker", clients: connected });
  return { persistence, dropped, released, forgotten };
}

function message(number: number, payload = "x", topic = "a/b"): StoredPacket {
  return { cmd: "publish", topic, payload: Buffer.from(payload), qos: 1, brokerId: "broker", brokerCounter: number };
}

async function collect(stream: AsyncIterable<StoredPacket>): Promise<StoredPacket[]> {
  const packets: StoredPacket[] = [];
  for await (const packet of stream) packets.push(packet);
  return packets;
}

const numbers = (packets: readonly StoredPacket[]) => packets.map((packet) => packet.brokerCounter);
const c = { id: "c" };

describe("sessions", () => {
  it("keep what is owed in order, until the client acknowledged it", async () => {
    const { persistence } = await make();
    await persistence.addSubscriptions(c, [{ topic: "a/+", qos: 1 }]);
    for (const number of [1, 2, 3]) {
      await persistence.outgoingEnqueueCombi(await persistence.subscriptionsByTopic("a/b"), message(number));
    }
    await persistence.outgoingUpdate(c, { ...message(2), messageId: 20 });
    await persistence.outgoingClearMessageId(c, { cmd: "puback", messageId: 99 });
    await persistence.outgoingClearMessageId(c, message(1));
    expect(numbers(await collect(persistence.outgoingStream(c)))).toEqual([1, 2, 3]);
    expect((await collect(persistence.outgoingStream(c))).map((packet) => packet.dup === true)).toEqual([
      false,
      true,
      false,
    ]);
    await persistence.outgoingClearMessageId(c, { cmd: "puback", messageId: 20 });
    expect(numbers(await collect(persistence.outgoingStream(c)))).toEqual([1, 3]);
  });

  it("send PUBREL again where the message was received", async () => {
    const { persistence } = await make();
    await persistence.addSubscriptions(c, [{ topic: "a/b", qos: 2 }]);
    await persistence.outgoingEnqueue({ clientId: "c" }, message(1));
    await persistence.outgoingUpdate(c, { ...message(1), messageId: 5 });
    await persistence.outgoingUpdate(c, { cmd: "pubrel", messageId: 5 });
    expect((await collect(persistence.outgoingStream(c))).map((packet) => packet.cmd)).toEqual(["pubrel"]);
    await persistence.outgoingClearMessageId(c, { cmd: "pubcomp", messageId: 5 });
    expect(await collect(persistence.outgoingStream(c))).toEqual([]);
  });

  it("are bounded in messages and in bytes, each and all together", async () => {
    const { persistence, dropped } = await make();
    await persistence.addSubscriptions(c, [{ topic: "#", qos: 1 }]);
    for (let number = 1; number <= MAX_OFFLINE + 5; number += 1) {
      await persistence.outgoingEnqueue({ clientId: "c" }, message(number));
    }
    expect(await collect(persistence.outgoingStream(c))).toHaveLength(MAX_OFFLINE);
    expect(dropped).toEqual(Array(5).fill("offline c"));
    // Each has room for two of these, all together have 64 MiB.
    let kept = 0;
    for (let index = 0; index < 100; index += 1) {
      const id = `big-${index}`;
      await persistence.addSubscriptions({ id }, [{ topic: "#", qos: 1 }]);
      for (let number = 0; number < 3; number += 1) {
        await persistence.outgoingEnqueue({ clientId: id }, message(number, "y".repeat(400 * 1024)));
      }
      kept += (await collect(persistence.outgoingStream({ id }))).length;
    }
    expect(kept).toBe(Math.ceil((64 * 1024) / 400));
    expect(dropped.filter((line) => line === "offline big-0")).toHaveLength(1);
    expect(dropped.filter((line) => line === "offline big-99")).toHaveLength(3);
  });

  it("end with a clean connection, and their subscriptions with them", async () => {
    const { persistence, forgotten } = await make();
    await persistence.addSubscriptions(c, [{ topic: "a/b", qos: 1 }]);
    await persistence.outgoingEnqueue({ clientId: "c" }, message(1));
    await persistence.cleanSubscriptions(c);
    await persistence.cleanIncoming(c);
    expect(forgotten).toEqual(["c"]);
    expect(await persistence.subscriptionsByTopic("a/b")).toEqual([]);
    expect(await collect(persistence.outgoingStream(c))).toEqual([]);
    expect(persistence.sessions).toBe(0);
  });

  it("do not keep what was never granted, nor more filters than allowed", async () => {
    const { persistence } = await make();
    const filters = [
      "$share/g/a",
      "a\0",
      "a+",
      ...Array.from({ length: MAX_FILTERS + 10 }, (_, index) => `f/${index}`),
    ];
    await persistence.addSubscriptions(
      c,
      filters.map((topic) => ({ topic, qos: 1 })),
    );
    const kept = await persistence.subscriptionsByClient(c);
    expect(kept).toHaveLength(MAX_FILTERS);
    expect(kept[0]).toEqual({ topic: "f/0", qos: 1 });
    await persistence.removeSubscriptions(c, ["f/0", "f/unknown"]);
    expect(await persistence.subscriptionsByTopic("f/0")).toEqual([]);
  });

  it("make room by ending the one that was away longest", async () => {
    const { persistence, dropped } = await make({ "s-0": {} });
    for (let index = 0; index < MAX_SESSIONS; index += 1) await persistence.subscriptionsByClient({ id: `s-${index}` });
    await persistence.subscriptionsByClient({ id: "s-1" });
    await persistence.subscriptionsByClient({ id: "new" });
    expect(persistence.sessions).toBe(MAX_SESSIONS);
    expect(dropped).toEqual(["session s-2"]);
  });

  it("remember QoS 2 messages until PUBREL", async () => {
    const { persistence, released } = await make();
    const packet = { ...message(0), messageId: 9 };
    await expect(persistence.incomingGetPacket(c, packet)).rejects.toThrow("no such packet");
    await persistence.incomingStorePacket(c, packet);
    expect((await persistence.incomingGetPacket(c, packet)).messageId).toBe(9);
    await persistence.incomingDelPacket(c, packet);
    await expect(persistence.incomingDelPacket(c, packet)).rejects.toThrow("no such packet");
    expect(released).toEqual(["c 9", "c 9"]);
  });
});

describe("retained messages", () => {
  it("are found by name and by wildcard, replaced, and removed by an empty payload", async () => {
    const { persistence } = await make();
    for (const topic of ["a/b", "a/c", "$x/b"]) await persistence.storeRetained(message(1, topic, topic));
    await persistence.storeRetained(message(2, "new", "a/b"));
    await persistence.storeRetained(message(3, "", "a/c"));
    const payloads = async (...filters: string[]) =>
      (await collect(persistence.createRetainedStreamCombi(filters))).map((packet) => String(packet.payload));
    expect(await payloads("a/b")).toEqual(["new"]);
    expect(await payloads("#")).toEqual(["new"]);
    expect(await payloads("$share/g/#", "$x/+")).toEqual(["$x/b"]);
    expect(await payloads("nothing/#")).toEqual([]);
  });

  it("are bounded in number", async () => {
    const { persistence, dropped } = await make();
    for (let index = 0; index <= MAX_RETAINED; index += 1)
      await persistence.storeRetained(message(1, "x", `t/${index}`));
    expect(persistence.retained.size).toBe(MAX_RETAINED);
    expect(dropped).toEqual(["retained"]);
    await persistence.storeRetained(message(1, "y", "t/0"));
    expect(dropped).toHaveLength(1);
  });

  it("are bounded in bytes, and never serve an old message for one they had no room for", async () => {
    const { persistence, dropped } = await make();
    const big = "z".repeat(1024 * 1024 - 10);
    await persistence.storeRetained(message(1, "old", "t/last"));
    for (let index = 0; index < 15; index += 1) await persistence.storeRetained(message(1, big, `t/${index}`));
    await persistence.storeRetained(message(1, big, "t/last"));
    expect(dropped).toEqual([]);
    await persistence.storeRetained(message(1, `${big}${big}`, "t/last"));
    expect(dropped).toEqual(["retained"]);
    expect(persistence.retained.bytes).toBeLessThanOrEqual(MAX_RETAINED_BYTES);
    expect(await collect(persistence.createRetainedStreamCombi(["t/last"]))).toEqual([]);
  });
});
