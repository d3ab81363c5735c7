import type { Instant } from "../core/clock.ts";

/** What is known of the records of a segment, or of a batch on its way into one. */
export interface SlotTally {
  count: number;
  bytes: number;
  first: number;
  last: number;
}

/**
 * Counts records as they are written. `bytes` are stored record bytes; `tMin` and `tMax` wall milliseconds of those that
 * were taken while the clock was set, `monoMin` and `monoMax` monotonic milliseconds of the others.
 */
export class Tally {
  count = 0;
  bytes = 0;
  first = 0;
  last = 0;
  tMin = Number.POSITIVE_INFINITY;
  tMax = Number.NEGATIVE_INFINITY;
  monoMin = Number.POSITIVE_INFINITY;
  monoMax = Number.NEGATIVE_INFINITY;
  readonly slots = new Map<number, SlotTally>();

  /** `taken` is undefined where it is not known. */
  record(seq: number, bytes: number, taken: Instant | undefined): void {
    if (this.count === 0) this.first = seq;
    this.count++;
    this.bytes += bytes;
    this.last = seq;
    if (taken?.clock === "synced") {
      if (taken.wallMs < this.tMin) this.tMin = taken.wallMs;
      if (taken.wallMs > this.tMax) this.tMax = taken.wallMs;
    } else if (taken) {
      if (taken.monoMs < this.monoMin) this.monoMin = taken.monoMs;
      if (taken.monoMs > this.monoMax) this.monoMax = taken.monoMs;
    }
  }

  link(slot: number, seq: number, bytes: number): void {
    const tally = this.slots.get(slot);
    if (!tally) {
      this.slots.set(slot, { count: 1, bytes, first: seq, last: seq });
      return;
    }
    tally.count++;
    tally.bytes += bytes;
    tally.last = seq;
  }

  /** Adds what follows this one. */
  add(next: Tally): void {
    if (next.count === 0) return;
    if (this.count === 0) this.first = next.first;
    this.count += next.count;
    this.bytes += next.bytes;
    this.last = next.last;
    this.tMin = Math.min(this.tMin, next.tMin);
    this.tMax = Math.max(this.tMax, next.tMax);
    this.monoMin = Math.min(this.monoMin, next.monoMin);
    this.monoMax = Math.max(this.monoMax, next.monoMax);
    for (const [slot, more] of next.slots) {
      const tally = this.slots.get(slot);
      if (!tally) this.slots.set(slot, { ...more });
      else {
        tally.count += more.count;
        tally.bytes += more.bytes;
        tally.last = more.last;
      }
    }
  }

  copy(): Tally {
    const copy = new Tally();
    copy.add(this);
    return copy;
  }
}
