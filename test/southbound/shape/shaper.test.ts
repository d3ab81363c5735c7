import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Sample, Value } from "../../../gateway/core/sample.ts";
import type { Shape } from "../../../gateway/core/shape.ts";
import { Shaper } from "../../../gateway/southbound/shape/shaper.ts";

const sample = (value: Value): Sample => ({ tag: "t", quality: "good", value, monoMs: 7 });
const seen = (shape: Shape, value: Value): unknown => {
  const { quality, value: result, reason } = new Shaper(shape).up(sample(value));
  return quality === "good" ? result : `[${reason}]`;
};
const texts = new Map([
  ["0", "stopped"],
  ["1", "running"],
  ["true", "open"],
]);
const BIG = 2n ** 63n;

describe("a value on its way up", () => {
  it.each<[string, Shape, Value, unknown]>([
    ["is scaled in decimals", { scale: 0.1 }, 231, 23.1],
    ["is moved", { offset: -273.15 }, 300, 26.85],
    ["keeps every digit of a whole number", { offset: 1 }, BIG, BIG + 1n],
    ["is clamped after it is scaled", { scale: 0.1, clamp: [0, 20] }, 231, 20],
    ["is clamped below", { clamp: [5, 20] }, -3, 5],
    ["is bad outside its limits", { limits: [0, 20] }, 21, "[out of range]"],
    ["is good at the border", { limits: [0, 20] }, 20, 20],
    ["is not out of range once it is clamped", { clamp: [0, 20], limits: [0, 20] }, 21, 20],
    ["is an error before it is scaled", { errorValues: [32_768], scale: 0.1 }, 32_768, "[error value]"],
    ["is no error because it scales to one", { errorValues: [10], scale: 0.1 }, 100, 10],
    ["is an error with 64 bits", { errorValues: [BIG] }, BIG, "[error value]"],
    ["becomes a text", { texts }, 1, "running"],
    ["becomes its digits without a text", { texts }, 7, "7"],
    ["becomes a text from a bool", { texts }, true, "open"],
    ["becomes a text after it is scaled", { scale: 0.01, texts }, 100, "running"],
    ["is left alone where it is a text", { scale: 2, clamp: [0, 1], limits: [0, 1] }, "abc", "abc"],
  ])("%s", (_name, shape, value, expected) => expect(seen(shape, value)).toBe(expected));

  it("is not touched when it is bad", () => {
    const bad: Sample = { tag: "t", quality: "bad", reason: "timeout", monoMs: 1 };
    expect(new Shaper({ scale: 2, texts }).up(bad)).toBe(bad);
  });
});

describe("a value on its way down", () => {
  it.each<[string, Shape, string, Value, Value | { reason: string }]>([
    ["is unscaled", { scale: 0.1 }, "int16", 23.1, 231],
    ["is unmoved", { scale: 2, offset: 10 }, "", 30, 10],
    [
      "is refused between two steps",
      { scale: 0.1 },
      "int16",
      23.15,
      { reason: "23.15 does not fit: the device holds steps of 0.1" },
    ],
    ["may lie anywhere in a float", { scale: 0.1 }, "float32", 23.15, 231.5],
    ["is refused outside the clamp", { clamp: [0, 20] }, "", 21, { reason: "21 is above the greatest, 20" }],
    ["is refused outside the range", { limits: [0, 20] }, "", -1, { reason: "-1 is below the least, 0" }],
    ["is found by its text", { texts }, "", "running", 1],
    ["is found by the text of a bool", { texts }, "", "open", true],
    ["is refused without a text", { texts }, "", "rnning", { reason: '"rnning" is none of stopped, running, open' }],
    ["may be written as a number that has a text", { texts }, "", 1, 1],
    ["is refused as a number without a text", { texts }, "", 9, { reason: "9 is none of 0, 1, true" }],
    ["must be a number to be scaled", { scale: 2 }, "", "x", { reason: "a number is needed" }],
  ])("%s", (_name, shape, type, value, expected) => {
    const result = new Shaper(shape, type).down(value);
    expect("value" in result ? result.value : result).toEqual(expected);
  });

  it("comes up again as it was", () => {
    const shapes = fc.record({
      scale: fc.integer({ min: 1, max: 100_000 }).map((digits) => digits / 1000),
      offset: fc.integer({ min: -10_000, max: 10_000 }).map((digits) => digits / 10),
    });
    fc.assert(
      fc.property(shapes, fc.integer({ min: -32_768, max: 32_767 }), (shape, raw) => {
        const shaper = new Shaper(shape, "int16");
        const { value } = shaper.up(sample(raw));
        if (value === undefined) throw new Error("no value");
        expect(shaper.down(value)).toEqual({ value: raw });
      }),
    );
  });
});
