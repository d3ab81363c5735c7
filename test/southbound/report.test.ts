import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Sample } from "../../gateway/core/sample.ts";
import { Deadband } from "../../gateway/southbound/deadband.ts";
import { device, setup, tag } from "./setup.ts";

/** One reading of one tag: after `afterMs`, a value, or bad for one of two reasons. */
interface Reading {
  readonly afterMs: number;
  readonly value: number | "a" | "b";
}

interface Sent {
  readonly atMs: number;
  readonly sample: Sample;
}

const EVERY = 1000;

/** What is sent of readings, by a deadband that is woken when it asks for it, as a link does. */
function play(
  keys: { deadband?: number; maxSilenceMs?: number; minIntervalMs?: number },
  readings: readonly Reading[],
) {
  const deadband = new Deadband([tag("t", EVERY, keys)]);
  const sent: Sent[] = [];
  const given: Sent[] = [];
  let nowMs = 0;
  const wakeUntil = (untilMs: number) => {
    for (let nextMs = deadband.nextMs; nextMs <= untilMs; nextMs = deadband.nextMs) {
      for (const sample of deadband.late(nextMs)) sent.push({ atMs: nextMs, sample });
    }
  };
  for (const { afterMs, value } of readings) {
    wakeUntil(nowMs + afterMs);
    nowMs += afterMs;
    const sample: Sample =
      typeof value === "number"
        ? { tag: "t", quality: "good", value, monoMs: nowMs }
        : { tag: "t", quality: "bad", reason: value, monoMs: nowMs };
    given.push({ atMs: nowMs, sample });
    const due = deadband.due([sample], nowMs);
    for (const each of [...deadband.displaced(), ...due]) sent.push({ atMs: nowMs, sample: each });
  }
  wakeUntil(nowMs + 1_000_000);
  return { sent, given, endMs: nowMs };
}

const readings = fc.array(
  fc.record({
    afterMs: fc.oneof({ weight: 4, arbitrary: fc.integer({ min: 900, max: 1100 }) }, fc.integer({ min: 1, max: 9000 })),
    value: fc.oneof(
      { weight: 8, arbitrary: fc.integer({ min: 0, max: 4 }) },
      fc.constantFrom("a" as const, "b" as const),
    ),
  }),
  { minLength: 1, maxLength: 60 },
);
const keys = fc.record(
  {
    deadband: fc.constantFrom(0, 1, 2.5),
    maxSilenceMs: fc.integer({ min: 20_000, max: 40_000 }),
    minIntervalMs: fc.constantFrom(500, 1000, 3000, 15_000),
  },
  { requiredKeys: [] },
);
const same = (a: Sample, b: Sample) => a.quality === b.quality && a.value === b.value && a.reason === b.reason;

describe("what is sent of what was read", () => {
  it("a change of quality goes out at once, whatever else is asked for", () => {
    fc.assert(
      fc.property(keys, readings, (asked, list) => {
        const { sent, given } = play(asked, list);
        const changes = given.filter(({ sample }, index) => sample.quality !== given[index - 1]?.sample.quality);
        for (const change of changes) expect(sent).toContainEqual(change);
      }),
      { numRuns: 500 },
    );
  });

  it("the rate is kept on average, changes of quality apart, and two are never closer than nine tenths", () => {
    fc.assert(
      fc.property(keys, readings, (asked, list) => {
        const interval = asked.minIntervalMs ?? 0;
        const all = play(asked, list).sent;
        // What a change of quality overtook went out with it.
        const sent = all.filter((item, index) => {
          const next = all[index + 1];
          return next?.atMs !== item.atMs || next.sample.quality === item.sample.quality;
        });
        // From one change of quality to the next, the first included.
        let run: Sent[] = [];
        for (const [index, item] of sent.entries()) {
          if (item.sample.quality !== sent[index - 1]?.sample.quality) run = [];
          run.push(item);
          const [first, before] = [run[0], run.at(-2)];
          if (!first || !before) continue;
          expect(item.atMs - before.atMs).toBeGreaterThanOrEqual(0.9 * interval - 1e-6);
          expect(item.atMs - first.atMs).toBeGreaterThanOrEqual((run.length - 1.1) * interval - 1e-6);
        }
      }),
      { numRuns: 500 },
    );
  });

  it("is never silent for longer than maxSilence while it is read", () => {
    fc.assert(
      fc.property(keys, readings, (asked, list) => {
        const { maxSilenceMs } = asked;
        if (maxSilenceMs === undefined) return;
        const { sent, given } = play(asked, list);
        for (const { atMs } of given) {
          const last = sent.findLast((item) => item.atMs <= atMs);
          expect(atMs - (last?.atMs ?? 0)).toBeLessThanOrEqual(maxSilenceMs);
        }
      }),
      { numRuns: 500 },
    );
  });

  it("the last value always arrives, within the deadband, and in order", () => {
    fc.assert(
      fc.property(keys, readings, (asked, list) => {
        const { sent, given } = play(asked, list);
        const [last, arrived] = [given.at(-1)?.sample, sent.at(-1)?.sample];
        if (!last || !arrived) throw new Error("nothing was sent");
        const width = asked.deadband ?? 0;
        if (last.quality === "good" && width > 0) {
          expect(Math.abs(Number(last.value) - Number(arrived.value))).toBeLessThan(width);
        } else expect(same(last, arrived)).toBe(true);
        const times = sent.map(({ sample }) => sample.monoMs);
        expect(times).toEqual(times.toSorted((a, b) => a - b));
      }),
      { numRuns: 500 },
    );
  });

  it("a value that waited when the quality changed is not lost", () => {
    const { sent } = play({ minIntervalMs: 60_000 }, [
      { afterMs: 1000, value: 1 },
      { afterMs: 1000, value: 2 },
      { afterMs: 1000, value: "a" },
    ]);
    expect(sent.map(({ sample }) => sample.value ?? sample.reason)).toEqual([1, 2, "a"]);
  });
});

describe("a link", () => {
  it("sends a change that waits when its time has come, although nothing new is read", async () => {
    const { time, wire, link, scans } = setup([device("d", [tag("t", 10_000, { minIntervalMs: 25_000 })])]);
    let value = 0;
    wire.value = () => ++value;
    await link.start();
    await time.pass(60_000);
    const sent = scans.flatMap(({ samples, taken }) => samples.map((each) => ({ ...each, atMs: taken.monoMs })));
    const [first, second] = sent;
    if (!first || !second) throw new Error("too little was sent");
    expect(second.atMs - first.atMs).toBe(25_000);
    const read = wire.transactions.filter(({ endMs }) => endMs <= second.atMs);
    expect([second.value, second.monoMs]).toEqual([read.length, read.at(-1)?.endMs]);
    expect(second.monoMs).toBeLessThan(second.atMs);
    await link.stop();
  });

  it("sends it when it stops, and leaves no timer", async () => {
    const { time, wire, link, scans } = setup([device("d", [tag("t", 1000, { minIntervalMs: 3_600_000 })])]);
    let value = 0;
    wire.value = () => ++value;
    await link.start();
    await time.pass(10_500);
    expect(scans.length).toBe(1);
    await link.stop();
    expect(scans.map((scan) => scan.samples[0]?.value)).toEqual([1, value]);
    expect(time.pending).toBe(0);
  });

  it("tells an unchanged value again with a scan, at the latest after maxSilence", async () => {
    const { time, link, scans } = setup([
      device("d", [tag("t", 1000, { deadband: 0, maxSilenceMs: 10_000 }), tag("u", 1000)]),
    ]);
    await link.start();
    await time.pass(60_000);
    await link.stop();
    const told = scans.filter((scan) => scan.samples.some((sample) => sample.tag === "t"));
    expect(told.length).toBeGreaterThanOrEqual(6);
    expect(told.every((scan) => scan.samples.length === 2)).toBe(true);
    const gaps = told.slice(1).map((scan, index) => scan.taken.monoMs - (told[index]?.taken.monoMs ?? 0));
    expect(Math.max(...gaps)).toBeLessThanOrEqual(10_000);
  });
});
