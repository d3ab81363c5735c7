/** What is owed: seqs `from` to `to`, both inclusive; `to` is infinite in the last range. */
export interface Range {
  readonly from: number;
  readonly to: number;
  /** The greatest seq below `from` that the uplink selects; 0 when none. */
  readonly prev: number;
}

/** Ranges of seqs in order, none overlapping. */
export class Ranges {
  #ranges: Range[];

  constructor(ranges: readonly Range[]) {
    this.#ranges = [...ranges];
  }

  get all(): readonly Range[] {
    return this.#ranges;
  }
  get first(): Range | undefined {
    return this.#ranges[0];
  }

  /** The smallest range that ends at or after `seq`. */
  from(seq: number): Range | undefined {
    return this.#ranges[this.#indexOf(seq)];
  }

  overlaps(from: number, to: number): boolean {
    const range = this.from(from);
    return range !== undefined && range.from <= to;
  }

  /** The parts of the ranges that lie within `from` to `to`. */
  within(from: number, to: number): Range[] {
    const parts: Range[] = [];
    for (let index = this.#indexOf(from); ; index++) {
      const range = this.#ranges[index];
      if (!range || range.from > to) return parts;
      parts.push({ from: Math.max(from, range.from), to: Math.min(to, range.to), prev: range.prev });
    }
  }

  /** Takes `from` to `to` out. `prev` is the greatest selected seq up to `to`, where it is known to be in there. */
  subtract(from: number, to: number, prev?: number): void {
    const start = this.#indexOf(from);
    let end = start;
    const left: Range[] = [];
    for (;;) {
      const range = this.#ranges[end];
      if (!range || range.from > to) break;
      if (range.from < from) left.push({ from: range.from, to: from - 1, prev: range.prev });
      if (range.to > to) left.push({ from: to + 1, to: range.to, prev: prev ?? range.prev });
      end++;
    }
    if (end > start) this.#ranges.splice(start, end - start, ...left);
  }

  /** Index of the first range that ends at or after `seq`. */
  #indexOf(seq: number): number {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const range = this.#ranges[middle];
      if (range && range.to < seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/**
 * The ranges joined over their smallest holes, of those that may be, until there are at most `most`. Gives the holes
 * that are now owed again.
 */
export function joined(
  ranges: readonly Range[],
  most: number,
  mayJoin: (from: number, to: number) => boolean,
): { ranges: readonly Range[]; holes: readonly { from: number; to: number }[] } {
  if (ranges.length <= most) return { ranges, holes: [] };
  const holes = ranges
    .slice(1)
    .map((range, index) => ({ before: range, from: (ranges[index]?.to ?? 0) + 1, to: range.from - 1 }))
    .filter(({ from, to }) => mayJoin(from, to))
    .sort((a, b) => a.to - a.from - (b.to - b.from))
    .slice(0, ranges.length - most);
  const closed = new Set(holes.map(({ before }) => before));
  const out: Range[] = [];
  for (const range of ranges) {
    const last = out.at(-1);
    if (last && closed.has(range)) out[out.length - 1] = { ...last, to: range.to };
    else out.push(range);
  }
  return { ranges: out, holes };
}

/** Seqs in order; as they are where they are. */
export function ascending(seqs: readonly number[]): readonly number[] {
  for (let i = 1; i < seqs.length; i++) {
    if ((seqs[i] ?? 0) < (seqs[i - 1] ?? 0)) return [...seqs].sort((a, b) => a - b);
  }
  return seqs;
}
