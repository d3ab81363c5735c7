import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Downlink, Incoming, Taken, Uplink } from "../../../gateway/core/uplink.ts";
import { rabbitModule } from "../../../gateway/northbound/rabbitmq/module.ts";
import { AmqpBroker, type Script } from "../../support/amqp-broker.ts";
import { live, recordingLogger } from "../mqtt/harness.ts";
import { rabbitUplink } from "./harness.ts";

/** What comes down from queues: acknowledged once it is kept. */

let broker: AmqpBroker;
const uplinks: Uplink[] = [];
beforeEach(async () => {
  broker = await new AmqpBroker().listen();
});
afterEach(async () => {
  for (const uplink of uplinks.splice(0)) await uplink.close();
  await broker.close();
});

class Taker implements Downlink {
  readonly taken: Incoming[] = [];
  readonly settle: { resolve: (became: Taken) => void; reject: (error: Error) => void }[] = [];
  take(message: Incoming): Promise<Taken> {
    this.taken.push(message);
    return new Promise((resolve, reject) => this.settle.push({ resolve, reject }));
  }
}

async function connected(options: Record<string, unknown> = {}, script: Script = {}) {
  broker.script = script;
  const { log, lines } = recordingLogger();
  const downlink = new Taker();
  const uplink = rabbitUplink({ url: broker.url, accept: [{ queue: "plans" }], ...options }, { downlink, log });
  uplinks.push(uplink);
  await uplink.connect(() => {}, live());
  return { uplink, downlink, lines };
}
const answers = () => broker.consumed.filter((text) => /^(ack|reject)/.test(text));

describe("what comes down from a queue", () => {
  it("is acknowledged when it is kept, in any order, and rejected when it is refused for good", async () => {
    const { downlink } = await connected({ prefetch: 3 });
    await vi.waitFor(() => expect(broker.consumed).toEqual(["qos 3", "consume plans"]));
    for (const n of [1, 2, 3]) broker.deliver("plans", "plan.line-1", Buffer.from(`p${n}`));
    await vi.waitFor(() => expect(downlink.taken).toHaveLength(3));
    expect(downlink.taken[0]).toMatchObject({ topic: "plan/line-1", qos: 1, retain: false });
    expect(downlink.taken.map(({ payload }) => Buffer.from(payload).toString())).toEqual(["p1", "p2", "p3"]);
    expect(answers()).toEqual([]);
    downlink.settle[1]?.resolve("kept");
    downlink.settle[2]?.resolve("refused");
    downlink.settle[0]?.resolve("kept");
    await vi.waitFor(() => expect(answers().sort()).toEqual(["ack 1", "ack 2", "reject 3"]));
  });

  it("carries where the sender wants its answer", async () => {
    const { downlink } = await connected();
    await vi.waitFor(() => expect(broker.consumed).toContain("consume plans"));
    broker.deliver("plans", "cmd.press", Buffer.from("{}"), { replyTo: "planner.answers", correlationId: "c-7" });
    await vi.waitFor(() => expect(downlink.taken).toHaveLength(1));
    expect(downlink.taken[0]).toMatchObject({
      responseTopic: "planner/answers",
      correlation: Buffer.from("c-7"),
    });
  });

  it("is tried again while it cannot be kept, and not acknowledged meanwhile", async () => {
    const { downlink, lines } = await connected();
    await vi.waitFor(() => expect(broker.consumed).toContain("consume plans"));
    broker.deliver("plans", "plan", Buffer.from("p"));
    await vi.waitFor(() => expect(downlink.settle).toHaveLength(1));
    downlink.settle[0]?.reject(new Error("the disk is full"));
    await vi.waitFor(() => expect(downlink.settle).toHaveLength(2), { timeout: 5000 });
    expect(answers()).toEqual([]);
    downlink.settle[1]?.resolve("kept");
    await vi.waitFor(() => expect(answers()).toEqual(["ack 1"]));
    expect(lines.some(({ message }) => message === "a message from upstream cannot be kept yet")).toBe(true);
  });

  it("that is too long is rejected without being taken", async () => {
    const { downlink } = await connected();
    await vi.waitFor(() => expect(broker.consumed).toContain("consume plans"));
    broker.deliver("plans", "plan", Buffer.alloc(1024 * 1024 + 1));
    await vi.waitFor(() => expect(answers()).toEqual(["reject 1"]));
    expect(downlink.taken).toEqual([]);
  });

  it("is missing where the queue is: said with its cure, while the others and what goes up carry on", async () => {
    const accept = [{ queue: "nope" }, { queue: "plans", from: "plan/#" }];
    const { uplink, downlink } = await connected({ accept }, { queues: ["plans"] });
    await vi.waitFor(() =>
      expect(uplink.notice?.()).toMatch(/nothing comes down from queue "nope": .*NOT_FOUND.*make the queue there/),
    );
    await vi.waitFor(() => expect(broker.consumed).toContain("consume plans"));
    broker.deliver("plans", "plan.a", Buffer.from("p"));
    await vi.waitFor(() => expect(downlink.taken).toHaveLength(1));
    broker.removeQueue("plans");
    await vi.waitFor(() => expect(uplink.notice?.()).toMatch(/queue/));
  });

  it("that was begun is answered before the goodbye", async () => {
    const { uplink, downlink } = await connected();
    await vi.waitFor(() => expect(broker.consumed).toContain("consume plans"));
    broker.deliver("plans", "plan", Buffer.from("p"));
    await vi.waitFor(() => expect(downlink.settle).toHaveLength(1));
    const closed = uplink.close();
    broker.deliver("plans", "plan", Buffer.from("later"));
    downlink.settle[0]?.resolve("kept");
    await closed;
    expect(answers()).toEqual(["ack 1"]);
    expect(downlink.taken).toHaveLength(1);
  });
});

it("has rules as those of topics, each with its queue", () => {
  const options = rabbitModule.schema.parse({
    url: "amqp://127.0.0.1",
    accept: [
      { queue: "orders", from: "order/+", to: "line/+/{gateway}" },
      { queue: "other", from: "a/#", to: "b" },
    ],
  });
  expect(rabbitModule.policy?.(options, { name: "r", gatewayId: "gw" }).accept?.[0]).toEqual({
    ...{ from: "order/+", to: "line/+/gw", qos: 1, retain: "strip" },
  });
  expect(rabbitModule.check(options)).toEqual([
    {
      path: ["accept", 1, "to"],
      message: 'must have the wildcards #, as "from": each stands for what it stood for there',
    },
  ]);
});
