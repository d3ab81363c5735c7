/** Addresses `start` to `end`, exclusive. One of no width stands between two addresses. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

export interface Rules {
  /** Most addresses of one read. */
  readonly most: number;
  /** Most addresses that may be read needlessly between two values. */
  readonly maxGap: number;
  /** What no read may touch; one of no width may not be crossed. A value that lies there counts more. */
  readonly holes: readonly Range[];
}

/** The values that lie in no other one, by address: both their starts and their ends only rise. */
export function outermost<T extends Range>(values: readonly T[]): T[] {
  const kept: T[] = [];
  for (const value of [...values].sort((a, b) => a.start - b.start || b.end - a.end)) {
    const last = kept.at(-1);
    if (!last || value.end > last.end) kept.push(value);
  }
  return kept;
}

/**
 * The cheapest reads that have each value whole: the exact optimum, and of equal ones that with the fewest reads. A shortest
 * path over the values in their order, O(n * k) with k values within `most` addresses. That a read has only neighbours loses
 * nothing: where two reads interleave, exchanging values makes neither longer.
 * @param values as `outermost` gives them, none wider than `most`.
 * @param costUs of a read of so many addresses; never falls.
 * @returns the values of each read.
 */
export function cover<T extends Range>(values: readonly T[], rules: Rules, costUs: (count: number) => number): T[][] {
  const least = leastStarts(values, rules.holes);
  const best: { us: number; reads: number; from: number }[] = [{ us: 0, reads: 0, from: 0 }];
  for (const [last, { end }] of values.entries()) {
    let chosen = { us: Number.POSITIVE_INFINITY, reads: 0, from: last };
    let next: Range | undefined;
    for (let first = last; first >= 0; first--) {
      const value = values[first];
      const before = best[first];
      if (!value || !before) break;
      const isReached = !next || next.start - value.end <= rules.maxGap;
      const fits = end - value.start <= rules.most && value.start >= (least[last] ?? 0);
      if (first < last && !(isReached && fits)) break;
      const us = before.us + costUs(end - value.start);
      const reads = before.reads + 1;
      if (us < chosen.us || (us === chosen.us && reads < chosen.reads)) chosen = { us, reads, from: first };
      next = value;
    }
    best.push(chosen);
  }
  return traced(values, best);
}

function traced<T>(values: readonly T[], best: readonly { readonly from: number }[]): T[][] {
  const reads: T[][] = [];
  for (let end = values.length; end > 0; ) {
    const from = best[end]?.from ?? 0;
    reads.unshift(values.slice(from, end));
    end = from;
  }
  return reads;
}

/** For each value: where a read that ends with it may begin at the earliest, because of the holes before it. */
function leastStarts(values: readonly Range[], holes: readonly Range[]): number[] {
  const free = outside(holes, values).sort((a, b) => a.start - b.start);
  let at = 0;
  let least = 0;
  return values.map(({ end }) => {
    for (let hole = free[at]; hole && hole.start < end; hole = free[++at]) least = Math.max(least, hole.end);
    return least;
  });
}

/** The parts of the holes that no value covers. */
function outside(holes: readonly Range[], values: readonly Range[]): Range[] {
  return holes.flatMap((hole) => {
    if (hole.start === hole.end)
      return values.some((value) => value.start < hole.start && hole.start < value.end) ? [] : [hole];
    const parts: Range[] = [];
    let { start } = hole;
    for (const value of values) {
      if (value.end <= start) continue;
      if (value.start >= hole.end) break;
      if (value.start > start) parts.push({ start, end: value.start });
      start = Math.max(start, value.end);
    }
    if (start < hole.end) parts.push({ start, end: hole.end });
    return parts;
  });
}
