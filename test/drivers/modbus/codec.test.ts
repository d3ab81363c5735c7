import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decode, encode } from "../../../drivers/modbus/codec/codec.ts";
import { readFloat16, writeFloat16 } from "../../../drivers/modbus/codec/float16.ts";
import { ordersOf } from "../../../drivers/modbus/codec/order.ts";
import { parseType } from "../../../drivers/modbus/codec/types.ts";
import type { Value } from "../../../gateway/core/sample.ts";

/** Type, order, bytes on the wire, value. The bytes were worked out by hand, or with Python's struct. */
const TABLE: readonly [string, string, string, Value][] = [
  ["bool", "AB", "0001", true],
  ["bool", "BA", "0100", true],
  ["bool", "AB", "fffe", false],
  ["int16", "AB", "fffe", -2],
  ["int16", "BA", "feff", -2],
  ["int16", "AB", "8000", -32768],
  ["uint16", "AB", "fffe", 65534],
  ["uint16", "BA", "3412", 0x1234],
  ["int32", "ABCD", "ffffff85", -123],
  ["int32", "CDAB", "ff85ffff", -123],
  ["uint32", "ABCD", "12345678", 0x12345678],
  ["uint32", "BADC", "34127856", 0x12345678],
  ["uint32", "CDAB", "56781234", 0x12345678],
  ["uint32", "DCBA", "78563412", 0x12345678],
  ["uint32", "ABCD", "ffffffff", 4294967295],
  ["float32", "ABCD", "41480000", 12.5],
  ["float32", "BADC", "48410000", 12.5],
  ["float32", "CDAB", "00004148", 12.5],
  ["float32", "DCBA", "00004841", 12.5],
  ["float16", "AB", "3c00", 1],
  ["float16", "BA", "00c0", -2],
  ["float16", "AB", "7bff", 65504],
  ["float16", "AB", "0001", 2 ** -24],
  ["float64", "ABCDEFGH", "4029000000000000", 12.5],
  ["float64", "GHEFCDAB", "0000000000004029", 12.5],
  ["float64", "BADCFEHG", "2940000000000000", 12.5],
  ["float64", "HGFEDCBA", "0000000000002940", 12.5],
  ["uint64", "ABCDEFGH", "0102030405060708", 0x0102030405060708n],
  ["uint64", "GHEFCDAB", "0708050603040102", 0x0102030405060708n],
  ["uint64", "BADCFEHG", "0201040306050807", 0x0102030405060708n],
  ["uint64", "HGFEDCBA", "0807060504030201", 0x0102030405060708n],
  ["uint64", "CDABGHEF", "0304010207080506", 0x0102030405060708n],
  ["uint64", "EFGHABCD", "0506070801020304", 0x0102030405060708n],
  ["uint64", "ABCDEFGH", "001fffffffffffff", Number.MAX_SAFE_INTEGER],
  ["uint64", "ABCDEFGH", "0020000000000000", 2n ** 53n],
  ["uint64", "ABCDEFGH", "ffffffffffffffff", 2n ** 64n - 1n],
  ["int64", "ABCDEFGH", "ffffffffffffffff", -1],
  ["int64", "GHEFCDAB", "fffeffffffffffff", -2],
  ["int64", "ABCDEFGH", "8000000000000000", -(2n ** 63n)],
  ["bcd16", "AB", "1234", 1234],
  ["bcd16", "BA", "3412", 1234],
  ["bcd32", "ABCD", "12345678", 12345678],
  ["bcd32", "CDAB", "56781234", 12345678],
  ["string(4)", "AB", "41424344", "ABCD"],
  ["string(4)", "BA", "42414443", "ABCD"],
  ["string(3)", "AB", "41424300", "ABC"],
  ["string(6)", "AB", "c3a4c3b6c3bc", "äöü"],
  ["bits(0,4)", "AB", "000c", 12],
  ["bits(12,4)", "AB", "c000", 12],
  ["bits(4,8)", "AB", "0ff0", 255],
  ["bits(0,16)", "BA", "3412", 0x1234],
];

/** Most significant byte first. */
const CANONICAL: readonly [string, string, Value][] = [
  ["int16", "fedc", -292],
  ["uint16", "fedc", 65244],
  ["float16", "3555", 0.333251953125],
  ["bcd16", "9876", 9876],
  ["int32", "fedcba98", -19088744],
  ["uint32", "fedcba98", 4275878552],
  ["float32", "c1234567", -10.20444393157959],
  ["bcd32", "98765432", 98765432],
  ["int64", "fedcba9876543210", -81985529216486896n],
  ["uint64", "fedcba9876543210", 18364758544493064720n],
  ["float64", "c023456789abcdef", -9.635555555555554],
];

/** Which byte of the value comes first, second, … on the wire. */
const PLACES: Readonly<Record<string, readonly number[]>> = {
  AB: [0, 1],
  BA: [1, 0],
  ABCD: [0, 1, 2, 3],
  BADC: [1, 0, 3, 2],
  CDAB: [2, 3, 0, 1],
  DCBA: [3, 2, 1, 0],
  ABCDEFGH: [0, 1, 2, 3, 4, 5, 6, 7],
  BADCFEHG: [1, 0, 3, 2, 5, 4, 7, 6],
  GHEFCDAB: [6, 7, 4, 5, 2, 3, 0, 1],
  HGFEDCBA: [7, 6, 5, 4, 3, 2, 1, 0],
  CDABGHEF: [2, 3, 0, 1, 6, 7, 4, 5],
  EFGHABCD: [4, 5, 6, 7, 0, 1, 2, 3],
};

describe("codec", () => {
  it.each(TABLE)("%s %s %s is %s, both ways", (name, order, wire, value) => {
    const type = parseType(name);
    expect(decode(type, order, Buffer.from(wire, "hex"))).toEqual({ value });
    if (name !== "bool" || value) expect(encode(type, order, value).toString("hex")).toBe(wire);
  });

  it.each(CANONICAL)("%s %s is %s in every order it has", (name, wire, value) => {
    const type = parseType(name);
    const bytes = Buffer.from(wire, "hex");
    const orders = ordersOf(type);
    expect(orders).toEqual(Object.keys(PLACES).filter((order) => order.length === bytes.length));
    for (const order of orders) {
      const sent = Buffer.from((PLACES[order] ?? []).map((place) => bytes[place] ?? 0));
      expect(decode(type, order, sent)).toEqual({ value });
      expect(encode(type, order, value)).toEqual(sent);
    }
  });

  it.each([
    ["float32", "7fc00000", "not a number"],
    ["float32", "7f800000", "not a number"],
    ["float32", "ff800000", "not a number"],
    ["float64", "7ff8000000000000", "not a number"],
    ["float16", "7c00", "not a number"],
    ["float16", "7e00", "not a number"],
    ["bcd16", "12a4", "not a bcd number"],
    ["bcd32", "f2345678", "not a bcd number"],
  ])("%s %s has no value: %s", (name, wire, reason) => {
    const type = parseType(name);
    expect(decode(type, ordersOf(type)[0] ?? "", Buffer.from(wire, "hex"))).toEqual({ reason });
  });

  it.each<[string, Value]>([
    ["int16", 32768],
    ["uint16", -1],
    ["uint32", 2 ** 32],
    ["uint64", 2n ** 64n],
    ["bcd16", 10_000],
    ["bits(0,4)", 16],
    ["string(2)", "abc"],
    ["uint16", "word"],
  ])("%s does not hold %s", (name, value) => {
    const type = parseType(name);
    expect(() => encode(type, ordersOf(type)[0] ?? "", value)).toThrow(RangeError);
  });

  it("ends a text at the first NUL, cuts blanks, and shows Latin-1 where it is not UTF-8", () => {
    const text = parseType("string(6)");
    expect(decode(text, "AB", Buffer.from("AB\0CD\0"))).toEqual({ value: "AB" });
    expect(decode(text, "AB", Buffer.from("AB    "))).toEqual({ value: "AB" });
    expect(decode(text, "AB", Buffer.from("4ae472202020", "hex"))).toEqual({ value: "Jär" });
  });

  it("gives back what it was given, for every type and order", () => {
    const names = ["int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64", "bcd16", "bcd32"];
    const cases = names.flatMap((name) => ordersOf(parseType(name)).map((order) => ({ name, order })));
    fc.assert(
      fc.property(
        fc.constantFrom(...cases),
        fc.uint8Array({ minLength: 8, maxLength: 8 }),
        ({ name, order }, bytes) => {
          const type = parseType(name);
          const size = "bytes" in type ? type.bytes : 2;
          const wire = Buffer.from(bytes.subarray(0, size));
          const decoded = decode(type, order, wire);
          if ("value" in decoded) expect(encode(type, order, decoded.value)).toEqual(wire);
          else expect(["float", "bcd"]).toContain(type.kind);
        },
      ),
      { numRuns: 2000 },
    );
  });

  it("knows every half-precision number", () => {
    const lost: number[] = [];
    for (let bits = 0; bits < 0x10000; bits++) {
      const value = readFloat16(bits);
      if (!Number.isNaN(value) && writeFloat16(value) !== bits) lost.push(bits);
    }
    expect(lost).toEqual([]);
  });
});
