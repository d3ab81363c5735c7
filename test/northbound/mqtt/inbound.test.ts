import { afterEach, describe, expect, it, vi } from "vitest";
import type { Downlink, Incoming, Outgoing, Taken, Uplink, Verdict } from "../../../gateway/core/uplink.ts";
import { mqttModule } from "../../../gateway/northbound/mqtt/module.ts";
import { type Script, type Session, StrictBroker } from "../../support/strict-broker.ts";
import { context, live, mqttUplink, recordingLogger } from "./harness.ts";

const open: { uplinks: Uplink[]; brokers: StrictBroker[] } = { uplinks: [], brokers: [] };
afterEach(async () => {
  for (const uplink of open.uplinks.splice(0)) await uplink.close();
  for (const broker of open.brokers.splice(0)) {
    expect(broker.violations).toEqual([]);
    await broker.close();
  }
});

const ACCEPT = [
  { from: "acme/{gateway}/cmd/#", to: "cmd/#" },
  { from: "plans/#", qos: 0 },
];

async function start(script: Script, downlink: Downlink, options: object = {}) {
  const broker = await new StrictBroker(script).listen();
  const { log, lines } = recordingLogger();
  const uplink = mqttUplink({ url: broker.url, accept: ACCEPT, ...options }, { downlink, log });
  open.brokers.push(broker);
  open.uplinks.push(uplink);
  const lost: Error[] = [];
  await uplink.connect((error) => lost.push(error), live());
  await vi.waitFor(() => expect(broker.session.subscribe).toBeDefined());
  return { broker, uplink, lines, lost };
}

function give(session: Session, messageId: number, over: object = {}): void {
  const packet = { topic: "acme/gw/cmd/press/write", payload: Buffer.from(`n${messageId}`), qos: 1 as const };
  session.write({ cmd: "publish", messageId, retain: false, dup: false, ...packet, ...over });
}

/** Takes messages, and settles them as it is told. */
class Taker implements Downlink {
  readonly taken: Incoming[] = [];
  readonly settle: { resolve: () => void; reject: (error: Error) => void }[] = [];
  take(message: Incoming): Promise<Taken> {
    this.taken.push(message);
    return new Promise((resolve, reject) => this.settle.push({ resolve: () => resolve("kept"), reject }));
  }
}

describe("the session of an uplink that accepts", () => {
  it("is kept, and asks never to be given its own, with the retain flag as it was set", async () => {
    const { broker } = await start({}, new Taker(), { sessionExpiry: "2d" });
    expect(broker.session.connect).toMatchObject({
      clean: false,
      clientId: "millrace-gw-cloud",
      properties: { sessionExpiryInterval: 172_800, receiveMaximum: 64 },
    });
    expect(broker.session.subscribe?.subscriptions).toMatchObject([
      { topic: "acme/gw/cmd/#", qos: 1, nl: true, rap: true, rh: 1 },
      { topic: "plans/#", qos: 0 },
    ]);
  });

  it("is kept with 3.1.1 too", async () => {
    const { broker } = await start({ only: 4 }, new Taker());
    expect(broker.session.connect).toMatchObject({ protocolVersion: 4, clean: false });
    expect(broker.session.subscribe?.subscriptions).toMatchObject([{ qos: 1 }, { qos: 0 }]);
  });

  it("is missed when the server has not kept it", async () => {
    const broker = await new StrictBroker({}).listen();
    open.brokers.push(broker);
    const { log, lines } = recordingLogger();
    const options = mqttModule.schema.parse({ url: broker.url, accept: ACCEPT });
    for (const times of [0, 1]) {
      const uplink = mqttModule.create(options, context({ downlink: new Taker(), log }));
      await uplink.connect(() => {}, live());
      await uplink.close();
      expect(lines.filter(({ message }) => message.includes("did not keep our session"))).toHaveLength(times);
    }
  });

  it("tells which subscription is refused, and goes on", async () => {
    const { uplink, lines } = await start({ suback: [0x87, 0] }, new Taker());
    await vi.waitFor(() => expect(uplink.notice?.()).toContain("acme/gw/cmd/# (0x87 not authorized)"));
    expect(lines.some(({ level }) => level === "error")).toBe(true);
  });
});

describe("a message that comes down", () => {
  it("is acknowledged when it was kept, in the order of arrival, whatever is kept first", async () => {
    const taker = new Taker();
    const { broker } = await start({}, taker);
    for (const id of [7, 3, 9]) give(broker.session, id);
    await vi.waitFor(() => expect(taker.settle).toHaveLength(3));
    taker.settle[2]?.resolve();
    taker.settle[1]?.resolve();
    // A message of QoS 0 goes through behind them: nothing was acknowledged meanwhile.
    give(broker.session, 0, { qos: 0, topic: "plans/1" });
    await vi.waitFor(() => expect(taker.taken).toHaveLength(4));
    expect(broker.session.pubacks).toEqual([]);
    taker.settle[0]?.resolve();
    await vi.waitFor(() => expect(broker.session.pubacks).toEqual([7, 3, 9]));
  });

  it("has what its sender said of the answer", async () => {
    const taker = new Taker();
    const { broker } = await start({}, taker);
    const userProperties = { id: "other/1", tag: ["a", "b"] };
    give(broker.session, 1, {
      retain: true,
      properties: { responseTopic: "answers/1", correlationData: Buffer.from([0, 255]), userProperties },
    });
    await vi.waitFor(() => expect(taker.taken).toHaveLength(1));
    expect(taker.taken[0]).toEqual({
      topic: "acme/gw/cmd/press/write",
      payload: Buffer.from("n1"),
      qos: 1,
      retain: true,
      responseTopic: "answers/1",
      correlation: Buffer.from([0, 255]),
      properties: [
        ["id", "other/1"],
        ["tag", "a"],
        ["tag", "b"],
      ],
    });
  });

  it("is tried again when it could not be kept, and is not acknowledged before", async () => {
    const taker = new Taker();
    const { broker } = await start({}, taker);
    give(broker.session, 5);
    await vi.waitFor(() => expect(taker.settle).toHaveLength(1));
    taker.settle[0]?.reject(new Error("the disk is full"));
    await vi.waitFor(() => expect(taker.settle).toHaveLength(2), { timeout: 3000 });
    expect(broker.session.pubacks).toEqual([]);
    taker.settle[1]?.resolve();
    await vi.waitFor(() => expect(broker.session.pubacks).toEqual([5]));
  });

  it("that is too long for a server of 3.1.1 to know is passed over and acknowledged", async () => {
    const taker = new Taker();
    const { broker, lines, lost } = await start({ only: 4 }, taker);
    give(broker.session, 1, { payload: Buffer.alloc(1_200_000) });
    give(broker.session, 2);
    await vi.waitFor(() => expect(taker.settle).toHaveLength(1));
    taker.settle[0]?.resolve();
    await vi.waitFor(() => expect(broker.session.pubacks).toEqual([1, 2]));
    expect(taker.taken[0]?.payload).toEqual(Buffer.from("n2"));
    expect(lines.find(({ level }) => level === "error")?.fields).toMatchObject({ topic: "acme/gw/cmd/press/write" });
    expect(lost).toEqual([]);
  });

  it("is still acknowledged while the uplink closes, and none is begun then", async () => {
    const taker = new Taker();
    const { broker, uplink } = await start({}, taker);
    give(broker.session, 1);
    await vi.waitFor(() => expect(taker.settle).toHaveLength(1));
    const closed = uplink.close();
    await vi.waitFor(() => expect(taker.settle).toHaveLength(1));
    taker.settle[0]?.resolve();
    await closed;
    await vi.waitFor(() => expect(broker.session.pubacks).toEqual([1]));
  });
});

describe("an answer on its way up", () => {
  const outgoing = (over: Partial<Outgoing>): Outgoing => ({
    ...{ topic: "answers/1", payload: Buffer.from("{}"), qos: 1, retain: false, properties: [] },
    ...over,
  });
  async function sent(uplink: Uplink, message: Outgoing): Promise<Verdict> {
    return await new Promise((resolve, reject) => {
      uplink.send([message], (_, verdict) => resolve(verdict), live()).catch(reject);
    });
  }

  it("carries correlation data", async () => {
    const { broker, uplink } = await start({}, new Taker());
    expect(await sent(uplink, outgoing({ correlation: Buffer.from([1, 0, 200]) }))).toEqual({ kind: "ack" });
    expect(broker.publishes[0]?.properties?.correlationData).toEqual(Buffer.from([1, 0, 200]));
  });

  it("counts as delivered where the server or the protocol refuses it", async () => {
    const { uplink } = await start({ puback: () => ({ ack: true, code: 0x87 }) }, new Taker());
    expect(await sent(uplink, outgoing({ optional: true }))).toEqual({ kind: "ack" });
    expect(await sent(uplink, outgoing({ optional: true, topic: "a/#" }))).toEqual({ kind: "ack" });
    expect(await sent(uplink, outgoing({}))).toMatchObject({ kind: "retry", alarm: true });
  });
});
