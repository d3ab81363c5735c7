import { AREA_NAMES, type Area, LAST_ADDRESS } from "../address.ts";
import type { Range } from "./cover.ts";

export interface AreaRange extends Range {
  readonly area: Area;
}

const FORM = /^(coil|discrete|input|holding):(\d{1,5})(?:\.\.(\d{1,5})|(\|))?$/;

/**
 * `holding:10..19` for addresses that cannot be read, both included; `holding:10` for one; `holding:10|` for a border just
 * before it, which no request may cross.
 * @throws RangeError naming the fault and the cure.
 */
export function parseHole(text: string): AreaRange {
  const [, name, first, last, border] = FORM.exec(text) ?? [];
  const area = AREA_NAMES.find((each) => each === name);
  const start = Number(first);
  const end = border ? start : Number(last ?? first) + 1;
  if (!area || end - 1 > LAST_ADDRESS || start > LAST_ADDRESS) {
    throw new RangeError(`a hole is "holding:10..19", "holding:10", or "holding:10|" for a border; not "${text}"`);
  }
  if (!border && end <= start) throw new RangeError(`the hole "${text}" ends before it begins: swap the two`);
  return { area, start, end };
}

export function formatHole({ area, start, end }: AreaRange): string {
  if (start === end) return `${area}:${start}|`;
  return end === start + 1 ? `${area}:${start}` : `${area}:${start}..${end - 1}`;
}
