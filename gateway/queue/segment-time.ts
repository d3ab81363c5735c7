import type { SentTime } from "../core/clock.ts";
import type { StoredTime } from "./boots.ts";
import type { Segment } from "./segment.ts";

/**
 * Wall time of the first and the last record of a segment, in Unix milliseconds, as far as it is known by now: what was
 * taken before the clock was set counts only where the offset of its boot is known.
 */
export function timesOf(
  { tally, boot }: Segment,
  timeOf: (stored: StoredTime) => SentTime,
): { readonly tFrom?: number; readonly tTo?: number } {
  const known = [tally.tMin, tally.tMax].filter(Number.isFinite);
  for (const monoMs of [tally.monoMin, tally.monoMax]) {
    if (boot === undefined || !Number.isFinite(monoMs)) continue;
    const time = timeOf({ bootId: boot, monoMs, wallMs: 0, clock: "unsynced" });
    if (time.clock !== "unsynced") known.push(time.wallMs);
  }
  return known.length === 0 ? {} : { tFrom: Math.min(...known), tTo: Math.max(...known) };
}
