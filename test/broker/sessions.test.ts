import {
  closeSync,
  copyFileSync,
  fstatSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { collect, folder, type Kept, keptSessions, texts } from "./session-support.ts";
import { cleanUpAll } from "./support.ts";

afterEach(cleanUpAll);

const line = { id: "line-1", clean: false };
const planner = { id: "planner", clean: false };

/** A publish as it comes from a client, all the way through. */
async function publish(
  kept: Kept,
  text: string,
  wants: { qos?: number; retain?: boolean; id?: number; topic?: string } = {},
) {
  const { qos = 1, retain = false, id = 1, topic = "plans/line-1" } = wants;
  const packet = { cmd: "publish", topic, payload: Buffer.from(text), qos, retain, messageId: id };
  await kept.keeper.admit(planner, packet);
  return packet;
}

async function subscribed(kept: Kept, qos = 2): Promise<void> {
  await kept.persistence.addSubscriptions(line, [{ topic: "plans/#", qos }]);
}

const waiting = async (kept: Kept) => texts(await collect(kept.persistence.outgoingStream({ id: line.id })));

describe("sessions over a restart", () => {
  it("are as they were: subscriptions, what waits in order, retained messages", async () => {
    const path = folder();
    const first = await keptSessions({ path });
    await subscribed(first);
    for (const n of [1, 2, 3]) await publish(first, `plan ${n}`, { id: n });
    await publish(first, "red", { topic: "lamp", retain: true });
    await publish(first, "green", { topic: "lamp", retain: true });
    await publish(first, "gone", { topic: "horn", retain: true });
    await publish(first, "", { topic: "horn", retain: true });
    // Not closed: what was promised is on disk already.
    const second = await keptSessions({ path });
    expect(second.loss).toBeUndefined();
    expect(await second.persistence.subscriptionsByClient(line)).toEqual([{ topic: "plans/#", qos: 2 }]);
    expect(await waiting(second)).toEqual(["plan 1", "plan 2", "plan 3"]);
    expect(texts(await collect(second.persistence.createRetainedStream("#")))).toEqual(["green"]);
  });

  it("keep the packet identifier of a message and what the client has of it", async () => {
    const path = folder();
    const first = await keptSessions({ path });
    await subscribed(first);
    for (const n of [1, 2, 3]) await publish(first, `plan ${n}`, { qos: 2, id: n });
    const handed = await collect(first.persistence.outgoingStream(line));
    const ids = handed.map(({ messageId }) => messageId);
    expect(new Set(ids).size).toBe(3);
    await first.persistence.outgoingUpdate(line, { cmd: "pubrel", messageId: ids[0] });
    await first.persistence.outgoingUpdate(line, { cmd: "pubrel", messageId: ids[1] });
    await first.persistence.outgoingClearMessageId(line, { cmd: "pubcomp", messageId: ids[0] });
    await first.close();
    const second = await keptSessions({ path });
    const again = await collect(second.persistence.outgoingStream(line));
    expect(again.map(({ cmd, messageId }) => [cmd, messageId])).toEqual([
      ["pubrel", ids[1]],
      ["publish", ids[2]],
    ]);
    await publish(second, "plan 4", { id: 4 });
    const all = await collect(second.persistence.outgoingStream(line));
    expect(new Set(all.map(({ messageId }) => messageId)).size).toBe(3);
    expect(ids).not.toContain(all[2]?.messageId);
  });

  it("take a QoS 2 message once, and its identifier for another one after PUBREL", async () => {
    const path = folder();
    const first = await keptSessions({ path });
    await subscribed(first);
    const packet = await publish(first, "plan 1", { qos: 2, id: 7 });
    await expect(first.persistence.incomingGetPacket(planner, packet)).rejects.toThrow("no such packet");
    const second = await keptSessions({ path });
    const dup = await publish(second, "plan 1", { qos: 2, id: 7 });
    expect((await second.persistence.incomingGetPacket(planner, dup)).messageId).toBe(7);
    expect(await waiting(second)).toEqual(["plan 1"]);
    await second.persistence.incomingDelPacket(planner, dup);
    const third = await keptSessions({ path });
    const next = await publish(third, "plan 2", { qos: 2, id: 7 });
    await expect(third.persistence.incomingGetPacket(planner, next)).rejects.toThrow("no such packet");
    expect(await waiting(third)).toEqual(["plan 1", "plan 2"]);
  });

  it("end for good with a clean connection, and with their time; messages with theirs", async () => {
    const path = folder();
    let now = 1e12;
    const wants = { path, wallMs: () => now, options: { sessions: { maxAge: "1h", expiry: "2h" } } };
    const first = await keptSessions(wants);
    await subscribed(first);
    await first.persistence.addSubscriptions({ id: "gone" }, [{ topic: "plans/#", qos: 1 }]);
    await publish(first, "old");
    await first.persistence.cleanSubscriptions({ id: "gone" });
    const second = await keptSessions(wants);
    expect([...second.store.sessions.keys()]).toEqual([line.id]);
    now += 3_500_000;
    await publish(second, "new");
    now += 200_000;
    second.keeper.expire();
    expect(await waiting(second)).toEqual(["new"]);
    expect(second.dropped).toMatchObject([{ reason: "too-old", clientId: line.id, messages: 1 }]);
    now += 7_200_000;
    second.keeper.expire();
    expect(second.dropped.at(-1)).toMatchObject({ reason: "session-expired", clientId: line.id });
    await second.close();
    expect((await keptSessions(wants)).store.sessions.size).toBe(0);
  });

  it("grant no more than was subscribed for, and number what only came later", async () => {
    const kept = await keptSessions();
    await subscribed(kept, 1);
    await publish(kept, "plan", { qos: 2 });
    const [packet] = await collect(kept.persistence.outgoingStream(line));
    expect(packet).toMatchObject({ qos: 1, messageId: 1, dup: false });
  });

  it("are written anew when the file is mostly of the past, while more comes in", async () => {
    const path = folder();
    const kept = await keptSessions({ path });
    await subscribed(kept);
    const filler = "x".repeat(50_000);
    for (let n = 1; n <= 120; n += 1) {
      await Promise.all([publish(kept, `${n} ${filler}`, { id: n }), publish(kept, `${n} late ${filler}`, { id: n })]);
      const owed = await collect(kept.persistence.outgoingStream({ id: line.id }));
      for (const packet of n === 120 ? [] : owed) await kept.persistence.outgoingClearMessageId(line, packet);
    }
    await kept.close();
    expect(statSync(join(path, "broker-sessions")).size).toBeLessThan(4 * 1024 * 1024);
    const again = await keptSessions({ path });
    expect(again.loss).toBeUndefined();
    expect((await waiting(again)).map((text) => text.slice(0, 8))).toEqual(["120 xxxx", "120 late"]);
  });
});

describe("a damaged journal", () => {
  const file = (path: string) => join(path, "broker-sessions");
  /** A life that leaves 20 plans, and the folder. */
  async function left(): Promise<string> {
    const path = folder();
    const kept = await keptSessions({ path });
    await subscribed(kept);
    for (let n = 1; n <= 20; n += 1) await publish(kept, `plan ${n}`, { id: n });
    await kept.close();
    return path;
  }

  it("that is cut short says how many lines are missing, and keeps the others", async () => {
    const path = await left();
    const text = readFileSync(file(path), "utf8");
    truncateSync(file(path), text.indexOf(Buffer.from("plan 15").toString("base64")));
    const kept = await keptSessions({ path });
    expect(kept.loss).toMatchObject({
      lines: 6,
      cut: true,
      before: { messages: 20 },
      now: { sessions: 1, messages: 14 },
    });
    expect(await waiting(kept)).toEqual(Array.from({ length: 14 }, (_, index) => `plan ${index + 1}`));
    await publish(kept, "plan 21");
    const again = await keptSessions({ path });
    expect(again.loss).toBeUndefined();
    expect((await waiting(again)).at(-1)).toBe("plan 21");
  });

  it("with a flipped bit or zeros costs the lines that are hit", async () => {
    for (const bytes of [1, 600]) {
      const path = await left();
      const at = readFileSync(file(path), "utf8").indexOf(Buffer.from("plan 7").toString("base64"));
      const handle = openSync(file(path), "r+");
      writeSync(handle, Buffer.alloc(bytes), 0, bytes, at);
      expect(fstatSync(handle).size).toBeGreaterThan(0);
      closeSync(handle);
      const kept = await keptSessions({ path });
      const there = await waiting(kept);
      expect(there).not.toContain("plan 7");
      expect(there.length + (kept.loss?.lines ?? 0)).toBe(20);
      expect(kept.loss).toMatchObject({ cut: false, before: { messages: 20 }, aside: `${file(path)}.damaged` });
    }
  });

  it("that is gone says what there was, and one that is something else does not keep it from starting", async () => {
    const path = await left();
    rmSync(file(path));
    const gone = await keptSessions({ path });
    expect(gone.loss).toMatchObject({ cut: true, before: { sessions: 1, messages: 20 }, now: { sessions: 0 } });
    await gone.close();
    writeFileSync(file(path), Buffer.alloc(4096));
    expect((await keptSessions({ path })).loss).toMatchObject({ aside: `${file(path)}.damaged` });
  });

  it("of a newer version is left alone", async () => {
    const path = await left();
    const copy = `${file(path)}.copy`;
    const { crc32 } = await import("node:zlib");
    const json = '{"i":1,"k":"head","version":2,"number":9}';
    writeFileSync(file(path), `${crc32(json).toString(16).padStart(8, "0")} ${json}\n`);
    copyFileSync(file(path), copy);
    await expect(keptSessions({ path })).rejects.toThrow("newer version");
    expect(readFileSync(file(path))).toEqual(readFileSync(copy));
  });
});

describe("a message that cannot be written", () => {
  it("is not acknowledged and kept for nobody; when the disk is back, all is as it was", async () => {
    const path = folder();
    const kept = await keptSessions({ path });
    await subscribed(kept);
    await publish(kept, "plan 1", { id: 1 });
    await kept.close();
    // The file is closed: every write fails from here on, until it is written anew.
    await expect(publish(kept, "plan 2", { qos: 2, id: 2 })).rejects.toThrow("cannot be written");
    expect(await waiting(kept)).toEqual(["plan 1"]);
    expect(kept.journal.healthy).toBe(false);
    await publish(kept, "plan 2", { qos: 2, id: 2 });
    expect(kept.journal.healthy).toBe(true);
    const again = await keptSessions({ path });
    expect(again.loss).toBeUndefined();
    expect(await waiting(again)).toEqual(["plan 1", "plan 2"]);
  });
});
