import type { Range } from "../plan/cover.ts";
import { contains } from "../plan/request.ts";

type Fate = "open" | "answered" | "refused";

interface Split {
  /** The addresses that were refused together. */
  readonly whole: Range;
  readonly left: Range;
  readonly right: Range;
  /** What lies between the two. */
  readonly between: Range;
  fates: [Fate, Fate];
}

/** Two halves that are answered apart and refused together. */
export interface Finding {
  readonly between: Range;
  readonly count: number;
}

/**
 * Who is to blame for a refused read. It is cut in two, and a refused half again. Where both halves are answered, what lies
 * between them was the reason; where one is refused, the blame is further down. As long as that is open, no request joins
 * what was cut.
 */
export class Splits {
  #splits: Split[] = [];

  /** Where requests must not join anything now. */
  get open(): readonly Range[] {
    return this.#splits.map(({ between }) => between);
  }

  /** A read of these addresses was refused; it goes on as two. Two values or more. */
  cut(values: readonly Range[]): [Range[], Range[]] {
    const at = bestCut(values);
    const halves: [Range[], Range[]] = [values.slice(0, at), values.slice(at)];
    const [left, right] = [hull(halves[0]), hull(halves[1])];
    const between =
      left.end <= right.start ? { start: left.end, end: right.start } : { start: right.start, end: right.start };
    this.#splits.push({ whole: hull(values), left, right, between, fates: ["open", "open"] });
    return halves;
  }

  /** @returns what is known now. */
  answered(range: Range): Finding[] {
    if (this.#splits.length === 0) return [];
    for (const split of this.#splits) {
      for (const [index, side] of [split.left, split.right].entries()) {
        if (contains(range, side)) split.fates[index] = "answered";
      }
    }
    return this.#settle();
  }

  refused(range: Range): Finding[] {
    for (const split of this.#splits) {
      for (const [index, side] of [split.left, split.right].entries()) {
        if (contains(side, range)) split.fates[index] = "refused";
      }
    }
    return this.#settle();
  }

  #settle(): Finding[] {
    const findings: Finding[] = [];
    for (let done = this.#done(); done.length > 0; done = this.#done()) {
      this.#splits = this.#splits.filter((split) => !done.includes(split));
      for (const { fates, between, whole } of done) {
        if (!fates.includes("refused")) findings.push({ between, count: whole.end - whole.start });
      }
    }
    return findings;
  }

  #done(): Split[] {
    return this.#splits.filter(
      (split) =>
        !split.fates.includes("open") &&
        !this.#splits.some((other) => other !== split && contains(split.whole, other.whole)),
    );
  }
}

/** Where to cut: the gap nearest to the middle; the middle where there is no gap. */
function bestCut(values: readonly Range[]): number {
  const middle = values.length / 2;
  let best = Math.floor(middle);
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const [index, value] of values.entries()) {
    const before = values[index - 1];
    if (!before || value.start <= before.end) continue;
    const distance = Math.abs(index - middle);
    if (distance < bestDistance) [best, bestDistance] = [index, distance];
  }
  return best;
}

function hull(values: readonly Range[]): Range {
  return { start: values[0]?.start ?? 0, end: values.at(-1)?.end ?? 0 };
}
