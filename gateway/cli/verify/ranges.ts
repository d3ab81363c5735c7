/** A closed range of whole numbers. */
export type Range = readonly [from: number, to: number];

/**
 * A set of whole numbers kept as sorted, disjoint, never touching ranges: millions of numbers in a row cost one range.
 * Adding at the end is O(1), anywhere else O(log n) to find and O(n) to move.
 */
export class RangeSet {
  readonly #from: number[] = [];
  readonly #to: number[] = [];

  static of(ranges: readonly Range[]): RangeSet {
    const set = new RangeSet();
    for (const [from, to] of ranges) set.add(from, to);
    return set;
  }

  /** Number of ranges. */
  get size(): number {
    return this.#from.length;
  }
  get lowest(): number | undefined {
    return this.#from[0];
  }
  get highest(): number | undefined {
    return this.#to.at(-1);
  }

  add(from: number, to: number): void {
    if (to < from) return;
    const last = this.#to.length - 1;
    const end = this.#to[last];
    if (end === undefined || from > end + 1) {
      this.#from.push(from);
      this.#to.push(to);
      return;
    }
    const first = this.#indexFrom(from - 1);
    const start = this.#from[first] ?? from;
    let after = first;
    let top = to;
    while (after <= last && (this.#from[after] ?? 0) <= to + 1) {
      top = Math.max(top, this.#to[after] ?? 0);
      after += 1;
    }
    const low = after === first ? from : Math.min(from, start);
    this.#from.splice(first, after - first, low);
    this.#to.splice(first, after - first, top);
  }

  has(value: number): boolean {
    const index = this.#indexFrom(value);
    return (this.#from[index] ?? Number.POSITIVE_INFINITY) <= value;
  }

  *[Symbol.iterator](): IterableIterator<Range> {
    for (const [index, from] of this.#from.entries()) yield [from, this.#to[index] ?? from];
  }

  /** The ranges between the ranges. */
  *holes(): IterableIterator<Range> {
    for (let index = 1; index < this.#from.length; index += 1) {
      yield [(this.#to[index - 1] ?? 0) + 1, (this.#from[index] ?? 0) - 1];
    }
  }

  /** Index of the first range that ends at `value` or later. */
  #indexFrom(value: number): number {
    let low = 0;
    let high = this.#to.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#to[middle] ?? 0) < value) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** The union of two sets. */
export function union(a: RangeSet, b: RangeSet): RangeSet {
  const all = [...a, ...b].sort((x, y) => x[0] - y[0]);
  return RangeSet.of(all);
}
