import { describe, expect, it } from "vitest";
import { GroupRun } from "../../gateway/southbound/group-run.ts";
import { planLink, predictLoad } from "../../gateway/southbound/plan.ts";
import { scanGroups } from "../../gateway/southbound/scan.ts";
import { FakeWire } from "../fakes/fake-driver.ts";
import { device, setup, tag } from "./setup.ts";
import { VirtualTime } from "./virtual-time.ts";

const starts = (wire: FakeWire, name: string) =>
  wire.transactions.filter((each) => each.device === name).map((each) => each.startMs);

describe("scan groups", () => {
  it("puts tags together that have the same rate and the same stream", () => {
    const groups = scanGroups(
      device("d", [tag("a", 1000), tag("b", 200), tag("c", 1000), tag("e", 200, { stream: "events" })]),
    );
    expect(
      groups.map((group) => [group.name, group.stream, group.everyMs, group.tags.map((each) => each.name)]),
    ).toEqual([
      ["200ms", "telemetry", 200, ["b"]],
      ["200ms-events", "events", 200, ["e"]],
      ["1000ms", "telemetry", 1000, ["a", "c"]],
    ]);
  });

  it("predicts how busy the bus will be from the plan", () => {
    const wire = new FakeWire(new VirtualTime());
    wire.replyMs = 50;
    wire.perRequest = 2;
    const devices = [device("d", [tag("a", 1000), tag("b", 1000), tag("c", 1000), tag("f", 100)])];
    expect(predictLoad(planLink(wire.driver(), devices))).toBeCloseTo(60);
    expect(predictLoad([])).toBe(0);
  });
});

describe("scan scheduling", () => {
  it("does not drift over 10,000 periods", async () => {
    const { time, wire, link, scans } = setup([device("d", [tag("a", 137)])]);
    await link.start();
    await time.pass(137 * 10_000);
    const at = starts(wire, "d");
    const first = at[0] ?? Number.NaN;
    expect(at.length).toBe(10_000);
    for (const [n, startMs] of at.entries()) expect(startMs).toBeCloseTo(first + n * 137, 3);
    expect(scans.length).toBe(10_000);
    expect(link.status().overruns).toBe(0);
    await link.stop();
  });

  it("does not drift where a period is not a whole number of milliseconds", () => {
    const plan = planLink(new FakeWire(new VirtualTime()).driver(), [device("d", [tag("a", 33.3)])])[0];
    if (!plan) throw new Error("no plan");
    const run = new GroupRun(plan, 0.7);
    run.resume(0.7);
    const first = run.wakeMs;
    let missed = 0;
    for (let n = 0; n < 10_000; n++) {
      const nowMs = run.wakeMs;
      expect(nowMs).toBeCloseTo(first + n * 33.3, 3);
      const turn = run.take(nowMs);
      if (!turn) throw new Error("no turn");
      missed += turn.missed + (run.give(turn, [], nowMs)?.missed ?? 0);
    }
    expect(missed).toBe(0);
  });

  it("has one transaction on the wire at a time, and counts every scan it leaves out", async () => {
    const { time, wire, link, good, numbers } = setup([device("slow", [tag("a", 100)]), device("d", [tag("b", 1000)])]);
    wire.replyMs = 240;
    await link.start();
    await time.pass(60_000);
    expect(wire.most).toBe(1);
    const scans = good("slow").length;
    const overruns = numbers.get("millrace_scan_overruns_total line slow") ?? 0;
    expect(overruns).toBeGreaterThan(300);
    // Each release was either run, left out, or is the one under way or waiting.
    expect(600 - scans - overruns).toBeGreaterThanOrEqual(0);
    expect(600 - scans - overruns).toBeLessThanOrEqual(3);
    // The saturated bus still gives the other device its turn.
    expect(good("d").length).toBeGreaterThanOrEqual(58);
    expect(link.status().devices.find((each) => each.name === "slow")?.overruns).toBe(overruns);
    expect(link.status().loadPercent).toBeGreaterThan(95);
    await link.stop();
  });

  it("takes the newest run in place of older ones that were not begun", async () => {
    const { time, wire, link } = setup([device("long", [tag("a", 10_000)]), device("fast", [tag("b", 100)])]);
    await link.start();
    await time.pass(20_000);
    const before = starts(wire, "fast").length;
    wire.replyMs = 1000;
    await time.pass(1000);
    wire.replyMs = 1;
    await time.pass(1000);
    // One long transaction: ten releases passed, one catches up, the rest is counted.
    const after = starts(wire, "fast").length - before;
    expect(after + link.status().overruns).toBeGreaterThanOrEqual(19);
    expect(after).toBeLessThan(14);
    await link.stop();
  });

  it("never lets a scan group overlap itself when the driver allows more at once", async () => {
    const { time, wire, link } = setup([device("a", [tag("t", 50)]), device("b", [tag("t", 50)])]);
    wire.concurrency = 4;
    wire.replyMs = 120;
    await link.start();
    await time.pass(10_000);
    expect(wire.most).toBe(2);
    for (const name of ["a", "b"]) {
      const own = wire.transactions.filter((each) => each.device === name);
      for (const [index, each] of own.entries()) {
        const next = own[index + 1];
        if (next) expect(next.startMs).toBeGreaterThanOrEqual(each.endMs);
      }
    }
    await link.stop();
  });

  it("lets fast groups run between the requests of a slow one, and the slow one keeps its deadline", async () => {
    const tags = Array.from({ length: 10 }, (_, n) => tag(`s${n}`, 2000));
    const { time, wire, link, good } = setup([device("d", [...tags, tag("fast", 100)])]);
    wire.perRequest = 1;
    wire.replyMs = 45;
    await link.start();
    await time.pass(60_000);
    const fast = good("d").filter((scan) => scan.group === "100ms").length;
    const slow = good("d").filter((scan) => scan.group === "2000ms");
    expect(fast).toBeGreaterThanOrEqual(598);
    expect(slow.length).toBeGreaterThanOrEqual(29);
    expect(slow.every((scan) => scan.samples.length === 10)).toBe(true);
    expect(link.status().overruns).toBe(0);
    await link.stop();
  });

  it("spreads groups in phase", async () => {
    const devices = Array.from({ length: 20 }, (_, n) => device(`press-${n}`, [tag("a", 1000)]));
    const { time, wire, link } = setup(devices);
    wire.replyMs = 1;
    await link.start();
    await time.pass(1001);
    const offsets = devices.map((each) => (starts(wire, each.name)[0] ?? Number.NaN) - 1000);
    for (const quarter of [0, 250, 500, 750]) {
      const inside = offsets.filter((offset) => offset >= quarter && offset < quarter + 250).length;
      expect(inside).toBeGreaterThanOrEqual(2);
      expect(inside).toBeLessThanOrEqual(9);
    }
    await link.stop();
  });

  it("reads a group with a long period soon after the connection, and then at its own rate", async () => {
    const { time, link, good } = setup([device("d", [tag("a", 3_600_000)])]);
    await link.start();
    await time.pass(1100);
    expect(good("d").length).toBe(1);
    await time.pass(3_600_000);
    expect(good("d").length).toBe(2);
    await link.stop();
  });

  it("drops what comes back for a run that was cut short", () => {
    const wire = new FakeWire(new VirtualTime());
    wire.perRequest = 1;
    const plan = planLink(wire.driver(), [device("d", [tag("a", 100), tag("b", 100)])])[0];
    if (!plan) throw new Error("no plan");
    const run = new GroupRun(plan, 0);
    const sample = (name: string) => ({ tag: name, quality: "good", value: 1, monoMs: 0 }) as const;
    run.resume(0);
    const old = run.take(run.wakeMs);
    if (!old) throw new Error("no turn");
    expect(run.suspend()).toEqual([]);
    run.resume(1000);
    const nowMs = run.wakeMs;
    const turns = [run.take(nowMs), run.take(nowMs)];
    expect(run.give(old, [sample("a")], nowMs)).toBeUndefined();
    const given = turns.map((turn) => turn && run.give(turn, [sample(turn.request.label)], nowMs));
    expect(given).toEqual([undefined, { samples: [sample("a"), sample("b")], missed: 0 }]);
  });
});
