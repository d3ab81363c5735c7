import { describe, expect, it } from "vitest";
import { Headway } from "../../gateway/southbound/headway.ts";
import { device, setup, tag } from "./setup.ts";
import { VirtualTime } from "./virtual-time.ts";

const ONE = [device("a", [tag("x", 200)])];
const QUICK = { callLimitMs: 1_000, graceMs: 500, watchdogMs: 3_600_000 };

describe("a link's work", () => {
  it("is none of its own while the device answers, is silent, refuses, or cannot be connected", async () => {
    const { time, wire, link } = setup(ONE, QUICK);
    await link.start();
    const longest = async (ms: number) => {
      let most = 0;
      for (let at = 0; at < ms; at += 100) {
        await time.pass(100);
        const work = link.work();
        most = Math.max(most, (work?.forMs ?? 0) - (work?.mayTakeMs ?? 0));
      }
      return most;
    };
    expect(await longest(10_000)).toBeLessThanOrEqual(0);
    wire.devices.set("a", "silent");
    expect(await longest(60_000)).toBeLessThanOrEqual(0);
    // Up to its limit, and then it gives up: slow, but not stuck.
    wire.devices.set("a", "hang");
    expect(await longest(60_000)).toBeLessThanOrEqual(0);
    wire.connecting = "refuse";
    wire.cut();
    expect(await longest(120_000)).toBeLessThanOrEqual(0);
    wire.connecting = "hang";
    expect(await longest(120_000)).toBeLessThanOrEqual(0);
    await link.stop();
    expect(link.work()).toBeUndefined();
  });

  it("is stuck when its driver does not give up, on a second connection too", async () => {
    const { time, wire, link } = setup(ONE, QUICK);
    await link.start();
    await time.pass(1_000);
    wire.devices.set("a", "deaf");
    await time.pass(1_700);
    expect(link.work()?.doing).not.toBe("its driver does not give up calls");
    await time.pass(30_000);
    expect(link.work()).toMatchObject({ doing: "its driver does not give up calls", mayTakeMs: 0 });
    expect(link.work()?.forMs).toBeGreaterThan(25_000);
    wire.devices.set("a", "answer");
    await time.pass(60_000);
    expect(link.work()?.doing).not.toBe("its driver does not give up calls");
    await link.stop();
  });
});

describe("Headway", () => {
  it("counts the time since the last end of a call, while there are calls", async () => {
    const time = new VirtualTime();
    const headway = new Headway(() => time.nowMs());
    expect(headway.work(100)).toBeUndefined();
    headway.begun();
    await time.pass(40);
    headway.begun();
    await time.pass(10);
    expect(headway.work(100)).toEqual({ doing: "no call of its driver ends", forMs: 50, mayTakeMs: 200 });
    headway.ended();
    await time.pass(5);
    expect(headway.work(100)?.forMs).toBe(5);
    headway.ended();
    expect(headway.work(100)).toBeUndefined();
  });

  it("says when nobody looks after the link any more", async () => {
    const time = new VirtualTime();
    const headway = new Headway(() => time.nowMs());
    headway.broken();
    await time.pass(70);
    expect(headway.work(100)).toEqual({ doing: "its supervision ended", forMs: 70, mayTakeMs: 0 });
  });
});
