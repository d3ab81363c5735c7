import { afterEach, describe, expect, it, vi } from "vitest";
import { ConfigError } from "../../../gateway/core/errors.ts";
import type { Downlink, Incoming, Outgoing, Taken, Uplink } from "../../../gateway/core/uplink.ts";
import { faultOf } from "../../../gateway/northbound/kafka/faults.ts";
import { kafkaModule } from "../../../gateway/northbound/kafka/module.ts";
import { isStatic, kafkaTopicOf, templateFault, topicOf } from "../../../gateway/northbound/kafka/topic.ts";
import { message } from "../../contract/uplink.ts";
import { FakeKafka } from "../../fakes/fake-kafka.ts";
import { live, recordingLogger } from "../mqtt/harness.ts";
import { kafkaUplink } from "./harness.ts";

const uplinks: Uplink[] = [];
afterEach(async () => {
  for (const uplink of uplinks.splice(0)) await uplink.close();
});

async function connected(options: Record<string, unknown> = {}, over = {}) {
  const made = kafkaUplink(options, over);
  uplinks.push(made.uplink);
  const lost = vi.fn();
  await made.uplink.connect(lost, live());
  return { ...made, lost };
}
async function sent(uplink: Uplink, ...messages: Outgoing[]) {
  const got: unknown[] = [];
  await uplink.send(messages, (index, verdict) => Object.assign(got, { [index]: verdict }), live());
  await vi.waitFor(() => expect(Object.keys(got)).toHaveLength(messages.length));
  return got;
}
const text = ({ value }: { value: Uint8Array }) => Buffer.from(value).toString();
const keyed = (name: string, key: string): Outgoing => ({ ...message(name), key });

describe("requests", () => {
  it("hold what gathered, by count and by bytes, one under way at a time", async () => {
    const { uplink, cluster } = await connected({ batch: { count: 4, bytes: "1KiB", linger: "5ms" } });
    const many = Array.from({ length: 10 }, (_, n) => message(`m${n}`));
    await sent(
      uplink,
      ...many,
      { ...message("big"), payload: Buffer.alloc(900) },
      { ...message("b2"), payload: Buffer.alloc(900) },
    );
    expect(cluster.requests.map((one) => one.length)).toEqual([4, 4, 3, 1]);
    expect(cluster.stored.slice(0, 10).map(text)).toEqual(many.map(({ payload }) => Buffer.from(payload).toString()));
  });

  it("are keyed by the source, and carry what proves completeness", async () => {
    const { uplink, cluster } = await connected();
    await sent(uplink, keyed("a", "plant/press-1"), {
      ...message("s"),
      topic: "gw/status",
      contentType: "application/json",
    });
    expect(cluster.stored).toMatchObject([
      {
        topic: "millrace",
        key: "plant/press-1",
        headers: [
          ["topic", "plant/a"],
          ["id", "a"],
        ],
      },
      {
        key: "gw/status",
        headers: [
          ["topic", "gw/status"],
          ["id", "s"],
          ["content-type", "application/json"],
        ],
      },
    ]);
  });

  it("are made again as they were while the cluster is not ready, and nothing passes them", async () => {
    const { uplink, cluster, lost } = await connected({ batch: { count: 2, linger: "0ms" } });
    cluster.fate = (_, number) => (number <= 3 ? ["again", "NOT_ENOUGH_REPLICAS"] : "store");
    const got: unknown[] = [];
    await uplink.send(
      ["a", "b", "c"].map(message),
      (index, verdict) => Object.assign(got, { [index]: verdict }),
      live(),
    );
    await vi.waitFor(() => expect(uplink.notice?.()).toMatch(/NOT_ENOUGH_REPLICAS/));
    await vi.waitFor(() => expect(got).toEqual([{ kind: "ack" }, { kind: "ack" }, { kind: "ack" }]), { timeout: 5000 });
    expect(cluster.requests.map((one) => one.map(text).join(""))).toEqual(["ab", "ab", "ab", "ab", "c"]);
    expect(uplink.notice?.()).toBeUndefined();
    expect(lost).not.toHaveBeenCalled();
  });

  it("that are not answered in time end the connection", async () => {
    const { uplink, cluster, lost } = await connected({ ackTimeout: "500ms" });
    cluster.fate = () => "hold";
    expect(await sent(uplink, message("a"))).toMatchObject([{ kind: "retry", unanswered: "sent" }]);
    expect(lost.mock.calls[0]?.[0]).toMatchObject({ message: "no answer within 500 ms" });
  });

  it("that are refused are halved until the one at fault is alone, with new numbers", async () => {
    const { uplink, cluster } = await connected();
    cluster.fate = (messages) =>
      messages.some((one) => text(one) === "bad") ? ["content", "MESSAGE_TOO_LARGE"] : "store";
    const names = ["a", "b", "bad", "c", "d"];
    expect(await sent(uplink, ...names.map(message))).toEqual(
      names.map((name) => (name === "bad" ? { kind: "reject", reason: "MESSAGE_TOO_LARGE" } : { kind: "ack" })),
    );
    expect(cluster.stored.map(text)).toEqual(["a", "b", "c", "d"]);
    expect(cluster.renewed).toBe(3);
  });

  it("to a topic that is not there keep no other topic from being sent", async () => {
    const { uplink, cluster } = await connected({ kafkaTopic: "{topic}" });
    cluster.fate = (messages) =>
      messages.some(({ topic }) => topic === "plant.no") ? ["topic", "UNKNOWN_TOPIC"] : "store";
    const to = (topic: string) => ({ ...message(topic), topic });
    expect(await sent(uplink, to("plant/no"), to("plant/yes"))).toEqual([
      { kind: "retry", reason: "UNKNOWN_TOPIC", alarm: true },
      { kind: "ack" },
    ]);
    // A topic that was removed and made anew knows nothing of the numbers of before.
    expect(cluster.renewed).toBe(1);
  });

  it("need a person where the setup is wrong", async () => {
    const { uplink, cluster, lost } = await connected();
    cluster.fate = () => ["setup", "CLUSTER_AUTHORIZATION_FAILED; let this user"];
    await sent(uplink, message("a"));
    expect(lost.mock.calls[0]?.[0]).toBeInstanceOf(ConfigError);
    const denied = new FakeKafka();
    denied.connecting = ["setup", "SASL; check username"];
    const other = kafkaUplink({}, {}, denied).uplink;
    await expect(other.connect(() => {}, live())).rejects.toBeInstanceOf(ConfigError);
    expect(denied.closed).toBe(true);
  });

  it("do not take what is too large", async () => {
    const { uplink, cluster } = await connected({ maxMessage: "1KiB" });
    const [verdict] = await sent(uplink, { ...message("a"), payload: Buffer.alloc(1025) });
    expect(verdict).toEqual({ kind: "reject", reason: "1025 bytes are more than maxMessage (1024)" });
    expect(cluster.requests).toEqual([]);
  });
});

class Taker implements Downlink {
  readonly taken: Incoming[] = [];
  next: (() => Promise<Taken>)[] = [];
  take(incoming: Incoming): Promise<Taken> {
    this.taken.push(incoming);
    return (this.next.shift() ?? (() => Promise.resolve<Taken>("kept")))();
  }
}

describe("what comes down", () => {
  it("is committed when it is kept, and tried again, alive, until then", async () => {
    const downlink = new Taker();
    const { log, lines } = recordingLogger();
    const { uplink, cluster } = await connected({ accept: [{ topic: "plan" }] }, { downlink, log });
    downlink.next = [() => Promise.reject(new Error("the disk is full"))];
    const headers = [["order", "7"]] as const;
    await cluster.consumer?.({ topic: "plan", key: "line-1", value: Buffer.from("p"), headers });
    expect(downlink.taken).toHaveLength(2);
    expect(downlink.taken[1]).toMatchObject({ topic: "plan/line-1", qos: 1, retain: false, properties: headers });
    expect(cluster.alive).toBe(1);
    expect(lines.some(({ message: said }) => said === "a message from upstream cannot be kept yet")).toBe(true);
    await cluster.consumer?.({ topic: "plan", key: undefined, value: Buffer.alloc(1024 * 1024 + 1), headers: [] });
    expect(downlink.taken).toHaveLength(2);
    cluster.told?.("UNKNOWN_TOPIC");
    expect(uplink.notice?.()).toBe("nothing comes down from plan: UNKNOWN_TOPIC");
    cluster.told?.(undefined);
    expect(uplink.notice?.()).toBeUndefined();
  });

  it("is given up uncommitted at the end", async () => {
    const downlink = new Taker();
    const { uplink, cluster } = await connected({ accept: [{ topic: "plan" }] }, { downlink });
    downlink.next = [() => Promise.reject(new Error("full"))];
    const taking = cluster.consumer?.({ topic: "plan", key: undefined, value: Buffer.from("p"), headers: [] });
    await vi.waitFor(() => expect(downlink.taken).toHaveLength(1));
    await uplink.close();
    await expect(taking).rejects.toThrow("the uplink is closed");
  });
});

describe("names", () => {
  it.each([
    ["millrace", "plant/line-1/press 1", "millrace"],
    ["{topic}", "plant/line-1/press 1.2", "plant.line-1.press_1_2"],
    ["{gateway}.{2}", "plant/line-1/x", "gw-1.line-1"],
    ["{1}-{9}", "plant/ä", "plant-"],
  ])("%s of %s is %s", (template, topic, name) => {
    expect(kafkaTopicOf(template, topic, "gw-1")).toBe(name);
  });

  it("are never longer than a cluster takes, and stay different", () => {
    const [a, b] = ["a", "b"].map((end) => kafkaTopicOf("{topic}", `${"x/".repeat(200)}${end}`, "gw"));
    expect([a?.length, b?.length, a === b]).toEqual([249, 249, false]);
  });

  it("are checked, and known beforehand where they are always the same", () => {
    expect(["m", "{gateway}-m", "{topic}", "{1}"].map(isStatic)).toEqual([true, true, false, false]);
    expect(templateFault("{device}")).toMatch(/unknown placeholder "\{device\}"/);
    expect(templateFault("a/b")).toMatch(/"\/" may not be in the name/);
    expect([topicOf("a.b", "k"), topicOf("plan", undefined)]).toEqual(["a/b/k", "plan"]);
  });
});

describe("options", () => {
  const check = (options: object) =>
    kafkaModule
      .check(kafkaModule.schema.parse({ brokers: ["kafka-1:9092"], ...options }))
      .map(({ message: said }) => said);
  it.each([
    [{ tls: { cert: "a" } }, "cert and key belong together"],
    [{ partitions: 3 }, "is only used with declare: true"],
    [{ group: "g" }, "is only used with accept"],
    [{ kafkaTopic: "{x}" }, 'unknown placeholder "{x}"; {topic}, {gateway} and {1} to {9} are known here'],
    [
      { sasl: { mechanism: "plain", username: "u", password: { env: "P" } } },
      "plain sends the password readable without tls; add tls: {}",
    ],
  ])("%j: %s", (options, said) => {
    expect(check(options)).toEqual([said]);
  });

  it.each(["kafka-1", "kafka-1:0", "kafka-1:70000", "tcp://kafka-1:9092", ""])("refuse the broker %j", (broker) => {
    expect(kafkaModule.schema.safeParse({ brokers: [broker] }).success).toBe(false);
  });
});

describe("errors of the library", () => {
  const protocol = (type: string) => Object.assign(new Error(`said ${type}`), { name: "KafkaJSProtocolError", type });
  it.each([
    [protocol("MESSAGE_TOO_LARGE"), "content"],
    [protocol("UNKNOWN_TOPIC_OR_PARTITION"), "topic"],
    [protocol("CLUSTER_AUTHORIZATION_FAILED"), "setup"],
    [protocol("OUT_OF_ORDER_SEQUENCE_NUMBER"), "lost"],
    [protocol("NOT_LEADER_FOR_PARTITION"), "again"],
    [Object.assign(new Error("Authentication failed"), { name: "KafkaJSSASLAuthenticationError" }), "setup"],
    [
      Object.assign(new Error("Connection error: self-signed certificate"), { name: "KafkaJSConnectionError" }),
      "setup",
    ],
    [new Error("Connection error: connect ECONNREFUSED 127.0.0.1:9"), "again"],
    [new Error("outer", { cause: protocol("MESSAGE_TOO_LARGE") }), "content"],
  ])("%s is %s", (error, kind) => {
    expect(faultOf(error, "topic x").kind).toBe(kind);
  });
});
