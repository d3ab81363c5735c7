import { afterEach, describe, expect, it } from "vitest";
import { SessionPeer } from "../support/session-peer.ts";
import { folder } from "./session-support.ts";
import {
  cleanUp,
  cleanUpAll,
  connected,
  connectPacket,
  publishPacket,
  RawClient,
  startBroker,
  textOf,
  waitFor,
} from "./support.ts";

afterEach(cleanUpAll);

const FILTER = "plans/line-1/#";
const TOPIC = "plans/line-1/order";

function peer(id: string): SessionPeer {
  const made = new SessionPeer(id);
  cleanUp(() => made.drop());
  return made;
}

async function offlineLine(port: number, qos: 1 | 2 = 2): Promise<SessionPeer> {
  const line = peer("line-1");
  await line.connect(port);
  await line.subscribe(FILTER, qos);
  await line.drop();
  return line;
}

const upTo = (last: number) => Array.from({ length: last }, (_, index) => `${index + 1}`);
const textsOf = ({ got }: SessionPeer) => got.map(({ text }) => text);

describe("a line that was offline", () => {
  it("gets what waits before what comes in meanwhile, each once, and over a restart of the broker", async () => {
    const path = folder();
    const first = await startBroker({ sessions: { maxMessages: 5000 } }, [], path);
    const line = await offlineLine(first.port);
    const planner = peer("planner");
    await planner.connect(first.port);
    let acknowledged = 0;
    const publish = (from: number, to: number) => {
      for (let n = from; n <= to; n++)
        planner.publish(TOPIC, `${n}`, n % 20 === 0 ? 2 : 1, false, () => acknowledged++);
    };
    publish(1, 500);
    await waitFor(() => acknowledged === 500, "500 acknowledged");
    await first.broker.stop();
    const { port, broker } = await startBroker({ sessions: { maxMessages: 5000 } }, [], path);
    expect(broker.status()).toMatchObject({
      sessions: 1,
      kept: { messages: 500 },
      journal: { healthy: true, lostLines: 0 },
    });
    await planner.connect(port);
    publish(501, 1000);
    expect(await line.connect(port)).toBe(true);
    publish(1001, 1500);
    await waitFor(() => line.got.length >= 1500 && acknowledged === 1500, "1500 plans");
    expect(textsOf(line)).toEqual(upTo(1500));
    await waitFor(() => broker.status().kept.messages === 0, "all acknowledged by the line");
  });

  it("costs an fsync before each acknowledgement; what nobody keeps costs none", async () => {
    const { port, broker } = await startBroker({}, [], folder());
    await offlineLine(port, 1);
    const fsyncs = () => broker.status().journal?.fsyncs ?? 0;
    const planner = await connected(port, { clientId: "planner" });
    const before = fsyncs();
    for (let n = 1; n <= 5; n++) {
      planner.send(publishPacket(TOPIC, `${n}`, 1, n));
      await planner.until("puback", n);
      expect(fsyncs()).toBe(before + n);
    }
    for (let n = 6; n <= 10; n++) planner.send(publishPacket("other", `${n}`, 1, n));
    await planner.until("puback", 10);
    expect(fsyncs()).toBe(before + 5);
    for (let n = 11; n <= 40; n++) planner.send(publishPacket(TOPIC, `${n}`, 1, n));
    await planner.until("puback", 40);
    expect(fsyncs()).toBeLessThan(before + 20);
  });

  it("gets in order what came while it did not read, without a new connection", async () => {
    const { port, broker } = await startBroker({ sessions: { maxBytes: "64MiB", maxMessages: 5000 } }, []);
    const line = new RawClient(port);
    line.send(connectPacket({ clientId: "line-1", clean: false }));
    await line.until("connack");
    line.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: FILTER, qos: 1 }] });
    await line.until("suback");
    line.socket.pause();
    const planner = await connected(port, { clientId: "planner" });
    const filler = "x".repeat(60_000);
    for (let n = 1; n <= 200; n++) planner.send(publishPacket(TOPIC, `${n} ${filler}`, 1, n));
    await planner.until("puback", 200);
    await waitFor(() => broker.status().kept.messages === 200, "200 kept");
    line.socket.resume();
    const got = await line.until("publish", 200);
    expect(got.map((packet) => ("payload" in packet ? String(packet.payload).split(" ")[0] : ""))).toEqual(upTo(200));
    expect(broker.status().kept.dropped).toBe(0);
  });

  it("has a message once that two of its filters match, one of them with QoS 0", async () => {
    const { port, broker } = await startBroker({}, []);
    const line = peer("line-1");
    await line.connect(port);
    await line.subscribe("plans/#", 0);
    await line.subscribe(FILTER, 1);
    const planner = await connected(port, { clientId: "planner" });
    for (let n = 1; n <= 20; n++) planner.send(publishPacket(TOPIC, `${n}`, 1, n));
    await planner.until("puback", 20);
    await waitFor(() => line.got.length >= 20 && broker.status().kept.messages === 0, "all taken");
    expect(line.got.map(({ text, qos }) => [text, qos])).toEqual(upTo(20).map((text) => [text, 1]));
  });

  it("gets what the gateway itself publishes, and its retained messages", async () => {
    const path = folder();
    const first = await startBroker({}, [], path);
    const line = await offlineLine(first.port, 1);
    const payload = (text: string) => new TextEncoder().encode(text);
    for (const text of upTo(50))
      await first.broker.publish({ topic: TOPIC, payload: payload(text), qos: 1, retain: false });
    await first.broker.publish({ topic: "shift", payload: payload("late"), qos: 1, retain: true });
    await first.broker.stop();
    await expect(first.broker.publish({ topic: TOPIC, payload: payload("x"), qos: 1, retain: false })).rejects.toThrow(
      "not started",
    );
    const { port } = await startBroker({}, [], path);
    await line.connect(port);
    await waitFor(() => line.got.length >= 50, "what waited");
    await line.subscribe("shift", 1);
    await waitFor(() => line.got.length >= 51, "the retained message");
    expect(textsOf(line)).toEqual([...upTo(50), "late"]);
    expect(line.got.at(-1)).toMatchObject({ retain: true, qos: 1 });
  });

  it("that has no more room is told of in the events", async () => {
    const { port, queue, broker } = await startBroker({ sessions: { maxMessages: 3 } }, []);
    const line = await offlineLine(port, 1);
    const planner = await connected(port, { clientId: "planner" });
    for (let n = 1; n <= 10; n++) planner.send(publishPacket(TOPIC, `${n}`, 1, n));
    await planner.until("puback", 10);
    await waitFor(() => queue.stored.length > 0, "an event");
    const { stream, record } = queue.stored[0] ?? {};
    expect(stream).toBe("events");
    expect(record?.content).toMatchObject({ topic: "gw/broker/dropped" });
    expect(record && JSON.parse(textOf(record))).toMatchObject({
      reason: "session-full",
      client: "line-1",
      messages: 7,
    });
    expect(broker.status().kept).toMatchObject({ messages: 3, dropped: 7 });
    await line.connect(port);
    await waitFor(() => line.got.length >= 3, "what was kept");
    expect(textsOf(line)).toEqual(upTo(3));
  });
});
