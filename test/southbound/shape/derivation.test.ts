import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { DerivedTag, Rule } from "../../../gateway/core/derived.ts";
import { parseExpression } from "../../../gateway/core/expression/parse.ts";
import type { Value } from "../../../gateway/core/sample.ts";
import { CounterWatch } from "../../../gateway/southbound/shape/counter.ts";
import { device, setup, tag } from "../setup.ts";

const expression = (text: string): Rule => ({ kind: "expression", node: parseExpression(text) });

function derived(name: string, rule: Rule, inputs: string[], more: Partial<DerivedTag> = {}): DerivedTag {
  return { ...tag(name, 1000), rule, inputs, triggers: inputs, ...more };
}

describe("a counter", () => {
  /** Steps of a counter that begins again at `modulus`; some readings fail, so that it is read less often than it moves. */
  const steps = fc.array(fc.record({ by: fc.integer({ min: 0, max: 400 }), read: fc.boolean() }), { maxLength: 100 });

  it("advances by as much as it counted, over rollovers", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 65_535 }), steps, (start, list) => {
        const watch = new CounterWatch({ modulus: 65_536 });
        watch.read(start, 0);
        let [count, missed, sum, nowMs] = [start, 0, 0, 0];
        for (const { by, read } of list) {
          count += by;
          missed += by;
          nowMs += 1000;
          if (!read || missed > 32_768) continue;
          const advance = watch.read(count % 65_536, nowMs);
          if (!("by" in advance)) throw new Error(advance.reason);
          expect(advance.by).toBe(missed);
          sum += Number(advance.by);
          missed = 0;
        }
        expect(sum + missed).toBe(count - start);
      }),
    );
  });

  it("with decimals adds up to the last digit", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 1000 }), { minLength: 1, maxLength: 40 }), (list) => {
        const watch = new CounterWatch({ modulus: 6553.6 });
        watch.read(0, 0);
        let count = 0;
        for (const by of list) {
          count += by;
          expect(watch.read((count % 65_536) / 10, 1)).toEqual({ by: by / 10, inMs: expect.any(Number) });
        }
      }),
    );
  });

  it("tells a reset from a rollover", () => {
    const watch = new CounterWatch({ modulus: 65_536 });
    watch.read(200, 0);
    expect(watch.read(10, 1000)).toEqual({ reason: "the counter was reset" });
    expect(watch.read(15, 2000)).toEqual({ by: 5, inMs: 1000 });
    watch.read(65_000, 3000);
    expect(watch.read(4, 4000)).toEqual({ by: 540, inMs: 1000 });
  });

  it("with a greatest step tells them apart better, and sees jumps", () => {
    const watch = new CounterWatch({ modulus: 65_536, maxStep: 100 });
    watch.read(65_000, 0);
    expect(watch.read(4, 1000)).toEqual({ reason: "the counter was reset" });
    expect(watch.read(105, 2000)).toEqual({ reason: "the counter jumped" });
    expect(watch.read(205, 3000)).toEqual({ by: 100, inMs: 1000 });
  });

  it("of 64 bits is exact", () => {
    const watch = new CounterWatch({ modulus: 2n ** 64n });
    watch.read(2n ** 64n - 2n, 0);
    expect(watch.read(3, 1000)).toEqual({ by: 5, inMs: 1000 });
    const never = new CounterWatch({});
    never.read(5, 0);
    expect(never.read(4, 1)).toEqual({ reason: "the counter was reset" });
  });
});

/** A link in virtual time with `values` on its wire. */
function playing(tags: Parameters<typeof tag>[], made: DerivedTag[], values: Record<string, Value>) {
  const parts = setup([
    {
      ...device(
        "d",
        tags.map((each) => tag(...each)),
      ),
      derived: made,
    },
  ]);
  parts.wire.value = ({ name }) => values[name] ?? 0;
  /** The newest sample of each tag: its value, or why there is none. */
  const newest = () => {
    const seen: Record<string, unknown> = {};
    for (const { samples } of parts.scans) for (const each of samples) seen[each.tag] = each.value ?? each.reason;
    return seen;
  };
  return { ...parts, values, newest };
}

describe("derived tags", () => {
  it("go out with the scan that their tags were read in, and drivers never see them", async () => {
    const { time, link, scans, wire } = playing(
      [
        ["a", 1000],
        ["b", 1000],
      ],
      [derived("sum", expression("a + b"), ["a", "b"]), derived("twice", expression("sum * 2"), ["sum"])],
      { a: 1, b: 2 },
    );
    await link.start();
    await time.pass(3000);
    await link.stop();
    expect(scans.length).toBeGreaterThan(1);
    for (const scan of scans) {
      expect(scan.samples.map(({ tag: name, value }) => [name, value])).toEqual([
        ["a", 1],
        ["b", 2],
        ["sum", 3],
        ["twice", 6],
      ]);
      expect(scan.tags.map(({ name }) => name)).toEqual(["a", "b", "sum", "twice"]);
    }
    expect(wire.transactions.every(({ what }) => what === "a b")).toBe(true);
  });

  it("are worked out whenever one of their tags is read, with the newest of the others", async () => {
    const { time, link, newest, values } = playing(
      [
        ["fast", 500],
        ["slow", 10_000],
      ],
      [derived("sum", expression("fast + slow"), ["fast", "slow"], { everyMs: 500 })],
      { fast: 1, slow: 10 },
    );
    await link.start();
    await time.pass(10_000);
    expect(newest()["sum"]).toBe(11);
    values["fast"] = 2;
    await time.pass(600);
    expect(newest()["sum"]).toBe(12);
    await link.stop();
  });

  it("wait for the tag that they are worked out on", async () => {
    const { time, link, scans } = playing(
      [
        ["fast", 500],
        ["slow", 5000],
      ],
      [derived("at", expression("fast"), ["fast"], { triggers: ["slow"], everyMs: 5000 })],
      { fast: 1, slow: 10 },
    );
    await link.start();
    await time.pass(20_000);
    await link.stop();
    const count = (name: string) => scans.filter(({ samples }) => samples.some((each) => each.tag === name)).length;
    expect(count("at")).toBe(count("slow"));
    expect(count("fast")).toBeGreaterThan(5 * count("at"));
  });

  it("in a stream of their own make a group of their own", async () => {
    const { time, link, scans } = playing(
      [["a", 1000]],
      [derived("alarm", expression("a > 5"), ["a"], { stream: "events", deadband: 0 })],
      { a: 1 },
    );
    await link.start();
    await time.pass(3000);
    await link.stop();
    expect(
      scans.filter(({ stream }) => stream === "events").map(({ group, samples }) => [group, samples[0]?.value]),
    ).toEqual([["1000ms-events", false]]);
  });

  it("are bad with what they are made from, named, and good again with it", async () => {
    const { time, link, newest, wire } = playing(
      [
        ["a", 1000],
        ["b", 3000],
      ],
      [derived("sum", expression("a + b"), ["a", "b"])],
      { a: 1, b: 2 },
    );
    await link.start();
    await time.pass(4000);
    expect(newest()["sum"]).toBe(3);
    wire.devices.set("d", "silent");
    await time.pass(5000);
    expect(newest()).toEqual({ a: "timeout", b: "timeout", sum: "timeout" });
    wire.devices.set("d", "answer");
    await time.pass(10_000);
    expect(newest()).toEqual({ a: 1, b: 2, sum: 3 });
    await link.stop();
  });

  it("are bad while one of their tags has a value that cannot be used", async () => {
    const { time, link, newest, values } = playing(
      [
        ["a", 1000, { shape: { errorValues: [9] } }],
        ["state", 1000, { shape: { texts: new Map([["1", "on"]]) } }],
      ],
      [
        derived("inverse", expression("1 / a"), ["a"]),
        derived("is", expression("state == 'on'"), ["state"]),
        derived("odd", { kind: "bits", first: 0, last: 0, single: true }, ["a"]),
        derived("high", { kind: "bits", first: 1, last: 3, single: false }, ["a"], {
          shape: { texts: new Map([["2", "two"]]) },
        }),
      ],
      { a: 5, state: 1 },
    );
    await link.start();
    await time.pass(2000);
    expect(newest()).toEqual({ a: 5, state: "on", inverse: 0.2, is: true, odd: true, high: "two" });
    values["a"] = 9;
    await time.pass(1000);
    expect(newest()).toMatchObject({ a: "error value", inverse: "a: error value", odd: "a: error value" });
    values["a"] = 0;
    await time.pass(1000);
    expect(newest()).toMatchObject({ a: 0, inverse: "division by zero", odd: false });
    await link.stop();
  });

  it("count over the time in which a counter could not be read", async () => {
    const { time, link, scans, values, wire } = playing(
      [["count", 1000]],
      [
        derived("made", { kind: "difference", modulus: 65_536 }, ["count"]),
        derived("speed", { kind: "rate", perMs: 60_000, modulus: 65_536 }, ["count"]),
      ],
      { count: 65_500 },
    );
    const of = (name: string) => scans.flatMap(({ samples }) => samples.filter((each) => each.tag === name));
    await link.start();
    await time.pass(1500);
    expect(of("made").at(0)?.reason).toBe("first reading since the start");
    values["count"] = 65_510;
    await time.pass(1000);
    wire.devices.set("d", "silent");
    await time.pass(5000);
    values["count"] = 20;
    wire.devices.set("d", "answer");
    await time.pass(8000);
    await link.stop();
    expect(of("made").reduce((sum, each) => sum + Number(each.value ?? 0), 0)).toBe(56);
    const rates = of("speed")
      .filter(({ quality }) => quality === "good")
      .map(({ value }) => Number(value));
    expect(rates[0]).toBe(600);
  });
});

describe("writes", () => {
  it("are undone of scale and text, checked, and told as they are read", async () => {
    const tags = [
      tag("level", 1000, { type: "int16", shape: { scale: 0.1, clamp: [0, 50] } }),
      tag("mode", 1000, { shape: { texts: new Map([["2", "auto"]]) } }),
      tag("plain", 1000),
    ];
    const { time, link, wire } = setup([device("d", tags)]);
    await link.start();
    await time.pass(2000);
    const [level, mode, plain] = tags;
    if (!level || !mode || !plain) throw new Error("no tags");
    const writes = [
      { tag: level, value: 60 },
      { tag: level, value: 23.1 },
      { tag: mode, value: "auto" },
      { tag: plain, value: 7 },
      { tag: mode, value: "atuo" },
    ];
    const done = link.write("d", writes, new AbortController().signal);
    await time.pass(500);
    expect(await done).toEqual([
      { tag: "level", ok: false, reason: "60 is above the greatest, 50" },
      { tag: "level", ok: true, after: 23.1 },
      { tag: "mode", ok: true, after: "auto" },
      { tag: "plain", ok: true, after: 7 },
      { tag: "mode", ok: false, reason: '"atuo" is none of auto' },
    ]);
    expect(wire.transactions.map(({ what }) => what)).toContain("write level=231 mode=2 plain=7");
    const read = link.read("d", [level], new AbortController().signal);
    wire.value = () => 100;
    await time.pass(500);
    expect((await read)[0]).toMatchObject({ value: 10 });
    await link.stop();
  });
});
