import type { Gap } from "../core/record.ts";

/** The gaps of one stream that an uplink has yet to acknowledge, in order of seq; neighbours of one reason are one. */
export class GapList {
  #gaps: Gap[];

  constructor(gaps: readonly Gap[]) {
    this.#gaps = [...gaps];
  }

  get all(): readonly Gap[] {
    return this.#gaps;
  }

  add(gap: Gap): void {
    const at = this.#gaps.findIndex((other) => other.from > gap.from);
    const index = at < 0 ? this.#gaps.length : at;
    this.#gaps.splice(index, 0, gap);
    this.#join(index);
    this.#join(index - 1);
  }

  /**
   * Takes out what was acknowledged. Where the gap has grown since it was sent, the rest stays.
   * Gives whether anything changed.
   */
  settle(gap: Gap): boolean {
    const index = this.#gaps.findIndex((other) => other.epoch === gap.epoch && other.from === gap.from);
    const found = this.#gaps[index];
    if (!found || found.to < gap.to) return false;
    const rest =
      found.to > gap.to
        ? [
            {
              ...found,
              from: gap.to + 1,
              prev: gap.to,
              count: found.count - gap.count,
              bytes: found.bytes - gap.bytes,
            },
          ]
        : [];
    this.#gaps.splice(index, 1, ...rest);
    return true;
  }

  /** Joins the gap at `index` with the next, where nothing selected lies between them. */
  #join(index: number): void {
    const gap = this.#gaps[index];
    const next = this.#gaps[index + 1];
    if (!gap || !next || !touch(gap, next)) return;
    const tFrom = gap.tFrom ?? next.tFrom;
    const tTo = next.tTo ?? gap.tTo;
    this.#gaps.splice(index, 2, {
      ...gap,
      to: Math.max(gap.to, next.to),
      count: gap.count + next.count,
      bytes: gap.bytes + next.bytes,
      ...(tFrom === undefined ? {} : { tFrom }),
      ...(tTo === undefined ? {} : { tTo }),
    });
  }
}

function touch(gap: Gap, next: Gap): boolean {
  return (
    gap.reason === next.reason &&
    gap.exact === next.exact &&
    gap.chain === next.chain &&
    gap.epoch === next.epoch &&
    (next.from === gap.to + 1 || (next.prev >= gap.from && next.prev <= gap.to))
  );
}
