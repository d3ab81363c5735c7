import { describe, expect, it } from "vitest";
import { device, setup, tag } from "./setup.ts";

const two = () => [device("a", [tag("t", 100)]), device("b", [tag("t", 100)])];

describe("a request that must not be asked yet", () => {
  it("leaves the wire to the others, and is asked when it may be", async () => {
    const { time, wire, link } = setup(two());
    wire.replyMs = 10;
    await link.start();
    await time.pass(5000);
    const fromMs = time.nowMs();
    wire.heldUntilMs.set("a", fromMs + 2000);
    await time.pass(3000);
    const of = (name: string) => wire.transactions.filter((each) => each.device === name && each.startMs >= fromMs);
    expect(of("b").length).toBeGreaterThanOrEqual(29);
    const [first, second] = of("a").map(({ startMs }) => startMs - fromMs);
    expect(first).toBeGreaterThanOrEqual(2000);
    expect(first).toBeLessThanOrEqual(2010);
    expect(second).toBeLessThanOrEqual(2110);
    await link.stop();
  });

  it("is waited for in the middle of a scan, without taking the other requests' places", async () => {
    const { time, wire, link, good } = setup([
      device("a", [tag("x", 1000), tag("y", 1000)]),
      device("b", [tag("t", 50)]),
    ]);
    wire.perRequest = 1;
    wire.replyMs = 10;
    await link.start();
    await time.pass(5000);
    wire.heldUntilMs.set("a y", time.nowMs() + 700);
    const fromMs = time.nowMs();
    const scans = good("a").length;
    await time.pass(2000);
    const y = wire.transactions.filter(({ what, startMs }) => what === "y" && startMs >= fromMs);
    expect(y[0]?.startMs).toBeGreaterThanOrEqual(fromMs + 700);
    expect(good("a").length - scans).toBeGreaterThanOrEqual(1);
    expect(
      wire.transactions.filter(({ device: name, startMs }) => name === "b" && startMs >= fromMs).length,
    ).toBeGreaterThan(37);
    await link.stop();
  });

  it("keeps a write waiting, in its order, and not those to other devices", async () => {
    const { time, wire, link } = setup(two());
    await link.start();
    await time.pass(1000);
    wire.heldUntilMs.set("a write", time.nowMs() + 1500);
    const write = (name: string, value: number) =>
      link.write(name, [{ tag: tag("t", 100), value }], new AbortController().signal);
    const done = Promise.all([write("a", 1), write("b", 2), write("a", 3)]);
    await time.pass(1000);
    const writes = () =>
      wire.transactions
        .filter(({ what }) => what.startsWith("write"))
        .map(({ device: name, what }) => `${name} ${what}`);
    expect(writes()).toEqual(["b write t=2"]);
    await time.pass(1000);
    await done;
    expect(writes()).toEqual(["b write t=2", "a write t=1", "a write t=3"]);
    await link.stop();
  });

  it("keeps a probe waiting, and probes another device meanwhile", async () => {
    const { time, wire, link } = setup([...two(), device("c", [tag("t", 100)])]);
    wire.devices.set("a", "silent");
    wire.devices.set("b", "silent");
    await link.start();
    await time.pass(10_000);
    const fromMs = time.nowMs();
    wire.heldUntilMs.set("a probe", fromMs + 60_000);
    await time.pass(60_000);
    const probes = (name: string) =>
      wire.transactions.filter(
        ({ device: own, what, startMs }) => own === name && what === "probe" && startMs > fromMs,
      );
    expect(probes("a").length).toBe(0);
    expect(probes("b").length).toBeGreaterThan(5);
    wire.devices.clear();
    await time.pass(10_000);
    expect(link.status().devices.map(({ state }) => state)).toEqual(["online", "online", "online"]);
    await link.stop();
  });
});
