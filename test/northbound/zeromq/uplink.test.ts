import { spawnSync } from "node:child_process";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { curveKeyPair, Pull, Subscriber } from "zeromq";
import { ConfigError, NotConnectedError } from "../../../gateway/core/errors.ts";
import { Secret } from "../../../gateway/core/secret.ts";
import type { Outgoing, Uplink } from "../../../gateway/core/uplink.ts";
import { absence, loadZeroMq } from "../../../gateway/northbound/zeromq/library.ts";
import { zeroMqModule } from "../../../gateway/northbound/zeromq/module.ts";
import { message, verdicts } from "../../contract/uplink.ts";
import { ZmqRouter } from "../../support/zmq-router.ts";
import { live, recordingLogger } from "../mqtt/harness.ts";
import { zeroMqUplink } from "./harness.ts";

let router: ZmqRouter;
const cleanUp: (() => unknown)[] = [];
beforeEach(async () => {
  router = await listening();
});
afterEach(async () => {
  for (const step of cleanUp.splice(0).reverse()) await step();
});

async function listening(options: ConstructorParameters<typeof ZmqRouter>[0] = {}) {
  const made = await new ZmqRouter(options).listen();
  cleanUp.push(() => made.close());
  return made;
}

function made(options: Record<string, unknown> = {}, over = {}): Uplink {
  const uplink = zeroMqUplink({ url: router.url, ...options }, over);
  cleanUp.push(() => uplink.close());
  return uplink;
}

async function connected(options: Record<string, unknown> = {}, over = {}) {
  const uplink = made(options, over);
  const lost = vi.fn();
  await uplink.connect(lost, live());
  return { uplink, lost };
}

async function sent(uplink: Uplink, ...messages: Outgoing[]) {
  const got: unknown[] = [];
  await uplink.send(messages, (index, verdict) => Object.assign(got, { [index]: verdict }), live());
  await vi.waitFor(() => expect(Object.keys(got)).toHaveLength(messages.length), 5000);
  return got;
}

describe("dealer", () => {
  it("sends topic, payload and properties", async () => {
    const { uplink } = await connected();
    const properties: [string, string][] = [
      ["id", "gw/e/1/7"],
      ["prev", "6"],
    ];
    await sent(uplink, { ...message("a"), properties, contentType: "application/json" });
    expect(router.received).toEqual([
      { topic: "plant/a", body: "a", properties: { id: "gw/e/1/7", prev: "6", contentType: "application/json" } },
    ]);
  });

  it("takes the receiver's word for what becomes of a message", async () => {
    const fates = [["A"], ["R", "no such\u0007 device"], ["R"]];
    router.fate = () => fates[router.received.length - 1] ?? ["A"];
    const { uplink } = await connected();
    expect(await sent(uplink, message("a"), message("b"), message("c"))).toEqual([
      { kind: "ack" },
      { kind: "reject", reason: "the receiver rejected it: no such  device" },
      { kind: "reject", reason: "the receiver rejected it: without a reason" },
    ]);
  });

  it.each([20, 5000])(
    "is not held up by what the library counts: thousands, through a window of %i",
    async (inFlight) => {
      const { uplink, lost } = await connected({ inFlight });
      const bodies = Array.from({ length: 5000 }, (_, i) => `${i}`);
      const got = await sent(uplink, ...bodies.map(message));
      expect(new Set(got.map((verdict) => JSON.stringify(verdict)))).toEqual(new Set(['{"kind":"ack"}']));
      expect(router.received.map(({ body }) => body)).toEqual(bodies);
      expect(lost).not.toHaveBeenCalled();
    },
  );

  it("sends again what alone is not answered", async () => {
    router.fate = ({ body }) => (body === "lost" ? "hold" : ["A"]);
    const { uplink, lost } = await connected({ ackTimeout: "200ms" });
    const { take, kinds } = verdicts();
    await uplink.send([message("lost")], take, live());
    const others = setInterval(() => void uplink.send([message("other")], () => {}, live()).catch(() => {}), 20);
    await vi.waitFor(() => expect(kinds()).toEqual(["retry"]), 5000);
    clearInterval(others);
    expect(lost).not.toHaveBeenCalled();
  });

  it("gives up a receiver that answers nothing", async () => {
    router.fate = () => "hold";
    const { uplink, lost } = await connected({ ackTimeout: "100ms" });
    const { take, kinds } = verdicts();
    await uplink.send([message("a")], take, live());
    await vi.waitFor(() => expect(lost).toHaveBeenCalledTimes(1), 5000);
    const text = "no answer within 100 ms: the receiver is connected, but answers nothing; look at it";
    expect(lost.mock.calls[0]?.[0]).toEqual(new NotConnectedError(text));
    expect(kinds()).toEqual(["retry"]);
  });

  it("is not confused by what is no answer", async () => {
    router.fate = () => "hold";
    const { log, lines } = recordingLogger();
    const { uplink, lost } = await connected({}, { log });
    const { take, kinds } = verdicts();
    await uplink.send([message("a")], take, live());
    await vi.waitFor(() => expect(router.received).toHaveLength(1));
    for (const frames of [[""], ["1"], ["x", "A", "more"], ["1", "?"], ["9", "A"], ["1".repeat(60_000), "A"]])
      await router.say(...frames);
    await router.say("1", "A");
    await vi.waitFor(() => expect(kinds()).toEqual(["ack"]));
    await router.say("1", "A");
    await router.say("1", "R", "too late");
    await uplink.send([message("b")], take, live());
    await vi.waitFor(() => expect(router.received).toHaveLength(2));
    expect(lost).not.toHaveBeenCalled();
    expect(lines.filter(({ message: text }) => text === "the receiver sent what is no answer")).toHaveLength(1);
  });

  it("ends a connection whose far side sends without measure", async () => {
    router.fate = () => ["A", "x".repeat(100_000)];
    const { uplink, lost } = await connected();
    const { take, kinds } = verdicts();
    await uplink.send([message("a")], take, live());
    await vi.waitFor(() => expect(lost).toHaveBeenCalledTimes(1), 5000);
    expect(kinds()).toEqual(["retry"]);
  });

  it("refuses what is too large without sending it", async () => {
    const { uplink } = await connected({ maxMessage: "1KiB" });
    const [verdict] = await sent(uplink, { ...message("a"), payload: Buffer.alloc(1025) });
    expect(verdict).toEqual({ kind: "reject", reason: "1025 bytes are more than maxMessage (1024)" });
    expect(router.received).toEqual([]);
  });

  it("goes to the next receiver when the first is away", async () => {
    const { uplink } = await connected({ url: "tcp://127.0.0.1:1", urls: [router.url] });
    expect(await sent(uplink, message("a"))).toEqual([{ kind: "ack" }]);
  });
});

describe("a far side that is not what it should be", () => {
  it("is told: another kind of socket", async () => {
    const pull = new Pull();
    await pull.bind("tcp://127.0.0.1:*");
    cleanUp.push(() => pull.close());
    const failed = made({ url: pull.lastEndpoint }).connect(() => {}, live());
    await expect(failed).rejects.toThrow(/not a ROUTER socket that is bound/);
    await expect(failed).rejects.toBeInstanceOf(NotConnectedError);
  });

  const keys = curveKeyPair();
  const server = { curveServer: true, curveSecretKey: keys.secretKey };
  const other = curveKeyPair().publicKey;
  it.each([
    ["it asks for CURVE", server, {}, /asks for CURVE; give curve.serverKey/],
    ["it does not use CURVE", {}, { curve: { serverKey: keys.publicKey } }, /does not use CURVE; remove curve/],
    ["another key", server, { curve: { serverKey: other } }, /ended the handshake; check curve.serverKey/],
  ])("is told: %s", async (_, options, curve, text) => {
    const { url } = await listening(options);
    const failed = made({ url, ...curve }).connect(() => {}, live());
    await expect(failed).rejects.toThrow(text);
    await expect(failed).rejects.toBeInstanceOf(ConfigError);
  });
});

describe("curve", () => {
  const [keys, ours] = [curveKeyPair(), curveKeyPair()];
  const server = { curveServer: true, curveSecretKey: keys.secretKey };
  const secret = () => new Secret(ours.secretKey, "env KEY");

  it.each([
    ["a pair of ours", { publicKey: ours.publicKey, secretKey: { env: "KEY" } }],
    ["a pair made for the connection", {}],
  ])("delivers with %s", async (_, own) => {
    router = await listening(server);
    const { uplink } = await connected({ curve: { serverKey: keys.publicKey, ...own } }, { secret });
    expect(await sent(uplink, message("a"))).toEqual([{ kind: "ack" }]);
  });

  it("says so of a secret key that is none", async () => {
    const own = { publicKey: ours.publicKey, secretKey: { env: "KEY" } };
    const bad = () => new Secret("hunter2", "env KEY");
    const failed = made({ curve: { serverKey: keys.publicKey, ...own } }, { secret: bad }).connect(() => {}, live());
    await expect(failed).rejects.toThrow(/check the keys of curve/);
    await expect(failed).rejects.not.toThrow("hunter2");
  });
});

describe("the patterns that lose", () => {
  it("push: delivers to a PULL, and says what it is", async () => {
    const pull = new Pull();
    await pull.bind("tcp://127.0.0.1:*");
    cleanUp.push(() => pull.close());
    const { uplink } = await connected({ url: pull.lastEndpoint, pattern: "push" });
    expect(uplink.notice?.()).toMatch(/pattern push is lossy/);
    expect(await sent(uplink, message("a"))).toEqual([{ kind: "ack" }]);
    expect((await pull.receive()).map(String)).toEqual(["plant/a", "a", '{"id":"a"}']);
  });

  it("push: keeps what nobody takes, once as much waits as may be in flight", async () => {
    const pull = new Pull({ receiveHighWaterMark: 1 });
    await pull.bind("tcp://127.0.0.1:*");
    cleanUp.push(() => pull.close());
    const { uplink, lost } = await connected({ url: pull.lastEndpoint, pattern: "push", inFlight: 1 });
    const { take, kinds } = verdicts();
    const big = { ...message("a"), payload: Buffer.alloc(4_000_000) };
    const sending = uplink.send([big, big, big, big, big, big, big, big], take, live());
    const refused = expect(sending).rejects.toThrow(NotConnectedError);
    await vi.waitFor(() => expect(kinds().length).toBeGreaterThan(0));
    pull.close();
    await refused;
    expect(kinds()).toHaveLength(8);
    expect(kinds().at(-1)).toBe("retry");
    expect(lost).toHaveBeenCalledTimes(1);
  });

  it("pub: delivers to a SUB by topic", async () => {
    const sub = new Subscriber();
    sub.subscribe("plant/a");
    await sub.bind("tcp://127.0.0.1:*");
    cleanUp.push(() => sub.close());
    const { uplink } = await connected({ url: sub.lastEndpoint, pattern: "pub" });
    expect(uplink.notice?.()).toMatch(/pattern pub is lossy/);
    // Until its subscription has come: that is what lossy means.
    const timer = setInterval(() => void uplink.send([message("a")], () => {}, live()).catch(() => {}), 20);
    expect((await sub.receive()).map(String)).toEqual(["plant/a", "a", '{"id":"a"}']);
    clearInterval(timer);
  });
});

describe("the package zeromq", () => {
  it("that is not there: what to install is said, by check and by connect", async () => {
    const missing = () => import("node:zeromq-that-is-not-there" as string);
    await expect(loadZeroMq(missing)).rejects.toThrow(/cannot be loaded.*npm install zeromq@6; it has no build/);
    await expect(loadZeroMq(missing)).rejects.toBeInstanceOf(ConfigError);
    expect(absence()).toBeUndefined();
    const find = () => {
      throw new Error("MODULE_NOT_FOUND");
    };
    expect(absence(find)).toMatch(/not installed; install it beside Millrace/);
  });
});

it("lets a process end that was in the midst of sending", () => {
  const script = `
    import { createRequire } from "node:module";
    const { Dealer, Router } = createRequire(${JSON.stringify(import.meta.url)})("zeromq");
    const router = new Router({ linger: 0 });
    await router.bind("tcp://127.0.0.1:*");
    const dealer = new Dealer({ linger: 0, immediate: true, reconnectInterval: -1, sendHighWaterMark: 1000 });
    dealer.connect(router.lastEndpoint);
    for (let n = 0; n < 900; n++) await dealer.send(["x".repeat(1000)]);
    dealer.close();
    router.close();
  `;
  const ended = spawnSync(process.execPath, ["--input-type=module", "-e", script], { timeout: 20_000 });
  expect([ended.status, ended.signal, String(ended.stderr)]).toEqual([0, null, ""]);
});

describe("the options", () => {
  it.each([
    ["http://a:1", /must begin with tcp/],
    ["tcp://a", /must be host and port/],
    ["tcp://*:5560", /must be host and port/],
    ["tcp://a:70000", /must be host and port/],
  ])("refuse the url %s", (url, text) => {
    expect(() => zeroMqModule.schema.parse({ url })).toThrow(text);
  });

  const warnings = (options: object) =>
    zeroMqModule
      .check(zeroMqModule.schema.parse(options))
      .map(({ path, warning }) => `${path.join(".")} ${warning === true ? "warning" : "fault"}`);

  it("warn of a network without CURVE, and of patterns that lose", () => {
    expect(warnings({ url: "tcp://10.0.0.5:5560", pattern: "push" })).toEqual(["curve warning", "pattern warning"]);
    expect(warnings({ url: "tcp://10.0.0.5:5560", curve: { serverKey: "x".repeat(40) } })).toEqual([]);
    for (const url of ["tcp://127.0.0.1:5560", "tcp://[::1]:5560", "tcp://localhost:5560", "ipc:///run/x.sock"])
      expect(warnings({ url })).toEqual([]);
  });

  it("want both keys of a pair", () => {
    const curve = { serverKey: "x".repeat(40), publicKey: "y".repeat(40) };
    expect(warnings({ url: "tcp://10.0.0.5:5560", curve })).toEqual(["curve fault"]);
  });
});
