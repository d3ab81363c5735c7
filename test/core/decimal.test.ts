import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { difference, scaled, scaler, unscaled } from "../../gateway/core/decimal.ts";

const decimals = fc
  .tuple(fc.integer({ min: -100_000, max: 100_000 }), fc.integer({ min: 0, max: 6 }))
  .map(([digits, places]) => digits / 10 ** places);
const scalings = fc.record({
  scale: decimals.filter((scale) => scale !== 0),
  offset: fc.oneof(fc.constant(0), decimals),
});
const whole = fc.oneof(fc.integer(), fc.maxSafeInteger());
const raws = fc.oneof(whole, decimals, fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e12, max: 1e12 }));

describe("scaling", () => {
  it.each([
    [231, { scale: 0.1, offset: 0 }, 23.1],
    [3, { scale: 0.1, offset: 0.2 }, 0.5],
    [-7, { scale: 0.001, offset: 0 }, -0.007],
    [65_535, { scale: 0.01, offset: -100 }, 555.35],
    [21.4, { scale: 1.8, offset: 32 }, 70.52],
    [0, { scale: -1, offset: 0 }, 0],
    [9_007_199_254_740_993n, { scale: 1, offset: 0 }, 9_007_199_254_740_993n],
    [9_007_199_254_740_993n, { scale: 10, offset: 1 }, 90_071_992_547_409_931n],
  ])("%s with %o is %s", (raw, scaling, expected) => {
    expect(scaler(scaling)(raw)).toBe(expected);
    expect(scaled(raw, scaling)).toBe(expected);
  });

  it("is the same whichever way is taken", () => {
    fc.assert(
      fc.property(raws, scalings, (raw, scaling) => {
        expect(scaler(scaling)(raw)).toBe(scaled(raw, scaling));
      }),
      { numRuns: 2000 },
    );
  });

  it("is undone exactly: what was read can be written", () => {
    fc.assert(
      fc.property(fc.integer(), scalings, (raw, scaling) => {
        expect(unscaled(scaler(scaling)(raw), scaling)).toBe(raw);
      }),
      { numRuns: 2000 },
    );
  });
});

it("a difference has no digits that nobody wrote", () => {
  expect(difference(23.1, 23)).toBe(0.1);
  expect(difference(2n ** 64n - 1n, 2n ** 64n - 3n)).toBe(2);
  expect(difference(5, 2n ** 60n)).toBe(5n - 2n ** 60n);
});
