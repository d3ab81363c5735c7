/** What is known of the records of a segment, or of a batch on its way into one. */
export interface SlotTally {
  count: number;
  bytes: number;
  first: number;
  last: number;
}

/** Counts records as they are written. `bytes` are stored record bytes; times are wall milliseconds. */
export class Tally {
  count = 0;
  bytes = 0;
  first = 0;
  last = 0;
  tMin = Number.POSITIVE_INFINITY;
  tMax = Number.NEGATIVE_INFINITY;
  readonly slots = new Map<number, SlotTally>();

  record(seq: number, bytes: number, wallMs: number): void {
    if (this.count === 0) this.first = seq;
    this.count++;
    this.bytes += bytes;
    this.last = seq;
    if (wallMs < this.tMin) this.tMin = wallMs;
    if (wallMs > this.tMax) this.tMax = wallMs;
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
