import { describe, expect, it } from "vitest";
import { encode } from "../../../../drivers/modbus/codec/codec.ts";
import { ordersOf } from "../../../../drivers/modbus/codec/order.ts";
import { parseType } from "../../../../drivers/modbus/codec/types.ts";
import { expectedOf, fitOf } from "../../../../drivers/modbus/guess/expect.ts";
import { type Candidate, rank } from "../../../../drivers/modbus/guess/rank.ts";
import type { Value } from "../../../../gateway/core/sample.ts";

function words(type: string, order: string, value: Value): number[] {
  const bytes = encode(parseType(type), order, value);
  return Array.from({ length: bytes.length / 2 }, (_, at) => bytes.readUInt16BE(at * 2));
}

function has(candidate: Candidate | undefined, type: string, order: string): boolean {
  return candidate?.same.some((meaning) => meaning.type === type && meaning.order === order) ?? false;
}

const VALUES: Readonly<Record<string, Value>> = {
  int16: -2315,
  uint16: 52_315,
  int32: -1_234_567,
  uint32: 3_123_456_789,
  int64: -1_234_567_890_123_456_789n,
  uint64: 17_234_567_890_123_456_789n,
  float16: 21.5,
  float32: 231.5,
  float64: -12.3456789,
  bcd16: 1234,
  bcd32: 12_345_678,
};
const EVERY = Object.keys(VALUES).flatMap((type) => ordersOf(parseType(type)).map((order) => [type, order] as const));

describe("rank with an expected value", () => {
  it.each(EVERY)("finds %s %s", (type, order) => {
    const value = VALUES[type] ?? 0;
    const samples = Array.from({ length: 5 }, () => [...words(type, order, value), 17, 4711, 0]);
    const [best] = rank(samples, { expect: String(value) });
    expect(has(best, type, order), JSON.stringify(best?.same)).toBe(true);
    expect(best?.fit).toMatchObject({ exact: true, power: 0 });
  });

  it.each(["AB", "BA"])("finds a text in order %s", (order) => {
    const [best] = rank([[...words("string(8)", order, "EM24-DIN"), 0, 0, 7]], { expect: "EM24-DIN" });
    expect(has(best, "string(8)", order)).toBe(true);
    // It may as well be longer: the field may be filled up.
    expect(best?.same.map(({ type }) => type)).toEqual(["string(8)", "string(10)", "string(12)"]);
  });

  it("finds a whole register that means tenths", () => {
    const [best] = rank([[2314], [2316], [2315]], { expect: "231.5" });
    expect(has(best, "uint16", "AB")).toBe(true);
    expect(best?.fit).toMatchObject({ power: -1, exact: true });
  });

  it("takes another unit only when asked", () => {
    const samples = [words("float32", "CDAB", 12_345)];
    const plain = rank(samples, { expect: "12.345" })[0];
    expect(plain?.fit?.power).toBe(-3);
    const small = [words("float32", "CDAB", 0.012345)];
    expect(
      has(rank(small, { expect: "12.345" })[0], "float32", "CDAB") && rank(small, { expect: "12.345" })[0]?.fit?.exact,
    ).toBe(false);
    expect(rank(small, { expect: "12.345", allPowers: true })[0]).toMatchObject({ fit: { power: 3, exact: true } });
  });

  it("finds a value that has moved since it was read from the display", () => {
    const samples = [20.1, 20.3, 20.6, 20.9, 21.3].map((value) => words("float32", "BADC", value));
    expect(has(rank(samples, { expect: "19.8" })[0], "float32", "BADC")).toBe(true);
  });
});

describe("rank by looks", () => {
  it("prefers what moves smoothly over what jumps", () => {
    const samples = [20.12, 20.17, 20.14, 20.21, 20.19].map((value) => [...words("float32", "CDAB", value), 0, 0]);
    expect(has(rank(samples)[0], "float32", "CDAB")).toBe(true);
  });

  it("sees a counter of two registers through its carry", () => {
    const samples = [30_000, 50_000, 70_000, 90_000, 110_000].map((value) => words("uint32", "ABCD", value));
    expect(has(rank(samples)[0], "uint32", "ABCD")).toBe(true);
  });

  it("says which meanings nothing tells apart", () => {
    const [best] = rank([[231], [232], [233]]);
    expect(best?.same.map(({ type }) => type)).toEqual(["uint16", "int16"]);
    expect(best?.values).toEqual([231, 232, 233]);
  });

  it("keeps apart what differs in one sample", () => {
    const [best] = rank([[3], [2], [0xffff], [0xfffe]]);
    expect(best?.same.map(({ type }) => type)).toEqual(["int16"]);
  });

  it("shows no reading that is not a number, or has a digit beyond 9", () => {
    const all = rank([[0x7fc0, 0x000a]]).flatMap(({ same }) => same.map(({ type, order }) => `${type} ${order}`));
    expect(all).not.toContain("float32 ABCD");
    expect(all).not.toContain("bcd32 ABCD");
  });

  it("names a text by its length and the order of its characters", () => {
    const [best] = rank([words("string(10)", "BA", "Motor 42")]);
    expect(best?.values).toEqual(["Motor 42"]);
    expect(has(best, "string(8)", "BA")).toBe(true);
  });

  it("gives nothing for no registers, and something for any", () => {
    expect(rank([[]])).toEqual([]);
    for (const word of [0, 1, 0xffff, 0x8000]) expect(rank([[word]]).length).toBeGreaterThan(0);
  });
});

describe("expected values", () => {
  it("reads numbers as people write them, and the rest as text", () => {
    expect(expectedOf("231,5")).toMatchObject({ number: 231.5 });
    expect(expectedOf("-1.5e3")).toMatchObject({ number: -1500 });
    expect(expectedOf("18446744073709551615")).toMatchObject({ whole: 18_446_744_073_709_551_615n });
    expect(expectedOf("EM24").number).toBeUndefined();
  });

  it("fits within the digits that were written", () => {
    expect(fitOf([231.46], expectedOf("231.5"), false)).toMatchObject({ exact: true });
    expect(fitOf([231.4], expectedOf("231.5"), false)).toMatchObject({ exact: false });
    expect(fitOf([0], expectedOf("0"), false)).toMatchObject({ exact: true, distance: 0 });
  });
});
