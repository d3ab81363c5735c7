import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Gap } from "../../gateway/core/record.ts";
import { GapList } from "../../gateway/queue/gap-list.ts";
import { joined, Ranges } from "../../gateway/queue/ranges.ts";

const MOST = 60;

function members(ranges: Ranges): number[] {
  return Array.from({ length: MOST }, (_, i) => i + 1).filter((seq) => ranges.overlaps(seq, seq));
}

describe("ranges", () => {
  it("are what a set of numbers would be", () => {
    const cut = fc.tuple(fc.integer({ min: 1, max: MOST }), fc.integer({ min: 0, max: 12 }));
    fc.assert(
      fc.property(fc.array(cut, { maxLength: 25 }), (cuts) => {
        const ranges = new Ranges([{ from: 1, to: Number.POSITIVE_INFINITY, prev: 0 }]);
        const set = new Set(Array.from({ length: MOST }, (_, i) => i + 1));
        for (const [from, more] of cuts) {
          ranges.subtract(from, from + more, from + more);
          for (let seq = from; seq <= from + more; seq++) set.delete(seq);
        }
        expect(members(ranges)).toEqual([...set]);
        for (const range of ranges.all) {
          expect(range.prev).toBeLessThan(range.from);
          expect(range.from).toBeLessThanOrEqual(range.to);
        }
        expect(ranges.all.at(-1)?.to).toBe(Number.POSITIVE_INFINITY);
        const within = ranges
          .within(10, 30)
          .flatMap(({ from, to }) => Array.from({ length: to - from + 1 }, (_, i) => from + i));
        expect(within).toEqual([...set].filter((seq) => seq >= 10 && seq <= 30));
      }),
    );
  });

  it("joined to fewer hold at least what they held", () => {
    const ranges = new Ranges([{ from: 1, to: Number.POSITIVE_INFINITY, prev: 0 }]);
    for (let seq = 2; seq <= 50; seq += 2) ranges.subtract(seq, seq, seq);
    ranges.subtract(51, 58, 58);
    const { ranges: few, holes } = joined(ranges.all, 4, () => true);
    expect(few).toHaveLength(4);
    const back = new Ranges(few);
    expect(members(ranges).every((seq) => back.overlaps(seq, seq))).toBe(true);
    expect(back.overlaps(51, 58)).toBe(false);
    for (const hole of holes) expect(back.overlaps(hole.from, hole.to)).toBe(true);
    const even = joined(ranges.all, 4, (from) => from < 10).ranges;
    expect(even).toHaveLength(ranges.all.length - 4);
  });
});

describe("gaps", () => {
  const gap = (from: number, to: number, more: Partial<Gap> = {}): Gap => {
    const span = { from, to, prev: from - 1, count: to - from + 1, bytes: 10 * (to - from + 1) };
    return { stream: "events", epoch: 1, chain: "c", reason: "dropped", exact: true, ...span, ...more };
  };

  it("join with neighbours of the same kind, in any order", () => {
    const list = new GapList([]);
    for (const at of [gap(5, 6), gap(1, 2), gap(3, 4), gap(10, 10)]) list.add(at);
    expect(list.all).toEqual([gap(1, 6, { count: 6, bytes: 60 }), gap(10, 10)]);
    list.add(gap(7, 7, { reason: "rejected" }));
    list.add(gap(20, 22, { prev: 10 }));
    expect(list.all.map(({ from, to }) => [from, to])).toEqual([
      [1, 6],
      [7, 7],
      [10, 22],
    ]);
  });

  it("that have grown since they were told leave the rest", () => {
    const list = new GapList([gap(1, 4)]);
    const [told] = list.all;
    list.add(gap(5, 9));
    if (told) expect(list.settle(told)).toBe(true);
    expect(list.all).toEqual([gap(5, 9, { prev: 4, count: 5, bytes: 50 })]);
    expect(list.settle(gap(5, 9))).toBe(true);
    expect(list.settle(gap(5, 9))).toBe(false);
  });
});
