import { Buffer } from "node:buffer";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Value } from "../../../gateway/core/sample.ts";
import {
  DataType,
  dataTypeOf,
  fits,
  freshType,
  fromWire,
  toWire,
  widened,
} from "../../../gateway/northbound/sparkplug/datatype.ts";
import { decodePayload, encodePayload, type Metric } from "../../../gateway/northbound/sparkplug/payload.ts";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const one = (metric: Metric) => hex(encodePayload({ metrics: [metric] }));

describe("bytes of a payload", () => {
  it("are those of the specification's field numbers", () => {
    const bytes = encodePayload({
      timestamp: 1,
      seq: 2,
      metrics: [{ name: "a", alias: 3, timestamp: 4, datatype: DataType.Int32, value: 5, isHistorical: true }],
    });
    // 1: timestamp, 2: metric (1: name, 2: alias, 3: timestamp, 4: datatype, 5: is_historical, 10: int_value), 3: seq
    expect(hex(bytes)).toBe("0801120d0a01611003180420032801500518".concat("02"));
  });

  it.each<[string, Metric, string]>([
    ["Int8 -1 in two's complement", { datatype: DataType.Int8, value: -1 }, "50ffffffff0f"],
    ["Int32 least", { datatype: DataType.Int32, value: -2_147_483_648 }, "508080808008"],
    ["UInt32 in long_value", { datatype: DataType.UInt32, value: 4_294_967_295 }, "58ffffffff0f"],
    ["Int64 -1", { datatype: DataType.Int64, value: -1 }, "58ffffffffffffffffff01"],
    ["UInt64 most", { datatype: DataType.UInt64, value: 2n ** 64n - 1n }, "58ffffffffffffffffff01"],
    ["Float", { datatype: DataType.Float, value: 1.5 }, "650000c03f"],
    ["Double", { datatype: DataType.Double, value: 0.1 }, "699a9999999999b93f"],
    ["false, which is said", { datatype: DataType.Boolean, value: false }, "7000"],
    ["an empty string, which is said", { datatype: DataType.String, value: "" }, "7a00"],
    ["bytes", { datatype: DataType.Bytes, value: Uint8Array.from([0, 255]) }, "82010200ff"],
    ["null", { datatype: DataType.Int32, isNull: true }, "3801"],
  ])("%s", (_, metric, tail) => {
    expect(one(metric).slice(8)).toBe(tail);
  });

  it("a quality is an Int32 property named Quality", () => {
    expect(one({ isNull: true, quality: "stale" })).toContain(`${hex(Buffer.from("Quality"))}1205080318f403`);
  });
});

describe("reading", () => {
  const types = Object.values(DataType);
  const value = fc.oneof(
    fc.boolean(),
    fc.integer(),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }),
    fc.string(),
    fc.uint8Array({ maxLength: 20 }),
  );

  it("gives back what was written, exactly, in every type that holds it", () => {
    fc.assert(
      fc.property(value, fc.constantFrom(...types), fc.boolean(), (given, type, isHistorical) => {
        const metric: Metric = { name: "ü/x", alias: 7, timestamp: 9, datatype: type, value: given, quality: "good" };
        if (!fits(given, type)) {
          expect(() => encodePayload({ metrics: [metric] })).toThrow(RangeError);
          return;
        }
        const [read] = decodePayload(encodePayload({ metrics: [{ ...metric, isHistorical }] })).metrics;
        expect(read).toMatchObject({ name: "ü/x", alias: 7, timestamp: 9, datatype: type, quality: "good" });
        expect(read?.isHistorical).toBe(isHistorical || undefined);
        expect(plain(read?.value)).toEqual(plain(given));
      }),
      { numRuns: 500 },
    );
  });

  it("a wider type holds the value and what the narrower one held", () => {
    fc.assert(
      fc.property(value, value, (first, second) => {
        const type = freshType(first);
        expect(fits(first, type)).toBe(true);
        expect(fits(second, widened(second, type))).toBe(true);
      }),
    );
  });

  it("passes over what it does not know, and refuses what is no payload", () => {
    // Field 18 (a template) of a metric, field 99 of the payload.
    expect(decodePayload(Buffer.from("12069201030a0161".concat("9a0601ff"), "hex"))).toEqual({ metrics: [{}] });
    expect(() => decodePayload(Buffer.from("1203ff", "hex"))).toThrow(RangeError);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        try {
          decodePayload(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError);
        }
      }),
      { numRuns: 500 },
    );
  });

  it("takes UInt32 from either integer field, and narrow numbers in their own width", () => {
    expect(fromWire({ case: "intValue", value: 7 }, DataType.UInt32)).toBe(7);
    expect(fromWire({ case: "longValue", value: 7n }, DataType.UInt32)).toBe(7);
    expect(fromWire({ case: "intValue", value: 255 }, DataType.Int8)).toBe(-1);
    expect(fromWire({ case: "intValue", value: 0xffffffff }, DataType.Int8)).toBe(-1);
    expect(fromWire({ case: "floatValue", value: 1.5 }, DataType.Double)).toBe(1.5);
  });

  it.each([
    ["a string as a number", toWire("x", DataType.String), DataType.Int32],
    ["a number as a string", toWire(1, DataType.Int32), DataType.String],
    ["too much for its type", toWire(70_000, DataType.Int32), DataType.UInt16],
    ["a type nobody knows", toWire(1, DataType.Int32), 99],
    ["a data set", toWire("x", DataType.String), 16],
  ])("%s is no value", (_, wire, type) => {
    expect(fromWire(wire, type)).toBeUndefined();
  });
});

describe("types of tags", () => {
  it.each<[string, boolean, DataType]>([
    ["bool", false, DataType.Boolean],
    ["int16", false, DataType.Int16],
    ["int16", true, DataType.Double],
    ["uint32", false, DataType.UInt32],
    ["bcd32", false, DataType.UInt32],
    ["bits(3,2)", false, DataType.UInt32],
    ["int64", false, DataType.Int64],
    ["uint64", false, DataType.UInt64],
    ["float32", false, DataType.Float],
    ["float32", true, DataType.Double],
    ["float64", true, DataType.Double],
    ["string(8)", true, DataType.String],
    ["anything", false, DataType.String],
  ])("%s, scaled %s: %i", (type, scaled, expected) => {
    expect(dataTypeOf(type, scaled)).toBe(expected);
  });
});

/** A whole number is the same as its bigint, and zero has no sign in an integer type. */
function plain(value: Value | undefined): unknown {
  if (typeof value === "object") return Buffer.from(value).toString("hex");
  if (typeof value === "number" && Number.isInteger(value)) return BigInt(value);
  return value;
}
