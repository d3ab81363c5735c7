import { describe, expect, it } from "vitest";
import { ConfigError } from "../../gateway/core/errors.ts";
import { Backoff } from "../../gateway/southbound/backoff.ts";
import { device, setup, tag } from "./setup.ts";
import { settled } from "./virtual-time.ts";

const TWO = [device("a", [tag("x", 200), tag("y", 5000)]), device("b", [tag("x", 200)])];

describe("back-off", () => {
  it("stays within its bounds, grows, and begins anew", () => {
    const values = [0.9, 0.1, 0.99, 0.99, 0.99, 0.99];
    let at = 0;
    const backoff = new Backoff(1000, 30_000, () => values[at++ % values.length] ?? 0);
    const pauses = Array.from({ length: 6 }, () => backoff.next());
    expect(pauses.every((pause) => pause >= 1000 && pause <= 30_000)).toBe(true);
    expect(pauses[0]).toBeCloseTo(2800);
    expect(pauses[1]).toBeCloseTo(1740);
    expect(Math.max(...pauses)).toBe(30_000);
    backoff.reset();
    expect(backoff.next()).toBeLessThanOrEqual(3000);
  });
});

describe("link", () => {
  it("connects again with a new driver after the connection is lost, and says so once", async () => {
    const { time, wire, link, allBad, good, lines, numbers } = setup(TWO);
    await link.start();
    await time.pass(40_000);
    const before = good("a").length;
    expect(before).toBeGreaterThan(195);
    wire.connecting = "refuse";
    wire.cut();
    await time.pass(30_000);
    expect(link.status()).toMatchObject({ state: expect.stringMatching(/down|connecting/), lastError: "refused" });
    expect(allBad("a", "link down").length).toBe(2);
    expect(allBad("b", "link down").length).toBe(1);
    expect(numbers.get("millrace_link_connected line")).toBe(0);
    await time.pass(270_000);
    // At the change, then once a minute: not at the rate of the tags.
    expect(allBad("b", "link down").length).toBe(5);
    wire.connecting = "accept";
    await time.pass(31_000);
    expect(link.status().state).toBe("connected");
    expect(good("a").length).toBeGreaterThan(before);
    expect(wire.drivers.length).toBeGreaterThan(5);
    expect(wire.drivers.slice(0, -1).every((driver) => driver.closed === 1)).toBe(true);
    const said = lines.filter((line) => line.level === "warn" || line.message === "link connected");
    expect(said.map((line) => line.message)).toEqual([
      "link connected",
      "link lost",
      "link cannot connect",
      "link connected",
    ]);
    await link.stop();
  });

  it("keeps the rates after it was lost for a moment", async () => {
    const { time, wire, link, good } = setup([device("a", [tag("x", 200)])]);
    await link.start();
    await time.pass(60_000);
    wire.cut();
    await time.pass(3_000);
    const before = good("a").length;
    await time.pass(60_000);
    expect(good("a").length - before).toBeGreaterThanOrEqual(299);
    await link.stop();
  });

  it("does not fill the queue or the log when connections end at once", async () => {
    const { time, wire, link, scans, lines } = setup([device("a", [tag("x", 200)])]);
    wire.devices.set("a", new ConfigError("not a link error, so a fault of the driver"));
    await link.start();
    await time.pass(600_000);
    expect(wire.drivers.length).toBeGreaterThan(15);
    expect(wire.drivers.length).toBeLessThan(60);
    expect(scans.length).toBeLessThanOrEqual(11);
    const faults = lines.filter((line) => line.message === "a driver failed in an unexpected way");
    expect(faults.length).toBeGreaterThan(0);
    expect(lines.filter((line) => line.message === "link lost").length).toBe(1);
    expect(lines.filter((line) => line.message === "link in the last minute").length).toBeLessThanOrEqual(10);
    await link.stop();
  });

  it("rebuilds a connection on which nobody answers, less and less, and recovers", async () => {
    const { time, wire, link, good, allBad, lines } = setup(TWO);
    await link.start();
    await time.pass(5_000);
    wire.devices.set("a", "silent").set("b", "silent");
    await time.pass(16_000);
    expect(wire.drivers.length).toBeGreaterThanOrEqual(2);
    await time.pass(600_000);
    expect(wire.drivers.length).toBeLessThan(20);
    expect(allBad("a", "link down").length).toBe(0);
    expect(lines.filter((line) => line.message === "no device answers, link is rebuilt").length).toBe(1);
    wire.devices.clear();
    const before = good("b").length;
    await time.pass(15_000);
    expect(good("b").length).toBeGreaterThan(before);
    await link.stop();
  });

  it("asks a device whose turn is rare before it takes the link for dead", async () => {
    const { time, wire, link, good } = setup([device("fast", [tag("x", 200)]), device("rare", [tag("x", 3_600_000)])]);
    await link.start();
    await time.pass(2_000);
    wire.devices.set("fast", "silent");
    await time.pass(300_000);
    expect(wire.drivers.length).toBe(1);
    expect(good("rare").length).toBe(1);
    wire.devices.set("rare", "silent");
    await time.pass(60_000);
    expect(wire.drivers.length).toBeGreaterThan(1);
    await link.stop();
  });

  it("gives up a call that hangs, as a request without an answer", async () => {
    const { time, wire, link, good, allBad } = setup(TWO, { callLimitMs: 3_000 });
    wire.devices.set("a", "hang");
    await link.start();
    await time.pass(15_000);
    expect(allBad("a", "timeout").length).toBeGreaterThan(0);
    expect(good("b").length).toBeGreaterThan(20);
    await link.stop();
  });

  it("replaces a driver that does not even give up when it is told to", async () => {
    const { time, wire, link, good } = setup([device("a", [tag("x", 200)])], { callLimitMs: 3_000 });
    wire.devices.set("a", "deaf");
    await link.start();
    await time.pass(5_000);
    wire.devices.clear();
    await time.pass(5_000);
    expect(wire.drivers.length).toBe(2);
    expect(good("a").length).toBeGreaterThan(5);
    await link.stop();
  });

  it("bounds a connect that hangs", async () => {
    const { time, wire, link, good } = setup(TWO);
    wire.connecting = "hang";
    await link.start();
    await time.pass(10_500);
    expect(link.status().state).toBe("down");
    wire.connecting = "accept";
    await time.pass(10_000);
    expect(good("a").length).toBeGreaterThan(0);
    await link.stop();
  });

  it("stops trying when the driver says that the configuration cannot work", async () => {
    const { time, wire, link, faults, allBad } = setup(TWO);
    wire.connecting = "misconfigured";
    await link.start();
    await time.pass(120_000);
    expect(faults).toEqual([expect.any(ConfigError)]);
    expect(wire.drivers.length).toBe(1);
    expect(link.status()).toMatchObject({ state: "failed", lastError: "no such port" });
    expect(allBad("a", "link down").length).toBeGreaterThanOrEqual(2);
    await link.stop();
  });

  it("rejects start with the tag that cannot be planned, and leaves nothing", async () => {
    const { time, link } = setup([device("a", [tag("x", 200, { type: "unplannable" })])]);
    await expect(link.start()).rejects.toThrow(ConfigError);
    expect(time.pending).toBe(0);
    await link.stop();
  });

  it("does not fall over an emit that throws", async () => {
    const { time, link, good, scans, lines } = setup(TWO);
    const push = scans.push.bind(scans);
    scans.push = (...more) => {
      if (scans.length === 3) {
        push(...more);
        throw new Error("full");
      }
      return push(...more);
    };
    await link.start();
    await time.pass(5_000);
    expect(good("b").length).toBeGreaterThan(20);
    expect(lines.filter((line) => line.level === "error").length).toBe(1);
    await link.stop();
  });

  it("counts busy time, scans and replies for each device", async () => {
    const { time, wire, link, numbers } = setup(TWO);
    wire.replyMs = 20;
    await link.start();
    await time.pass(60_000);
    const busy = numbers.get("millrace_link_busy_seconds_total line b") ?? 0;
    expect(busy).toBeCloseTo(300 * 0.02, 0);
    expect(numbers.get("millrace_scans_total line b")).toBeGreaterThanOrEqual(298);
    expect(numbers.get("millrace_reply_seconds_count line b")).toBe(numbers.get("millrace_scans_total line b"));
    // Two groups at 200 ms and one at 5 s, 20 ms each.
    expect(link.status().loadPercent).toBeGreaterThan(19);
    expect(link.status().loadPercent).toBeLessThan(22);
    expect(link.status().lastReply).toBeGreaterThan(0);
    await link.stop();
  });
});

describe("stop", () => {
  it.each(["answer", "silent", "hang", "deaf"] as const)(
    "leaves nothing in the middle of a read (%s)",
    async (behaviour) => {
      const { time, wire, link, scans } = setup(TWO);
      wire.replyMs = 150;
      for (const { name } of TWO) wire.devices.set(name, behaviour);
      await link.start();
      await time.pass(300);
      expect(wire.transactions.some((each) => each.outcome === "open")).toBe(true);
      let stopped = false;
      const stopping = link.stop().then(() => {
        stopped = true;
      });
      await time.pass(3_000);
      expect(stopped).toBe(true);
      await stopping;
      expect(time.pending).toBe(0);
      expect(wire.drivers.every((driver) => driver.closed > 0)).toBe(true);
      const count = scans.length;
      await time.pass(60_000);
      expect(scans.length).toBe(count);
      expect(link.status().state).toBe("stopped");
    },
  );

  it.each(["refuse", "hang"] as const)("leaves nothing while it connects (%s)", async (how) => {
    const { time, wire, link } = setup(TWO);
    wire.connecting = how;
    await link.start();
    await time.pass(1_000);
    await link.stop();
    expect(time.pending).toBe(0);
    expect(wire.drivers.every((driver) => driver.closed === 1)).toBe(true);
  });

  it("may be called before start, twice, and at once after start; the link can be started again", async () => {
    const { time, wire, link, good } = setup(TWO);
    await link.stop();
    const starting = link.start();
    await Promise.all([link.stop(), link.stop(), starting]);
    await settled();
    expect(time.pending).toBe(0);
    expect(wire.drivers.every((driver) => driver.closed > 0)).toBe(true);
    await link.start();
    await time.pass(3_000);
    expect(good("a").length).toBeGreaterThan(5);
    await link.stop();
    expect(time.pending).toBe(0);
  });
});
