import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ConfigError, NotConnectedError } from "../../../gateway/core/errors.ts";
import type { Downlink, Incoming, Outgoing, Taken, Uplink } from "../../../gateway/core/uplink.ts";
import { activemqModule } from "../../../gateway/northbound/activemq/module.ts";
import { faultOf } from "../../../gateway/northbound/activemq/reasons.ts";
import { message } from "../../contract/uplink.ts";
import { Amqp1Broker, type Fate, type Script } from "../../support/amqp1-broker.ts";
import { live, recordingLogger } from "../mqtt/harness.ts";
import { activemqUplink } from "./harness.ts";

let broker: Amqp1Broker;
const uplinks: Uplink[] = [];
afterEach(async () => {
  for (const uplink of uplinks.splice(0)) await uplink.close();
  await broker.close();
});
beforeEach(async () => {
  broker = await new Amqp1Broker().listen();
});

async function connected(options: Record<string, unknown> = {}, script: Script = {}, over = {}) {
  broker.script = script;
  const uplink = activemqUplink({ url: broker.url, ...options }, over);
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

describe("a fault of a connection", () => {
  it("that passes by itself waits for nobody: Classic still has the connection before a restart", () => {
    const description = "Broker: b - Client: millrace-gw-activemq already connected from tcp://127.0.0.1:54186";
    const fault = faultOf({ condition: "amqp:invalid-field", description }, "127.0.0.1:5672");
    expect(fault).toBeInstanceOf(NotConnectedError);
    expect(fault.message).toMatch(/already connected.*; it is the connection before a restart, or another gateway/);
    expect(faultOf({ condition: "amqp:invalid-field", description: "bad address" }, "x")).toBeInstanceOf(ConfigError);
  });
});

describe("what a broker makes of a message", () => {
  it("tells a refusal for now from one that is for good", async () => {
    const fates: Fate[] = [
      "accept",
      "release",
      { reject: "amqp:resource-limit-exceeded", text: "Queue is full" },
      { reject: "amqp:decode-error", text: "cannot be read" },
      { reject: "amqp:unauthorized-access", text: "User gw is not authorized" },
    ];
    const { uplink } = await connected({}, { fate: (_, number) => fates[number - 1] ?? "accept" });
    const got: unknown[] = [];
    // One by one: the library's broker side merges answers that it gives at once.
    for (const name of ["a", "b", "c", "d", "e"]) got.push(...(await sent(uplink, message(name))));
    expect(got).toEqual([
      { kind: "ack" },
      { kind: "retry", reason: "the broker gave it back" },
      {
        kind: "retry",
        reason: "the broker has no room: amqp:resource-limit-exceeded: Queue is full",
        alarm: true,
      },
      { kind: "reject", reason: "amqp:decode-error: cannot be read" },
      {
        kind: "retry",
        reason: "amqp:unauthorized-access: User gw is not authorized; let this user write there",
        alarm: true,
      },
    ]);
  });

  it("is asked for durably, with the id for those who drop duplicates", async () => {
    const { uplink } = await connected({ duplicateDetection: true, address: "records" });
    await sent(uplink, message("a"), {
      ...message("b"),
      properties: [
        ["id", "x"],
        ["part", "2/3"],
      ],
    });
    expect(broker.got[0]).toMatchObject({ durable: true, address: "records" });
    expect(
      broker.got.map(({ properties }) => [properties["topic"], properties["id"], properties["_AMQ_DUPL_ID"]]),
    ).toEqual([
      ["plant/a", "a", "a"],
      ["plant/a", "x", "x#2/3"],
    ]);
  });

  it("waits for its credit, and says so", async () => {
    const { uplink } = await connected({}, { credit: 2, fate: () => "hold" });
    const abort = new AbortController();
    const sending = uplink.send(["a", "b", "c"].map(message), () => {}, abort.signal);
    await vi.waitFor(() => expect(broker.got).toHaveLength(2));
    await vi.waitFor(() => expect(uplink.notice?.()).toMatch(/gives no credit for millrace/), { timeout: 5000 });
    abort.abort(new Error("enough"));
    await expect(sending).rejects.toThrow("enough");
    expect(broker.got).toHaveLength(2);
  });

  it("ends the connection when it does not come", async () => {
    const { uplink, lost } = await connected({ ackTimeout: "200ms" }, { fate: () => "hold" });
    expect(await sent(uplink, message("a"))).toMatchObject([{ kind: "retry", unanswered: "sent" }]);
    expect(lost.mock.calls[0]?.[0]).toMatchObject({ message: "no acknowledgement within 200 ms" });
  });

  it("is not asked for what is too large", async () => {
    const { uplink } = await connected({ maxMessage: "1KiB" });
    const [verdict] = await sent(uplink, { ...message("a"), payload: Buffer.alloc(1025) });
    expect(verdict).toEqual({ kind: "reject", reason: "1025 bytes are more than maxMessage (1024)" });
    expect(broker.got).toEqual([]);
  });
});

describe("a fault of the setup names its cure", () => {
  it("of an address that is not there", async () => {
    broker.script = { addresses: ["other"] };
    const uplink = activemqUplink({ url: broker.url });
    uplinks.push(uplink);
    const failed = uplink.connect(() => {}, live());
    await expect(failed).rejects.toThrow(/address millrace does not exist; make the address, or correct it/);
    await expect(failed).rejects.toBeInstanceOf(ConfigError);
  });

  it("of a wrong password, which is not said", async () => {
    const strict = await new Amqp1Broker({ password: "other" }).listen();
    const uplink = activemqUplink({ url: strict.url, username: "gw", password: { env: "X" } });
    const failed = uplink.connect(() => {}, live());
    await expect(failed).rejects.toThrow(/check username and password/);
    await expect(failed).rejects.toBeInstanceOf(ConfigError);
    await expect(failed).rejects.not.toThrow("hunter2");
    await uplink.close();
    await strict.close();
  });

  it("of TLS whose file cannot be read, before anything is sent", async () => {
    const uplink = activemqUplink({ url: broker.url.replace("amqp:", "amqps:"), tls: { ca: "/no/such/ca.pem" } });
    await expect(uplink.connect(() => {}, live())).rejects.toThrow(/tls.ca: ENOENT/);
  });
});

class Taker implements Downlink {
  readonly taken: Incoming[] = [];
  readonly settle: { resolve: (became: Taken) => void; reject: (error: Error) => void }[] = [];
  take(incoming: Incoming): Promise<Taken> {
    this.taken.push(incoming);
    return new Promise((resolve, reject) => this.settle.push({ resolve, reject }));
  }
}

describe("what comes down from a queue", () => {
  async function reading(options: Record<string, unknown> = {}, script: Script = {}) {
    const downlink = new Taker();
    const { log, lines } = recordingLogger();
    const made = await connected({ accept: [{ address: "plans" }], prefetch: 3, ...options }, script, {
      downlink,
      log,
    });
    return { ...made, downlink, lines };
  }

  it("is answered when it is kept or refused, and never more are under way than asked for", async () => {
    const { downlink } = await reading();
    await vi.waitFor(() => expect(broker.credit("plans")).toBe(3));
    broker.give("plans", 1, { subject: "plan.line-1", body: "p1" });
    broker.give("plans", 2, { application_properties: { topic: "plan/line-2" }, body: Buffer.from("p2") });
    broker.give("plans", 3, { body: "p3", reply_to: "queue://answers", correlation_id: "c" });
    await vi.waitFor(() => expect(downlink.taken).toHaveLength(3));
    expect(broker.credit("plans")).toBe(0);
    expect(downlink.taken.map(({ topic, payload }) => [topic, Buffer.from(payload).toString()])).toEqual([
      ["plan/line-1", "p1"],
      ["plan/line-2", "p2"],
      ["plans", "p3"],
    ]);
    expect(downlink.taken[2]).toMatchObject({ responseTopic: "answers", correlation: Buffer.from("c") });
    downlink.settle[2]?.resolve("refused");
    downlink.settle[0]?.resolve("kept");
    await vi.waitFor(() => expect(broker.answers.sort()).toEqual(["accepted 1", "rejected 3"]));
    await vi.waitFor(() => expect(broker.credit("plans")).toBe(2));
  });

  it("has its own answer, also where the one before it in the same turn has another", async () => {
    const { downlink } = await reading({ prefetch: 5 });
    await vi.waitFor(() => expect(broker.credit("plans")).toBe(5));
    for (const n of [1, 2, 3, 4]) broker.give("plans", n, { body: `p${n}` });
    await vi.waitFor(() => expect(downlink.settle).toHaveLength(4));
    for (const [at, became] of (["refused", "kept", "refused", "kept"] as const).entries())
      downlink.settle[at]?.resolve(became);
    const answers = ["accepted 2", "accepted 4", "rejected 1", "rejected 3"];
    await vi.waitFor(() => expect(broker.answers.sort()).toEqual(answers));
  });

  it("is tried again while it cannot be kept", async () => {
    const { downlink, lines } = await reading();
    await vi.waitFor(() => expect(broker.credit("plans")).toBe(3));
    broker.give("plans", 1, { body: "p" });
    await vi.waitFor(() => expect(downlink.settle).toHaveLength(1));
    downlink.settle[0]?.reject(new Error("the disk is full"));
    await vi.waitFor(() => expect(downlink.settle).toHaveLength(2), { timeout: 5000 });
    expect(broker.answers).toEqual([]);
    downlink.settle[1]?.resolve("kept");
    await vi.waitFor(() => expect(broker.answers).toEqual(["accepted 1"]));
    expect(lines.some(({ message: said }) => said === "a message from upstream cannot be kept yet")).toBe(true);
  });

  it("is refused where it is not text or bytes", async () => {
    const { downlink } = await reading();
    await vi.waitFor(() => expect(broker.credit("plans")).toBe(3));
    broker.give("plans", 1, { body: { a: 1 } });
    await vi.waitFor(() => expect(broker.answers).toEqual(["rejected 1"]));
    expect(downlink.taken).toEqual([]);
  });

  it("is missing where the queue is: said with its cure, while what goes up carries on", async () => {
    const { uplink } = await reading({}, { addresses: ["millrace"] });
    await vi.waitFor(() =>
      expect(uplink.notice?.()).toMatch(/nothing comes down from "plans": .*does not exist; make the queue/),
    );
    expect(await sent(uplink, message("a"))).toEqual([{ kind: "ack" }]);
  });
});

it.each([
  [{ tls: {} }, "is only used with amqps://"],
  [{ password: { env: "P" } }, "needs its username"],
  [{ address: "queue://a", kind: "queue" }, "the address says it already; remove one"],
  [
    { url: "amqp://far.example.com", username: "u", password: { env: "P" } },
    "sends the password readable; use amqps://",
  ],
])("options %j: %s", (options, said) => {
  const parsed = activemqModule.schema.parse({ url: "amqp://127.0.0.1", ...options });
  expect(activemqModule.check(parsed).map(({ message: text }) => text)).toContain(said);
});
