import { afterEach, describe, expect, it } from "vitest";
import type { StoredPacket } from "../../gateway/broker/session.ts";
import { MAX_FILTERS } from "../../gateway/broker/session-store.ts";
import { collect, keptSessions, message } from "./session-support.ts";
import { cleanUpAll } from "./support.ts";

afterEach(cleanUpAll);

const MAX_MESSAGES = 100;
const make = (options: object = {}) => keptSessions({ options });
const numbers = (packets: readonly StoredPacket[]) => packets.map((packet) => packet.brokerCounter);
const reasons = (dropped: readonly { reason: string; clientId?: string }[]) =>
  dropped.map(({ reason, clientId }) => (clientId === undefined ? reason : `${reason} ${clientId}`));
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
    // Another connection: what was handed to the one before may have been sent.
    expect((await collect(persistence.outgoingStream({ id: "c" }))).map((packet) => packet.dup)).toEqual([
      true,
      true,
      true,
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
    const { persistence, dropped } = await make({ sessions: { maxMessages: 100, maxTotalBytes: "8MiB" } });
    await persistence.addSubscriptions(c, [{ topic: "#", qos: 1 }]);
    for (let number = 1; number <= MAX_MESSAGES + 5; number += 1) {
      await persistence.outgoingEnqueue({ clientId: "c" }, message(number));
    }
    expect(await collect(persistence.outgoingStream(c))).toHaveLength(MAX_MESSAGES);
    expect(reasons(dropped)).toEqual(Array(5).fill("session-full c"));
    // Each has room for two of these, all together have 8 MiB.
    let kept = 0;
    for (let index = 0; index < 15; index += 1) {
      const id = `big-${index}`;
      await persistence.addSubscriptions({ id }, [{ topic: "#", qos: 1 }]);
      for (let number = 0; number < 3; number += 1) {
        await persistence.outgoingEnqueue({ clientId: id }, message(number, "y".repeat(400 * 1024)));
      }
      kept += (await collect(persistence.outgoingStream({ id }))).length;
    }
    expect(kept).toBe(Math.floor((8 * 1024) / 401));
    expect(reasons(dropped).filter((line) => line === "session-full big-0")).toHaveLength(1);
    expect(reasons(dropped).filter((line) => line === "sessions-full big-14")).toHaveLength(3);
  });

  it("end with a clean connection, and their subscriptions with them", async () => {
    const { persistence, store, forgotten } = await make();
    await persistence.addSubscriptions(c, [{ topic: "a/b", qos: 1 }]);
    await persistence.outgoingEnqueue({ clientId: "c" }, message(1));
    await persistence.cleanSubscriptions(c);
    await persistence.cleanIncoming(c);
    expect(forgotten).toEqual(["c"]);
    expect(await persistence.subscriptionsByTopic("a/b")).toEqual([]);
    expect(await collect(persistence.outgoingStream(c))).toEqual([]);
    expect(store.sessions.size).toBe(0);
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
    const { persistence, keeper, store, dropped } = await make({ sessions: { maxSessions: 5 } });
    for (let index = 0; index < 5; index += 1) {
      const id = `s-${index}`;
      await persistence.subscriptionsByClient({ id });
      await persistence.addSubscriptions({ id }, [{ topic: "a", qos: 1 }]);
    }
    keeper.joined("s-0");
    await persistence.subscriptionsByClient({ id: "s-1" });
    await persistence.subscriptionsByClient({ id: "new" });
    expect([...store.sessions.keys()]).toEqual(["s-0", "s-3", "s-4", "s-1", "new"]);
    expect(reasons(dropped)).toEqual(["session-evicted s-2"]);
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
    const { persistence, store, dropped } = await make({ retained: { maxMessages: 5 } });
    for (let index = 0; index <= 5; index += 1) await persistence.storeRetained(message(1, "x", `t/${index}`));
    expect(store.retained.size).toBe(5);
    expect(reasons(dropped)).toEqual(["retained-full"]);
    await persistence.storeRetained(message(1, "y", "t/0"));
    expect(reasons(dropped)).toHaveLength(1);
  });

  it("are bounded in bytes, and never serve an old message for one they had no room for", async () => {
    const { persistence, store, dropped } = await make();
    const big = "z".repeat(1024 * 1024 - 10);
    await persistence.storeRetained(message(1, "old", "t/last"));
    for (let index = 0; index < 15; index += 1) await persistence.storeRetained(message(1, big, `t/${index}`));
    await persistence.storeRetained(message(1, big, "t/last"));
    expect(reasons(dropped)).toEqual([]);
    await persistence.storeRetained(message(1, `${big}${big}`, "t/last"));
    expect(reasons(dropped)).toEqual(["retained-full"]);
    expect(store.retained.bytes).toBeLessThanOrEqual(16 * 1024 * 1024);
    expect(await collect(persistence.createRetainedStreamCombi(["t/last"]))).toEqual([]);
  });
});
