import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Transport } from "../../../drivers/modbus/options.ts";
import { costOf, readUs } from "../../../drivers/modbus/plan/cost.ts";
import { cover, outermost, type Range, type Rules } from "../../../drivers/modbus/plan/cover.ts";
import { formatHole, parseHole } from "../../../drivers/modbus/plan/hole.ts";

const TRANSPORTS: Transport[] = [
  { type: "tcp", host: "h", port: 502, ignoreTransactionId: false },
  { type: "rtu", path: "p", baud: 1200, parity: "none", dataBits: 8 },
  { type: "rtu", path: "p", baud: 19_200, parity: "even", dataBits: 8 },
  { type: "rtu", path: "p", baud: 115_200, parity: "even", dataBits: 8 },
];

/**
 * The least cost of all ways to give each value to a read, whichever values share one: every partition of the set, not only
 * those of neighbours. Written without the planner's notion of an order.
 */
function exhaustive(values: readonly Range[], rules: Rules, costUs: (count: number) => number): number {
  let best = Number.POSITIVE_INFINITY;
  const reads: Range[][] = [];
  const place = (index: number) => {
    const value = values[index];
    if (!value) {
      const isAllowed = reads.every((read) => allowed(read, values, rules));
      if (isAllowed)
        best = Math.min(
          best,
          reads.reduce((sum, read) => sum + costUs(length(read)), 0),
        );
      return;
    }
    for (const read of [...reads]) {
      read.push(value);
      place(index + 1);
      read.pop();
    }
    const alone = [value];
    reads.push(alone);
    place(index + 1);
    reads.splice(reads.indexOf(alone), 1);
  };
  place(0);
  return best;
}

function length(read: readonly Range[]): number {
  return Math.max(...read.map(({ end }) => end)) - Math.min(...read.map(({ start }) => start));
}

/** Address by address: too long, a gap too wide, a hole that no value covers, a border that no value crosses. */
function allowed(read: readonly Range[], values: readonly Range[], { most, maxGap, holes }: Rules): boolean {
  if (length(read) > most) return false;
  const first = Math.min(...read.map(({ start }) => start));
  const end = first + length(read);
  let gap = 0;
  for (let at = first; at < end; at++) {
    gap = read.some((value) => value.start <= at && at < value.end) ? 0 : gap + 1;
    if (gap > maxGap) return false;
    const isWanted = values.some((value) => value.start <= at && at < value.end);
    if (!isWanted && holes.some((hole) => hole.start <= at && at < hole.end)) return false;
    const isCrossed = at > first && holes.some((hole) => hole.start === at && hole.end === at);
    if (isCrossed && !values.some((value) => value.start < at && at < value.end)) return false;
  }
  return true;
}

const maps = fc
  .array(fc.record({ gap: fc.integer({ min: 0, max: 25 }), size: fc.integer({ min: 1, max: 4 }) }), {
    minLength: 1,
    maxLength: 8,
  })
  .map((parts) => {
    let at = 0;
    return parts.map(({ gap, size }) => {
      const start = at + gap;
      at = start + size;
      return { start, end: at };
    });
  });
const hole = fc
  .record({ start: fc.integer({ min: 1, max: 150 }), width: fc.constantFrom(0, 0, 1, 3) })
  .map(({ start, width }) => ({ start, end: start + width }));
const rules = fc.record({
  most: fc.integer({ min: 4, max: 125 }),
  maxGap: fc.constantFrom(0, 3, 8, 125),
  holes: fc.array(hole, { maxLength: 4 }),
});

describe("cover", () => {
  it.each(TRANSPORTS)("costs what the cheapest of all partitions costs, on %j", (transport) => {
    fc.assert(
      fc.property(maps, rules, fc.constantFrom(undefined, 0.2, 5, 80), fc.boolean(), (values, limits, turn, bits) => {
        const cost = (count: number) => readUs(costOf(transport, turn), bits, count);
        const reads = cover(values, limits, cost);
        expect(reads.flat()).toEqual(values);
        for (const read of reads) expect(read.length === 1 || allowed(read, values, limits)).toBe(true);
        const total = reads.reduce((sum, read) => sum + cost(length(read)), 0);
        expect(total).toBeCloseTo(exhaustive(values, limits, cost), 6);
      }),
      { numRuns: 60 },
    );
  });

  it("is the optimum where values overlap, too", () => {
    const overlapping = fc.array(
      fc
        .record({ start: fc.integer({ min: 0, max: 60 }), size: fc.integer({ min: 1, max: 12 }) })
        .map(({ start, size }) => ({ start, end: start + size })),
      { minLength: 1, maxLength: 7 },
    );
    const cost = (count: number) => 20 + count;
    fc.assert(
      fc.property(overlapping, fc.integer({ min: 12, max: 60 }), (values, most) => {
        const limits = { most, maxGap: 125, holes: [] };
        const reads = cover(outermost(values), limits, cost);
        const total = reads.reduce((sum, read) => sum + cost(length(read)), 0);
        expect(total).toBe(exhaustive(values, limits, cost));
      }),
      { numRuns: 150 },
    );
  });

  it("bridges a gap only where that is cheaper than another request", () => {
    const values = (gap: number) => [
      { start: 0, end: 1 },
      { start: 1 + gap, end: 2 + gap },
    ];
    const at = (transport: Transport, turn: number, gap: number) =>
      cover(values(gap), { most: 125, maxGap: 125, holes: [] }, (count) =>
        readUs(costOf(transport, turn), false, count),
      ).length;
    const line: Transport = { type: "rtu", path: "p", baud: 9600, parity: "even", dataBits: 8 };
    // 20 characters around each read, and 0: a gap of 10 registers costs as much.
    expect([at(line, 0, 10), at(line, 0, 11)]).toEqual([1, 2]);
    // 20 ms are 17.5 characters more.
    expect([at(line, 20, 18), at(line, 20, 19)]).toEqual([1, 2]);
    expect(at({ type: "tcp", host: "h", port: 502, ignoreTransactionId: false }, 1, 123)).toBe(1);
  });

  it("plans thousands of values at once", () => {
    const values = Array.from({ length: 20_000 }, (_, index) => ({ start: index * 3, end: index * 3 + 2 }));
    const reads = cover(values, { most: 125, maxGap: 125, holes: [] }, (count) => 1000 + count);
    expect(reads.flat()).toHaveLength(20_000);
    expect(Math.max(...reads.map(length))).toBeLessThanOrEqual(125);
  });
});

describe("a hole", () => {
  it.each(["holding:10..19", "input:7", "coil:0..1999", "holding:64|", "discrete:65535"])(
    "%s is read and written alike",
    (text) => {
      expect(formatHole(parseHole(text))).toBe(text);
    },
  );
  it.each(["holding", "holding:9..3", "holding:70000", "register:1", "holding:1..", "40001"])(
    "%s is refused",
    (text) => {
      expect(() => parseHole(text)).toThrow(RangeError);
    },
  );
});
