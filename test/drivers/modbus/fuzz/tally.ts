import type { Random } from "../../../support/random.ts";
import { contentOf, looksRight, type WireKind, type WireQuestion } from "./wires.ts";

export interface Tally {
  deliveries: number;
  /** Values that were taken, and are right. */
  right: number;
  /** Wrong values that were taken although the standard lets a client tell. */
  wrong: number;
  /** Wrong values in frames with which nothing is wrong: noise hit data that nothing protects, or the answer was too late. */
  hidden: number;
  /** Things thrown that are no answer to a question. */
  crashes: number;
}

export const newTally = (): Tally => ({ deliveries: 0, right: 0, wrong: 0, hidden: 0, crashes: 0 });

/** Few places, units and lengths, so that many questions look alike. */
export function someQuestion(random: Random): Omit<WireQuestion, "id"> {
  const code = random.whole(1, 4);
  const count = code <= 2 ? random.whole(1, 40) : random.whole(1, 6);
  return { unit: random.whole(1, 3), code, address: random.whole(0, 60) * 8, count };
}

/** Counts a value that a client took. */
export function judge(
  tally: Tally,
  kind: WireKind,
  asked: Omit<WireQuestion, "id">,
  value: Buffer,
  heard: { readonly question: WireQuestion; readonly bytes: Buffer; readonly known: () => readonly Buffer[] },
): void {
  if (sameValues(asked, value)) tally.right++;
  else if (looksRight(kind, heard.question, heard.bytes, heard.known())) tally.hidden++;
  else tally.wrong++;
}

/** Bits beyond those that were asked for are nobody's business. */
function sameValues(asked: Omit<WireQuestion, "id">, value: Buffer): boolean {
  const right = contentOf(asked);
  if (value.length !== right.length) return false;
  const rest = asked.code <= 2 ? asked.count % 8 : 0;
  const mask = rest === 0 ? 0xff : (1 << rest) - 1;
  const last = right.length - 1;
  return value.subarray(0, last).equals(right.subarray(0, last)) && ((value[last] ?? 0) & mask) === right[last];
}
