import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ConfigError, NotConnectedError } from "../../../gateway/core/errors.ts";
import type { Outgoing, Uplink } from "../../../gateway/core/uplink.ts";
import { routingKeyOf } from "../../../gateway/northbound/rabbitmq/routing-key.ts";
import { message, verdicts } from "../../contract/uplink.ts";
import { AmqpBroker, type Script } from "../../support/amqp-broker.ts";
import { live, recordingLogger } from "../mqtt/harness.ts";
import { rabbitUplink } from "./harness.ts";

let broker: AmqpBroker;
const uplinks: Uplink[] = [];
beforeEach(async () => {
  broker = await new AmqpBroker().listen();
});
afterEach(async () => {
  for (const uplink of uplinks.splice(0)) await uplink.close();
  await broker.close();
});

async function connected(options: Record<string, unknown> = {}, script: Script = {}, over = {}) {
  broker.script = script;
  const uplink = rabbitUplink({ url: broker.url, ...options }, over);
  uplinks.push(uplink);
  const lost = vi.fn();
  await uplink.connect(lost, live());
  return { uplink, lost };
}

async function sent(uplink: Uplink, ...messages: Outgoing[]) {
  const got: unknown[] = [];
  await uplink.send(messages, (index, verdict) => Object.assign(got, { [index]: verdict }), live());
  await vi.waitFor(() => expect(Object.keys(got)).toHaveLength(messages.length));
  return got;
}

describe("what a server makes of a message", () => {
  it("tells a refusal for now from one that is for good", async () => {
    const fates = ["ack", "nack", "return"] as const;
    const { uplink } = await connected({}, { fate: ({ tag }) => fates[tag - 1] ?? "ack" });
    expect(await sent(uplink, message("a"), message("b"), message("c"))).toEqual([
      { kind: "ack" },
      {
        kind: "retry",
        reason: "the server refused it: a queue is full, its consumers are behind or away",
        alarm: true,
      },
      { kind: "retry", reason: "no queue is bound to millrace for plant.a", alarm: true },
    ]);
  });

  it("takes what nobody is bound for as a dead letter, where that is asked for", async () => {
    const { uplink } = await connected({ unroutable: "reject" }, { fate: () => "return" });
    expect(await sent(uplink, message("a"))).toEqual([
      { kind: "reject", reason: "no queue is bound to millrace for plant.a" },
    ]);
  });

  it("asks that somebody is bound for records, but not for the status", async () => {
    const { uplink } = await connected();
    await sent(uplink, message("a"), { ...message("b"), topic: "gw/status", retain: true });
    expect(broker.publishes.map(({ routingKey, mandatory }) => [routingKey, mandatory])).toEqual([
      ["plant.a", true],
      ["gw.status", false],
    ]);
  });

  it("refuses what is too large without sending it", async () => {
    const { uplink } = await connected({ maxMessage: "1KiB" });
    const [verdict] = await sent(uplink, { ...message("a"), payload: Buffer.alloc(1025) });
    expect(verdict).toEqual({ kind: "reject", reason: "1025 bytes are more than maxMessage (1024)" });
    expect(broker.publishes).toEqual([]);
  });
});

describe("a fault of the setup names its cure", () => {
  it.each([
    [{ username: "gw", password: { env: "X" } }, { password: "other" }, /ACCESS_REFUSED.*check username and password/],
    [{ exchange: "nope" }, { exchanges: ["millrace"] }, /NOT_FOUND.*nope.*make the exchange, or set declare: true/],
  ])("%j", async (options, script, text) => {
    broker.script = script;
    const uplink = rabbitUplink({ url: broker.url, ...options });
    uplinks.push(uplink);
    const failed = uplink.connect(() => {}, live());
    await expect(failed).rejects.toThrow(text);
    await expect(failed).rejects.toBeInstanceOf(ConfigError);
    await expect(failed).rejects.not.toThrow("hunter2");
  });

  it("also when an exchange goes away later, and gives back what was in flight", async () => {
    const fate = ({ tag }: { tag: number }) => (tag === 1 ? "hold" : { close: 404, text: "NOT_FOUND - no exchange" });
    const { uplink, lost } = await connected({}, { fate });
    const { take, kinds } = verdicts();
    await uplink.send([message("a"), message("b")], take, live());
    await vi.waitFor(() => expect(lost).toHaveBeenCalledTimes(1));
    expect(lost.mock.calls[0]?.[0]).toBeInstanceOf(ConfigError);
    expect(kinds()).toEqual(["retry", "retry"]);
  });

  it("says which file of TLS cannot be read, before anything is sent", async () => {
    const uplink = rabbitUplink({ url: broker.url.replace("amqp:", "amqps:"), tls: { ca: "/no/such/ca.pem" } });
    uplinks.push(uplink);
    await expect(uplink.connect(() => {}, live())).rejects.toThrow(/tls.ca: ENOENT/);
  });
});

describe("a server that is blocked", () => {
  it("is sent nothing and waited for, beyond the time for a confirm", async () => {
    const { log, lines } = recordingLogger();
    const { uplink, lost } = await connected({ ackTimeout: "100ms" }, { fate: () => "hold" }, { log });
    const { take, kinds } = verdicts();
    await uplink.send([message("a")], take, live());
    await vi.waitFor(() => expect(broker.publishes).toHaveLength(1));
    broker.blocked("low on memory");
    await vi.waitFor(() => expect(uplink.notice?.()).toBe("the server takes no messages for now: low on memory"));
    const sending = uplink.send([message("b")], take, live());
    // Longer than the time for a confirm: four looks at the clock.
    const looks = vi.fn();
    const timer = setInterval(looks, 25);
    await vi.waitFor(() => expect(looks.mock.calls.length).toBeGreaterThan(8), 5000);
    clearInterval(timer);
    expect(lost).not.toHaveBeenCalled();
    expect(broker.publishes).toHaveLength(1);
    const [first] = broker.publishes;
    if (!first) throw new Error("nothing was sent");
    broker.script = {};
    broker.unblocked();
    broker.release(first);
    await sending;
    await vi.waitFor(() => expect(kinds()).toEqual(["ack,ack"]));
    expect(uplink.notice?.()).toBeUndefined();
    expect(lines.map(({ message: text }) => text)).toEqual([
      "the server takes no messages for now",
      "the server takes messages again",
    ]);
  });

  it("that only confirms nothing is given up", async () => {
    const { uplink, lost } = await connected({ ackTimeout: "100ms" }, { fate: () => "hold" });
    const { take, kinds } = verdicts();
    await uplink.send([message("a")], take, live());
    await vi.waitFor(() => expect(lost).toHaveBeenCalledTimes(1), 5000);
    expect(lost.mock.calls[0]?.[0]).toEqual(new NotConnectedError("no confirm within 100 ms"));
    expect(kinds()).toEqual(["retry"]);
  });
});

describe("the server's setup", () => {
  it("is only looked at", async () => {
    await connected();
    expect(broker.declared).toEqual([]);
  });

  it("is made where that is asked for", async () => {
    await connected({ declare: true, exchange: "plant", queue: "records" });
    expect(broker.declared).toEqual(["exchange plant topic", "queue records", "bind records plant #"]);
  });
});

it("goes to the next server when the first is away", async () => {
  const second = await new AmqpBroker().listen();
  const uplink = rabbitUplink({ url: `amqp://127.0.0.1:${second.port === 1 ? 2 : 1}`, urls: [second.url] });
  uplinks.push(uplink);
  await uplink.connect(() => {}, live());
  expect(await sent(uplink, message("a"))).toEqual([{ kind: "ack" }]);
  expect(second.publishes).toHaveLength(1);
  await uplink.close();
  await second.close();
});

it("makes routing keys of topics: words, and never too long", () => {
  expect(routingKeyOf("plant/line.1/press-1")).toBe("plant.line_1.press-1");
  const long = routingKeyOf(`plant/${"ä".repeat(200)}`);
  expect(Buffer.byteLength(long)).toBeLessThanOrEqual(255);
  expect(long).not.toBe(routingKeyOf(`plant/${"ä".repeat(201)}`));
});
