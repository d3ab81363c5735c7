import { describe, expect, it, vi } from "vitest";
import type { Downlink, Incoming, Taken } from "../../gateway/core/uplink.ts";
import { InOrder } from "../../gateway/northbound/in-order.ts";

/** Keeps what it is given, but for the topics that are told to fail. */
class Keeper implements Downlink {
  readonly kept: string[] = [];
  readonly asked: string[] = [];
  readonly failing = new Set<string>();
  take({ topic, payload }: Incoming): Promise<Taken> {
    const what = `${topic} ${Buffer.from(payload)}`;
    this.asked.push(what);
    if (this.failing.has(topic)) return Promise.reject(new Error("the local broker is away"));
    this.kept.push(what);
    return Promise.resolve("kept");
  }
}

function message(topic: string, text: string): Incoming {
  return { topic, payload: Buffer.from(text), qos: 1, retain: false, properties: [] };
}

function start(againMs = 1) {
  const keeper = new Keeper();
  const failures: string[] = [];
  const order = new InOrder(keeper, againMs, ({ topic }) => failures.push(topic));
  const done: [string, Taken | undefined][] = [];
  const take = (topic: string, text: string) =>
    order.take(message(topic, text), (became) => done.push([`${topic} ${text}`, became]));
  return { keeper, order, failures, done, take };
}

describe("what comes down", () => {
  it("keeps the order of its topic where the first could not be kept (plan 0 after plan 19)", async () => {
    const { keeper, take, failures, done } = start();
    keeper.failing.add("plan");
    take("plan", "0");
    await vi.waitFor(() => expect(failures).not.toEqual([]));
    keeper.failing.clear();
    for (let n = 1; n < 20; n++) take("plan", String(n));
    await vi.waitFor(() => expect(done).toHaveLength(20));
    expect(keeper.kept).toEqual(Array.from({ length: 20 }, (_, n) => `plan ${n}`));
    expect(done.map(([what]) => what)).toEqual(keeper.kept);
    // And goes straight through afterwards.
    take("plan", "20");
    expect(keeper.kept).toContain("plan 20");
  });

  it("of another topic does not wait for it", async () => {
    const { keeper, take, failures, done, order } = start();
    keeper.failing.add("plan/1");
    take("plan/1", "a");
    await vi.waitFor(() => expect(failures.length).toBeGreaterThan(1));
    take("plan/2", "b");
    take("plan/1", "c");
    await vi.waitFor(() => expect(done).toEqual([["plan/2 b", "kept"]]));
    expect(keeper.asked).not.toContain("plan/1 c");
    order.end();
  });

  it("is given up at the end, so that its sender gives it again", async () => {
    const { keeper, take, failures, done, order } = start(60_000);
    keeper.failing.add("plan");
    take("plan", "0");
    await vi.waitFor(() => expect(failures).toHaveLength(1));
    take("plan", "1");
    order.end();
    expect(done).toEqual([
      ["plan 0", undefined],
      ["plan 1", undefined],
    ]);
    take("plan", "2");
    await vi.waitFor(() => expect(done.at(-1)).toEqual(["plan 2", undefined]));
  });
});
