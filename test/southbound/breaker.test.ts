import { describe, expect, it } from "vitest";
import type { FakeWire } from "../fakes/fake-driver.ts";
import { device, setup, tag } from "./setup.ts";

const FIVE = [1, 2, 3, 4, 5].map((n) => device(`u${n}`, [tag("a", 200), tag("b", 1000)]));

function busyMs(wire: FakeWire, names: readonly string[], fromMs: number): number {
  const own = wire.transactions.filter((each) => names.includes(each.device) && each.startMs >= fromMs);
  return own.reduce((sum, each) => sum + (each.outcome === "open" ? 0 : each.endMs - each.startMs), 0);
}

describe("breaker", () => {
  it.each([
    { dead: 1, timeoutMs: 250 },
    { dead: 1, timeoutMs: 1000 },
    { dead: 3, timeoutMs: 500 },
  ])(
    "$dead dead of five units with a timeout of $timeoutMs ms cost at most 5 % of the bus",
    async ({ dead, timeoutMs }) => {
      const { time, wire, link, good } = setup(FIVE);
      wire.timeoutMs = timeoutMs;
      const gone = FIVE.slice(0, dead).map((each) => each.name);
      await link.start();
      await time.pass(10_000);
      for (const name of gone) wire.devices.set(name, "silent");
      await time.pass(5_000 + 2 * dead * timeoutMs);
      const counted = new Map(FIVE.map((each) => [each.name, good(each.name).length]));
      const fromMs = time.nowMs();
      const spanMs = 600_000;
      await time.pass(spanMs);
      expect(busyMs(wire, gone, fromMs)).toBeGreaterThan(0);
      // The pause that pays for the last probe may lie beyond the span.
      expect((busyMs(wire, gone, fromMs) - timeoutMs) / spanMs).toBeLessThanOrEqual(0.05);
      for (const { name } of FIVE.slice(dead)) {
        const scans = good(name).length - (counted.get(name) ?? 0);
        expect(scans).toBeGreaterThanOrEqual(0.95 * (spanMs / 200 + spanMs / 1000));
      }
      await link.stop();
    },
  );

  it.each([
    { dead: 1, timeoutMs: 20 },
    { dead: 1, timeoutMs: 400 },
    { dead: 2, timeoutMs: 200 },
    { dead: 2, timeoutMs: 1000 },
    { dead: 4, timeoutMs: 300 },
  ])(
    "$dead dead with a timeout of $timeoutMs ms come back within the bound, whenever they do",
    async ({ dead, timeoutMs }) => {
      const { time, wire, link, good } = setup(FIVE);
      wire.timeoutMs = timeoutMs;
      const gone = FIVE.slice(0, dead).map((each) => each.name);
      // What may lie before the probe that finds it: one transaction of another unit, and the answer itself.
      const boundMs = Math.max(10_000, 20 * dead * timeoutMs) + 2 * wire.replyMs;
      await link.start();
      await time.pass(3_000);
      for (const awayMs of [500, 2_500, 7_300, 31_000, 64_321]) {
        for (const name of gone) wire.devices.set(name, "silent");
        await time.pass(awayMs + 3 * dead * timeoutMs);
        const [first = ""] = gone;
        wire.devices.set(first, "answer");
        const before = wire.transactions.length;
        const fromMs = time.nowMs();
        await time.pass(boundMs);
        const answer = wire.transactions
          .slice(before)
          .find((each) => each.device === first && each.outcome === "answered");
        expect(answer, `away ${awayMs}`).toBeDefined();
        expect((answer?.endMs ?? Number.NaN) - fromMs).toBeLessThanOrEqual(boundMs);
        for (const name of gone) wire.devices.set(name, "answer");
        await time.pass(2 * boundMs);
        for (const { name } of FIVE) {
          const count = good(name).length;
          await time.pass(1_500);
          expect(good(name).length).toBeGreaterThan(count + 5);
        }
      }
      await link.stop();
    },
  );

  it("probes in turn: devices that went off later do not push back one that has been off for long", async () => {
    const { time, wire, link } = setup(FIVE);
    wire.timeoutMs = 200;
    const boundMs = 20 * 3 * wire.timeoutMs + 2 * wire.replyMs;
    await link.start();
    await time.pass(2_000);
    for (let offsetMs = 0; offsetMs < 4_000; offsetMs += 450) {
      wire.devices.set("u1", "silent");
      await time.pass(40_000 + offsetMs);
      const before = wire.transactions.length;
      wire.devices.set("u2", "silent").set("u3", "silent");
      await time.pass(60_000);
      const probes = wire.transactions.slice(before).filter((each) => each.device === "u1");
      const gaps = probes.slice(1).map((each, n) => each.startMs - (probes[n]?.startMs ?? Number.NaN));
      expect(gaps.length).toBeGreaterThan(3);
      expect(Math.max(...gaps)).toBeLessThanOrEqual(boundMs);
      wire.devices.clear();
      await time.pass(30_000);
    }
    await link.stop();
  });

  it("probes briefly what used to answer quickly, and in full now and then", async () => {
    const { time, wire, link } = setup(FIVE);
    wire.timeoutMs = 1000;
    const name = FIVE[0]?.name ?? "";
    await link.start();
    await time.pass(10_000);
    wire.devices.set(name, "silent");
    await time.pass(5_000);
    const fromMs = time.nowMs();
    await time.pass(120_000);
    const probes = wire.transactions.filter(
      (each) => each.device === name && each.startMs >= fromMs && each.outcome !== "open",
    );
    const took = probes.map((each) => Math.round(each.endMs - each.startMs));
    expect(new Set(took)).toEqual(new Set([100, 1000]));
    expect(took.filter((ms) => ms === 100).length).toBeGreaterThan(2 * took.filter((ms) => ms === 1000).length);
  });

  it("makes tags bad at the change, then once a minute, and reads again at the first answer", async () => {
    const { time, wire, link, allBad, good, lines, numbers } = setup([...FIVE.slice(0, 2)]);
    await link.start();
    await time.pass(5_000);
    expect(link.status().devices[0]).toMatchObject({ name: "u1", state: "online" });
    wire.devices.set("u1", "silent");
    await time.pass(5_000);
    const atChange = allBad("u1", "timeout").length;
    // One scan with the first timeout, then one for each group of the device.
    expect(atChange).toBe(3);
    expect(link.status().devices[0]).toMatchObject({ name: "u1", state: "offline" });
    expect(numbers.get("millrace_device_online line u1")).toBe(0);
    await time.pass(300_000);
    expect(allBad("u1", "timeout").length - atChange).toBeLessThanOrEqual(2 * 5);
    expect(allBad("u1", "timeout").length - atChange).toBeGreaterThanOrEqual(2 * 4);
    const bad = allBad("u1", "timeout");
    expect(bad.every((scan) => scan.samples.every((each) => each.value === undefined))).toBe(true);
    const before = good("u1").length;
    wire.devices.set("u1", "answer");
    await time.pass(10_000);
    expect(good("u1").length).toBeGreaterThan(before + 20);
    expect(numbers.get("millrace_device_online line u1")).toBe(1);
    const said = lines.filter((line) => line.level !== "debug" && line.message.startsWith("device"));
    expect(said.map((line) => line.message)).toEqual([
      "device answers",
      "device answers",
      "device does not answer",
      "device answers",
    ]);
    await link.stop();
  });

  it("takes one request without an answer for that scan only", async () => {
    const { time, wire, link, scans, allBad } = setup([device("d", [tag("a", 1000)])]);
    await link.start();
    await time.pass(5_000);
    wire.devices.set("d", "silent");
    await time.pass(1_000);
    wire.devices.set("d", "answer");
    await time.pass(10_000);
    expect(allBad("d", "timeout").length).toBe(1);
    expect(link.status().devices[0]).toMatchObject({ state: "online", timeouts: 1 });
    expect(scans.length).toBeGreaterThanOrEqual(14);
    await link.stop();
  });

  it("keeps a unit that answers probes but no reads within its share", async () => {
    const { time, wire, link } = setup([device("odd", [tag("a", 200)]), device("d", [tag("a", 200)])]);
    wire.timeoutMs = 500;
    await link.start();
    await time.pass(1_000);
    const odd = wire.driver.bind(wire);
    wire.driver = () => {
      const driver = odd();
      const { read } = driver;
      driver.read = (request, signal) => {
        wire.devices.set("odd", "silent");
        return read.call(driver, request, signal).finally(() => wire.devices.set("odd", "answer"));
      };
      return driver;
    };
    wire.cut();
    await time.pass(20_000);
    const fromMs = time.nowMs();
    await time.pass(600_000);
    expect(link.status().devices[0]?.timeouts).toBeGreaterThan(10);
    expect(busyMs(wire, ["odd"], fromMs)).toBeLessThanOrEqual(0.052 * 600_000);
    await link.stop();
  });

  it("probes with the first request of a device where the driver has no probe", async () => {
    const { time, wire, link, good } = setup([device("d", [tag("a", 200)]), device("e", [tag("a", 200)])]);
    wire.probes = false;
    await link.start();
    wire.devices.set("d", "silent");
    await time.pass(5_000);
    expect(good("d").length).toBe(0);
    wire.devices.set("d", "answer");
    await time.pass(11_000);
    expect(good("d").length).toBeGreaterThan(4);
    expect(wire.transactions.some((each) => each.what === "probe")).toBe(false);
    await link.stop();
  });
});
