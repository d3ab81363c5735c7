import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Range, RangeSet, union } from "../../gateway/cli/verify/ranges.ts";

/** The plain way: a Set of numbers. */
function rangesOf(numbers: ReadonlySet<number>): Range[] {
  const ranges: [number, number][] = [];
  for (const number of [...numbers].sort((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last && number === last[1] + 1) last[1] = number;
    else ranges.push([number, number]);
  }
  return ranges;
}

const range = fc.tuple(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 0, max: 8 }));

describe("RangeSet", () => {
  it("is the same as a set of numbers, whatever comes in which order", () => {
    fc.assert(
      fc.property(fc.array(range, { maxLength: 40 }), (adds) => {
        const numbers = new Set<number>();
        const set = new RangeSet();
        for (const [from, length] of adds) {
          set.add(from, from + length);
          for (let n = from; n <= from + length; n += 1) numbers.add(n);
        }
        expect([...set]).toEqual(rangesOf(numbers));
        for (let n = 0; n <= 70; n += 1) expect(set.has(n)).toBe(numbers.has(n));
      }),
    );
  });

  it("names the holes", () => {
    expect([
      ...RangeSet.of([
        [1, 3],
        [7, 7],
        [9, 12],
      ]).holes(),
    ]).toEqual([
      [4, 6],
      [8, 8],
    ]);
  });

  it("ignores an empty range", () => {
    const set = new RangeSet();
    set.add(5, 4);
    expect(set.size).toBe(0);
  });

  it("keeps a million numbers in a row as one range", () => {
    const set = new RangeSet();
    for (let n = 1; n <= 1_000_000; n += 1) set.add(n, n);
    expect([...set]).toEqual([[1, 1_000_000]]);
  });

  it("unites", () => {
    expect([
      ...union(
        RangeSet.of([
          [1, 3],
          [10, 12],
        ]),
        RangeSet.of([
          [4, 4],
          [12, 15],
        ]),
      ),
    ]).toEqual([
      [1, 4],
      [10, 15],
    ]);
  });
});
