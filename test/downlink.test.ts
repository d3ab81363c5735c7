import { describe, expect, it } from "vitest";
import type { CommandMessage } from "../gateway/commands/commands.ts";
import { silentLogger } from "../gateway/core/log.ts";
import { noMetrics } from "../gateway/core/metrics.ts";
import type { Incoming } from "../gateway/core/uplink.ts";
import { type DownMessage, RunningDownlink } from "../gateway/downlink.ts";
import { acceptRules } from "../gateway/northbound/accept.ts";

function downlink(started = Promise.resolve(), failure?: Error) {
  const commands: CommandMessage[] = [];
  const published: DownMessage[] = [];
  const outcome = () => (failure ? Promise.reject(failure) : Promise.resolve());
  const rules = acceptRules(
    [
      { from: "acme/{gateway}/cmd/#", to: "cmd/#", qos: 1, retain: "strip" },
      { from: "acme/plans/#", to: "plans/#", qos: 1, retain: "keep" },
      { from: "acme/all/#", to: "#", qos: 1, retain: "strip" },
    ],
    "gw",
  );
  const made = new RunningDownlink({
    ...{ uplink: "cloud", gatewayId: "gw", rules, started, log: silentLogger, metrics: noMetrics },
    commands: {
      matches: (topic) => /^cmd\/[^/]+\/write$/.test(topic),
      isResult: (topic) => /^cmd\/[^/]+\/result$/.test(topic),
      take: (message) => {
        commands.push(message);
        return outcome();
      },
      answerFor: () => undefined,
    },
    publish: (message) => {
      published.push(message);
      return outcome();
    },
  });
  return { made, commands, published };
}

const incoming = (topic: string, over: Partial<Incoming> = {}): Incoming => ({
  ...{ topic, payload: Buffer.from("x"), qos: 1, retain: false, properties: [] },
  ...over,
});

describe("what comes down", () => {
  it("goes to the commands with whom it came from, its retain flag and where the answer goes", async () => {
    const { made, commands, published } = downlink();
    const reply = { responseTopic: "answers", correlation: Buffer.from("q") };
    await made.take(incoming("acme/gw/cmd/press/write", { ...reply, retain: true }));
    expect(commands).toEqual([
      {
        ...{ topic: "cmd/press/write", payload: Buffer.from("x"), retain: true, from: "uplink cloud", uplink: "cloud" },
        ...reply,
      },
    ]);
    expect(published).toEqual([]);
  });

  it("goes to the local broker otherwise, retained only where that is kept", async () => {
    const { made, published } = downlink();
    await made.take(incoming("acme/plans/line-1", { retain: true }));
    await made.take(incoming("acme/all/x/y", { retain: true, qos: 0 }));
    expect(published).toEqual([
      { topic: "plans/line-1", payload: Buffer.from("x"), qos: 1, retain: true },
      { topic: "x/y", payload: Buffer.from("x"), qos: 0, retain: false },
    ]);
  });

  it("is dropped where it is ours, a result, for no entry, or for a topic of the broker", async () => {
    const { made, commands, published } = downlink();
    await made.take(incoming("acme/plans/1", { properties: [["id", "gw/events/0a/1"]] }));
    await made.take(incoming("acme/gw/cmd/press/result"));
    await made.take(incoming("acme/gone/1"));
    await made.take(incoming("acme/all/$SYS/broker"));
    expect([commands, published]).toEqual([[], []]);
  });

  it("is not taken where it could not be kept", async () => {
    const { made } = downlink(undefined, new Error("no disk"));
    await expect(made.take(incoming("acme/plans/1"))).rejects.toThrow("no disk");
    await expect(made.take(incoming("acme/gw/cmd/press/write"))).rejects.toThrow("no disk");
  });

  it("waits for commands and broker to be started", async () => {
    let start = () => {};
    const { made, published } = downlink(
      new Promise((resolve) => {
        start = resolve;
      }),
    );
    const taken = made.take(incoming("acme/plans/1"));
    await Promise.resolve();
    expect(published).toEqual([]);
    start();
    await taken;
    expect(published).toHaveLength(1);
  });
});
