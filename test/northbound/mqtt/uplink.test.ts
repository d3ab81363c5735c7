import { afterEach, describe, expect, it, vi } from "vitest";
import { ConfigError, NotConnectedError } from "../../../gateway/core/errors.ts";
import type { Uplink, UplinkContext } from "../../../gateway/core/uplink.ts";
import { ServerBusyError } from "../../../gateway/northbound/busy.ts";
import { mqttModule } from "../../../gateway/northbound/mqtt/module.ts";
import { message, verdicts } from "../../contract/uplink.ts";
import { type Script, StrictBroker } from "../../support/strict-broker.ts";
import { until } from "../until.ts";
import { context, live, mqttUplink, recordingLogger } from "./harness.ts";

const open: { uplinks: Uplink[]; brokers: StrictBroker[] } = { uplinks: [], brokers: [] };
afterEach(async () => {
  for (const uplink of open.uplinks.splice(0)) await uplink.close();
  for (const broker of open.brokers.splice(0)) {
    expect(broker.violations).toEqual([]);
    await broker.close();
  }
});

async function start(
  script: Script,
  options: Record<string, unknown> = {},
  over: Partial<UplinkContext> = {},
): Promise<{ broker: StrictBroker; uplink: Uplink }> {
  const broker = await new StrictBroker(script).listen();
  const uplink = mqttUplink({ url: broker.url, ...options }, over);
  open.brokers.push(broker);
  open.uplinks.push(uplink);
  return { broker, uplink };
}
const nobody = () => {};

describe("CONNECT", () => {
  it("asks for a clean session that ends with the connection, with will and credentials", async () => {
    const { broker, uplink } = await start({}, { username: "u", password: { env: "X" }, keepalive: "20s" });
    await uplink.connect(nobody, live());
    expect(broker.session.connect).toMatchObject({
      protocolVersion: 5,
      clean: true,
      clientId: "millrace-gw-cloud",
      keepalive: 20,
      username: "u",
      properties: { sessionExpiryInterval: 0 },
      will: { topic: "gw/status", qos: 1, retain: true },
    });
    expect(broker.session.connect?.password?.toString()).toBe("hunter2");
  });

  it("falls back to 3.1.1 when the version is refused the new way, the old way, or again and again not at all", async () => {
    for (const [script, asked] of [
      [{ only: 4 }, [5, 4]],
      [{ connack: (packet) => (packet.protocolVersion === 5 ? 0x84 : 0) }, [5, 4]],
      [{ connack: (packet) => (packet.protocolVersion === 5 ? "close" : 0) }, [5, 4, 5, 4]],
    ] satisfies [Script, number[]][]) {
      const { broker, uplink } = await start(script);
      const limits = await uplink.connect(nobody, live());
      expect(broker.sessions.map((one) => one.version)).toEqual(asked);
      expect(limits.properties).toBe(false);
    }
  });

  it("a server that is just being restarted is not taken for one of 3.1.1", async () => {
    // Closes once, is there again at once; then it speaks 5 after all.
    let times = 0;
    const { broker, uplink } = await start({ connack: () => (++times === 1 ? "close" : 0) });
    expect((await uplink.connect(nobody, live())).properties).toBe(true);
    expect(broker.sessions.map((one) => one.version)).toEqual([5, 4, 5]);
  });

  it("one that spoke 5 is not asked for less because it closes, and one of 3.1.1 is known from then on", async () => {
    let script: "close" | 0 | 0x84 = 0;
    const broker = await new StrictBroker({
      connack: ({ protocolVersion }) => (script === 0x84 && protocolVersion === 4 ? 0 : script),
    }).listen();
    open.brokers.push(broker);
    // As the gateway does: a new uplink for each connection, of the same options.
    const options = mqttModule.schema.parse({ url: broker.url });
    const connected = async () => {
      const uplink = mqttModule.create(options, context());
      open.uplinks.push(uplink);
      const { properties } = await uplink.connect(nobody, live());
      await uplink.close();
      return properties;
    };
    const asked = () => broker.sessions.splice(0).map((one) => one.version);
    expect([await connected(), asked()]).toEqual([true, [5]]);
    script = "close";
    await expect(connected()).rejects.toThrow(NotConnectedError);
    expect(asked()).toEqual([5]);
    script = 0;
    expect([await connected(), asked()]).toEqual([true, [5]]);
    script = 0x84;
    expect([await connected(), asked()]).toEqual([false, [5, 4]]);
    expect([await connected(), asked()]).toEqual([false, [4]]);
  });

  it("does not fall back when a version is asked for", async () => {
    const { broker, uplink } = await start({ only: 4 }, { version: 5 });
    await expect(uplink.connect(nobody, live())).rejects.toThrow(ConfigError);
    expect(broker.sessions).toHaveLength(1);
  });

  it("asks for a lesser will when the server has no retained messages or only QoS 0", async () => {
    const script: Script = {
      connack: ({ will }) => (will?.retain ? 0x9a : will?.qos === 1 ? 0x9b : 0),
    };
    const { broker, uplink } = await start(script);
    await uplink.connect(nobody, live());
    expect(broker.session.connect?.will).toMatchObject({ retain: false, qos: 0 });
  });

  it.each([
    [5, 0x85, ConfigError],
    [5, 0x86, ConfigError],
    [5, 0x87, ConfigError],
    [5, 0x8a, ConfigError],
    [5, 0x80, NotConnectedError],
    [5, 0x88, ServerBusyError],
    [5, 0x89, ServerBusyError],
    [5, 0x97, ServerBusyError],
    [5, 0x9f, ServerBusyError],
    [4, 1, ConfigError],
    [4, 2, ConfigError],
    [4, 3, ServerBusyError],
    [4, 4, ConfigError],
    [4, 5, ConfigError],
  ] as const)("version %i, refused with %i", async (version, connack, kind) => {
    const { uplink } = await start({ connack }, { version });
    await expect(uplink.connect(nobody, live())).rejects.toBeInstanceOf(kind);
  });

  it("gives up when there is no CONNACK in time", async () => {
    const { uplink } = await start({ connack: "silent" }, { connectTimeout: "100ms" });
    await expect(uplink.connect(nobody, live())).rejects.toThrow(/no session within 100 ms/);
  });

  it("refuses a server that takes only QoS 0", async () => {
    const { uplink } = await start({ properties: { maximumQoS: 0 } });
    await expect(uplink.connect(nobody, live())).rejects.toThrow(/at least once/);
  });
});

describe("what the server allows", () => {
  it.each([1, 2, 10, 65_535])("never has more than Receive Maximum %i in flight", async (receiveMaximum) => {
    const { broker, uplink } = await start({
      properties: { receiveMaximum },
      puback: () => ({ ack: true, afterMs: 2 }),
    });
    const limits = await uplink.connect(nobody, live());
    expect(limits.inFlight).toBe(Math.min(64, receiveMaximum));
    const { take, kinds } = verdicts();
    const count = receiveMaximum < 10 ? 20 : 300;
    await uplink.send(
      Array.from({ length: count }, (_, i) => message(`m${i}`)),
      take,
      live(),
    );
    await until(() => expect(kinds()).toHaveLength(count), 5000);
    expect(new Set(kinds())).toEqual(new Set(["ack"]));
    expect(broker.maxUnacked).toBe(Math.min(64, receiveMaximum));
  });

  it("rejects what is over Maximum Packet Size and sends the rest", async () => {
    const { broker, uplink } = await start({ properties: { maximumPacketSize: 100 } });
    const limits = await uplink.connect(nobody, live());
    expect(limits.maxBytes).toBe(100);
    const { take, kinds } = verdicts();
    await uplink.send([message("a"), message("b".repeat(100)), message("c")], take, live());
    await until(() => expect(kinds()).toEqual(["ack", "reject", "ack"]));
    expect(broker.records.map((one) => one.payload.toString())).toEqual(["a", "c"]);
  });

  it("clears the retain flag where the server has no retained messages, and where told to strip it", async () => {
    for (const [script, options] of [
      [{ properties: { retainAvailable: false } }, {}],
      [{}, { retain: "strip" }],
    ] as const) {
      const { broker, uplink } = await start(script, options);
      await uplink.connect(nobody, live());
      const { take, kinds } = verdicts();
      await uplink.send([{ ...message("a"), retain: true }], take, live());
      await until(() => expect(kinds()).toEqual(["ack"]));
      expect(broker.records[0]?.retain).toBe(false);
    }
  });

  it("carries properties in MQTT 5, and none where the body has them", async () => {
    for (const [envelope, expected] of [
      ["auto", { id: "a" }],
      [true, undefined],
    ] as const) {
      const { broker, uplink } = await start({}, { envelope });
      await uplink.connect(nobody, live());
      const { take, kinds } = verdicts();
      await uplink.send([message("a")], take, live());
      await until(() => expect(kinds()).toEqual(["ack"]));
      expect(broker.records[0]?.properties?.userProperties).toEqual(expected);
    }
  });

  it("never uses an identifier twice at once, over more than 65,535 messages", async () => {
    let held: number | undefined;
    const { broker, uplink } = await start({
      puback: ({ messageId }) => {
        held ??= messageId;
        return messageId === held ? { ack: false } : { ack: true };
      },
    });
    await uplink.connect(nobody, live());
    let acks = 0;
    const count = 66_000;
    const one = message("x");
    await uplink.send(
      Array.from({ length: count }, () => one),
      () => acks++,
      live(),
    );
    await until(() => expect(acks).toBe(count - 1), 10_000);
    expect(broker.records).toHaveLength(count);
  });
});

describe("PUBACK", () => {
  it.each([
    [0x00, ["ack"]],
    [0x10, ["ack"]],
    [0x80, ["retry"]],
    [0x83, ["retry"]],
    [0x97, ["retry"]],
    [0x87, ["retry"]],
    [0x90, ["retry"]],
    [0x99, ["retry"]],
  ])("reason 0x%s", async (code, expected) => {
    const { uplink } = await start({ puback: () => ({ ack: true, code }) });
    const lost = vi.fn();
    await uplink.connect(lost, live());
    const { take, kinds } = verdicts();
    await uplink.send([message("a")], take, live());
    await until(() => expect(kinds()).toEqual(expected));
    expect(lost).not.toHaveBeenCalled();
  });

  it.each([0x90, 0x99])("rejects for 0x%s at the third try of the same message", async (code) => {
    const { uplink } = await start({ puback: () => ({ ack: true, code }) });
    await uplink.connect(nobody, live());
    const same = message("a");
    const seen: string[] = [];
    for (let i = 0; i < 3; i++) {
      const { take, kinds } = verdicts();
      await uplink.send([same], take, live());
      await until(() => expect(kinds()).toHaveLength(1));
      seen.push(...kinds());
    }
    expect(seen).toEqual(["retry", "retry", "reject"]);
  });

  it("raises an alarm for 0x87, once", async () => {
    const { log, lines } = recordingLogger();
    const { uplink } = await start({ puback: () => ({ ack: true, code: 0x87 }) }, {}, { log });
    await uplink.connect(nobody, live());
    const { take, kinds } = verdicts();
    await uplink.send([message("a"), message("b")], take, live());
    await until(() => expect(kinds()).toEqual(["retry", "retry"]));
    expect(lines.filter((one) => one.level === "error")).toHaveLength(1);
  });

  it("reconnects for 0x91", async () => {
    const { uplink } = await start({ puback: () => ({ ack: true, code: 0x91 }) });
    const lost = vi.fn();
    await uplink.connect(lost, live());
    const { take, kinds } = verdicts();
    await uplink.send([message("a"), message("b")], take, live());
    await until(() => expect(lost).toHaveBeenCalledOnce());
    expect(kinds()).toEqual(["retry", "retry"]);
  });

  it("takes answers in any order and ignores duplicate and unknown ones", async () => {
    const { broker, uplink } = await start({ reverse: 5 });
    await uplink.connect(nobody, live());
    const { take, kinds } = verdicts();
    const order: number[] = [];
    const batch = ["a", "b", "c", "d", "e"].map(message);
    const sending = uplink.send(
      batch,
      (index, verdict) => {
        order.push(index);
        take(index, verdict);
      },
      live(),
    );
    await sending;
    await until(() => expect(order).toEqual([4, 3, 2, 1, 0]));
    for (const id of [1, 1, 2, 999, 60_000]) broker.session.puback(id);
    const next = verdicts();
    broker.script = {};
    await uplink.send([message("f")], next.take, live());
    await until(() => expect(next.kinds()).toEqual(["ack"]));
    expect(kinds()).toEqual(["ack", "ack", "ack", "ack", "ack"]);
  });
});

describe("the end of a connection", () => {
  it("gives the connection up when one PUBACK stays away, though others come", async () => {
    const { uplink } = await start(
      { puback: ({ payload }) => (payload.toString() === "stuck" ? { ack: false } : { ack: true }) },
      { ackTimeout: "200ms" },
    );
    const lost = vi.fn<(error: Error) => void>();
    await uplink.connect(lost, live());
    const { take, kinds } = verdicts();
    await uplink.send([message("stuck"), message("a")], take, live());
    await until(() => expect(lost.mock.calls[0]?.[0].message).toMatch(/a PUBACK is missing/));
    expect(kinds()).toEqual(["retry", "ack"]);
  });

  it("asks a silent server and stays while it answers", async () => {
    const { broker, uplink } = await start({}, { keepalive: "1s" });
    const lost = vi.fn();
    await uplink.connect(lost, live());
    await until(() => expect(broker.session.pings).toBeGreaterThanOrEqual(2), 4000);
    expect(lost).not.toHaveBeenCalled();
  });

  it("finds a dead server within one and a half times the keepalive, and obeys a shorter one of the server", async () => {
    const { uplink } = await start({ deaf: true, properties: { serverKeepAlive: 1 } }, { keepalive: "60s" });
    const lost = vi.fn<(error: Error) => void>();
    await uplink.connect(lost, live());
    await until(() => expect(lost).toHaveBeenCalledOnce(), 5000);
    expect(lost.mock.calls[0]?.[0].message).toMatch(/no sign of life/);
  });

  it.each([
    [0x8b, NotConnectedError, /0x8b server shutting down/],
    [0x8e, ConfigError, /session taken over; another client uses the client id millrace-gw-cloud/],
    [0x97, ServerBusyError, /0x97 quota exceeded/],
  ])("tells the reason of the server's DISCONNECT 0x%s", async (code, kind, text) => {
    const { broker, uplink } = await start({});
    const lost = vi.fn<(error: Error) => void>();
    await uplink.connect(lost, live());
    broker.session.kick(code);
    await until(() => expect(lost).toHaveBeenCalledOnce());
    expect(lost.mock.calls[0]?.[0]).toBeInstanceOf(kind);
    expect(lost.mock.calls[0]?.[0].message).toMatch(text);
  });

  it.each([
    ["a packet type that is reserved", [0x00, 0x00]],
    ["a PUBACK without an identifier", [0x40, 0x01, 0x00]],
    ["a length that is too long", [0x30, 0xff, 0xff, 0xff, 0x7f]],
    ["a DISCONNECT with garbage", [0xe0, 0x03, 0x77, 0xff, 0xff]],
  ])("survives %s", async (_, bytes) => {
    const { broker, uplink } = await start({});
    const lost = vi.fn<(error: Error) => void>();
    await uplink.connect(lost, live());
    broker.session.socket.write(Buffer.from(bytes));
    await until(() => expect(lost).toHaveBeenCalledOnce());
    expect(lost.mock.calls[0]?.[0]).toBeInstanceOf(NotConnectedError);
  });

  it("survives garbage instead of a CONNACK", async () => {
    for (const bytes of [
      [0x20, 0x03, 0x00, 0x00, 0x7f],
      [0xff, 0xff, 0xff, 0xff, 0xff],
      [0x20, 0x02, 0x00],
    ]) {
      const { uplink } = await start({ connack: "silent" }, { connectTimeout: "300ms", version: 5 });
      const broker = open.brokers.at(-1);
      const connecting = uplink.connect(nobody, live());
      void until(() => broker?.session.socket.write(Buffer.from(bytes)));
      await expect(connecting).rejects.toThrow(NotConnectedError);
    }
  });

  it("takes a packet that came together with the CONNACK", async () => {
    const { uplink } = await start({ connected: (session) => session.kick(0x8b) });
    const lost = vi.fn<(error: Error) => void>();
    await uplink.connect(lost, live());
    await until(() => expect(lost.mock.calls[0]?.[0].message).toMatch(/shutting down/));
  });

  it("says DISCONNECT when it closes, and leaves the will to the server when answers are missing", async () => {
    const calm = await start({});
    await calm.uplink.connect(nobody, live());
    await calm.uplink.close();
    await until(() => expect(calm.broker.session.disconnect).toEqual({ reasonCode: 0 }));
    const stuck = await start({ puback: () => ({ ack: false }) });
    await stuck.uplink.connect(nobody, live());
    await stuck.uplink.send([message("a")], nobody, live());
    await stuck.uplink.close();
    await until(() => expect(stuck.broker.session.disconnect).toEqual({ reasonCode: 4 }));
  });

  it("waits with send while the socket takes no more", async () => {
    const { broker, uplink } = await start({}, { inFlight: 2000 });
    await uplink.connect(nobody, live());
    broker.session.socket.pause();
    const big = { ...message("x"), payload: Buffer.alloc(256 * 1024) };
    let done = false;
    const { take, kinds } = verdicts();
    const sending = uplink
      .send(
        Array.from({ length: 64 }, () => big),
        take,
        live(),
      )
      .then(() => {
        done = true;
      });
    for (let turn = 0; turn < 100; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(done).toBe(false);
    broker.session.socket.resume();
    await sending;
    await until(() => expect(kinds()).toHaveLength(64), 10_000);
  });
});
