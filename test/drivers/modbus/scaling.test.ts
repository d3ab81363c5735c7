import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { scaled } from "../../../drivers/modbus/codec/decimal.ts";
import { pointOf, readRegisters } from "../../../drivers/modbus/point.ts";

function value(options: Record<string, unknown>, hex: string) {
  const { point, faults } = pointOf({ address: "holding:0", type: "uint16", ...options });
  if (!point) throw new Error(JSON.stringify(faults));
  return readRegisters(point, Buffer.from(hex, "hex"));
}

describe("scale and offset", () => {
  it.each<[number | bigint, number, number, number | bigint]>([
    [214, 0.1, 0, 21.4],
    [3, 0.1, 0, 0.3],
    [1234567, 0.001, 0, 1234.567],
    [2731, 0.1, -273.1, 0],
    [5, 1, 0.1, 5.1],
    [70, 1.1, 0, 77],
    [-7, 0.01, 0, -0.07],
    [1, 1e-7, 0, 1e-7],
    [3, 1e21, 0, 3n * 10n ** 21n],
    [2n ** 60n, 1, 0, 2n ** 60n],
    [9_007_199_254_740_993n, 0.001, 0, 9_007_199_254_740.992],
    [2n ** 63n, 10, 1, 2n ** 63n * 10n + 1n],
  ])("%s times %s plus %s is %s", (raw, scale, offset, result) => {
    expect(scaled(raw, { scale, offset })).toBe(result);
  });

  it("is the nearest number to the exact decimal", () => {
    fc.assert(
      fc.property(fc.integer({ min: -65_536, max: 65_535 }), fc.integer({ min: 0, max: 6 }), (raw, places) => {
        expect(scaled(raw, { scale: Number(`1e-${places}`), offset: 0 })).toBe(Number(`${raw}e-${places}`) + 0);
      }),
    );
  });

  it("takes a float as it was meant before it scales", () => {
    expect(value({ type: "float32", scale: 0.1 }, "41ab3333")).toEqual({ value: 2.14 });
    expect(value({ type: "float64", scale: 0.1 }, "3ff3333333333333")).toEqual({ value: 0.12 });
    expect(value({ type: "float16", scale: 10 }, "2e66")).toEqual({ value: 1 });
  });

  it("writes a float as a person would, without leaving its value", () => {
    expect(value({ type: "float32" }, "41ab3333")).toEqual({ value: 21.4 });
    expect(Math.fround(21.4)).toBe(Buffer.from("41ab3333", "hex").readFloatBE(0));
  });

  it("has no value where the result is no number", () => {
    expect(value({ type: "float64", scale: 10 }, "7fefffffffffffff")).toMatchObject({ value: expect.any(BigInt) });
    expect(value({ type: "float64", scale: 10 }, "7ff0000000000000")).toEqual({ reason: "not a number" });
  });

  it("reads one bit of a register", () => {
    expect(value({ address: "holding:0.3", type: "bool" }, "0008")).toEqual({ value: true });
    expect(value({ address: "holding:0.3", type: "bool" }, "fff7")).toEqual({ value: false });
    expect(value({ address: "holding:0.11", type: "bool", order: "BA" }, "0008")).toEqual({ value: true });
  });
});
