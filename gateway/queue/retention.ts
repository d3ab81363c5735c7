import type { Clock } from "../core/clock.ts";
import type { BacklogLimits } from "../core/queue.ts";
import { STREAMS, type StreamName } from "../core/record.ts";
import type { Remover } from "./remover.ts";
import type { Row } from "./row.ts";
import type { Segment } from "./segment.ts";
import type { PerStream, UplinkState } from "./uplink-state.ts";

const CHECK_MS = 10_000;
/** A segment that is appended to is sealed when its oldest record has this part of the age, so that age is told finely. */
const SEAL_PART = 8;

export interface RetentionParts {
  readonly rows: PerStream<Row>;
  readonly uplinks: ReadonlyMap<string, UplinkState>;
  readonly remover: Remover;
  readonly clock: Clock;
  /** Seals the segment of a stream that is appended to. */
  readonly roll: (stream: StreamName) => Promise<void>;
  /** What an uplink that the configuration no longer has is held for, in milliseconds; undefined: until it is forgotten. */
  readonly retainMs: number | undefined;
}

/**
 * Keeps each uplink within its own `maxBacklog`, and one that was taken out of the configuration within `retain`: what is
 * over leaves that uplink's debt alone, in whole segments from the oldest, telemetry before events, as a gap.
 */
export class Retention {
  readonly #parts: RetentionParts;
  readonly #ages: SegmentAges;
  #timer: NodeJS.Timeout | undefined;
  #checking: Promise<void> | undefined;

  constructor(parts: RetentionParts) {
    this.#parts = parts;
    this.#ages = new SegmentAges(parts.clock);
  }

  /** Every uplink of the configuration is open. */
  start(): void {
    this.#timer ??= setInterval(() => this.check(), CHECK_MS).unref();
    this.check();
  }

  /** Looks whether anything is over, some time soon. Does nothing before `start`. */
  check(): void {
    if (!this.#timer) return;
    this.#checking ??= this.#check()
      .catch(() => {
        // Closed meanwhile; the next run looks again.
      })
      .finally(() => {
        this.#checking = undefined;
      });
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#timer = undefined;
    await this.#checking;
  }

  async #check(): Promise<void> {
    const { uplinks, rows } = this.#parts;
    for (const stream of STREAMS) for (const segment of rows[stream].segments.all) this.#ages.see(segment);
    const youngest = Math.min(
      ...[...uplinks.values()].map((uplink) => this.#limits(uplink).ageMs ?? Number.POSITIVE_INFINITY),
    );
    await this.#sealOld(youngest);
    for (const uplink of uplinks.values()) {
      const { bytes, ageMs } = this.#limits(uplink);
      if (ageMs !== undefined) await this.#expire(uplink, ageMs);
      if (bytes !== undefined) await this.#shrink(uplink, bytes);
    }
  }

  #limits(uplink: UplinkState): BacklogLimits {
    const { retainMs } = this.#parts;
    if (uplink.reader) return uplink.reader.maxBacklog ?? {};
    return retainMs === undefined ? {} : { ageMs: retainMs };
  }

  async #sealOld(ageMs: number): Promise<void> {
    for (const stream of STREAMS) {
      const newest = this.#parts.rows[stream].segments.newest;
      if (!newest || newest.sealed || newest.tally.count === 0) continue;
      if (this.#ages.oldest(newest) > ageMs / SEAL_PART) await this.#parts.roll(stream);
    }
  }

  async #expire(uplink: UplinkState, ageMs: number): Promise<void> {
    for (const stream of STREAMS) {
      const old = this.#parts.rows[stream].segments.all.filter(
        (segment) => segment.sealed && this.#ages.youngest(segment) > ageMs && uplink.cursors[stream].owes(segment),
      );
      if (old.length > 0) await this.#parts.remover.expire(uplink, old);
    }
  }

  async #shrink(uplink: UplinkState, most: number): Promise<void> {
    for (let over = bytesOwed(uplink) - most; over > 0; ) {
      const oldest = this.#oldestOwed(uplink);
      if (!oldest) return;
      if (!oldest.sealed) await this.#parts.roll(oldest.stream);
      await this.#parts.remover.expire(uplink, [oldest]);
      const left = bytesOwed(uplink) - most;
      // What is in flight stays owed until its verdict.
      if (left >= over) return;
      over = left;
    }
  }

  #oldestOwed(uplink: UplinkState): Segment | undefined {
    for (const stream of ["telemetry", "events"] as const) {
      const found = this.#parts.rows[stream].segments.all.find(
        (segment) => segment.tally.count > 0 && uplink.cursors[stream].owes(segment),
      );
      if (found) return found;
    }
    return undefined;
  }
}

function bytesOwed(uplink: UplinkState): number {
  return STREAMS.reduce((sum, stream) => sum + uplink.cursors[stream].depth().bytes, 0);
}

/**
 * How old segments are, by a clock that may be wrong: never more than the time this process has watched them pass, beyond
 * what they had when it first saw them. So a step of the clock alone makes nothing old.
 */
class SegmentAges {
  readonly #clock: Clock;
  readonly #seen = new WeakMap<Segment, { last: number; youngest: number; oldest: number; monoMs: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  see(segment: Segment): void {
    const { monoMs, wallMs, clock } = this.#clock.now();
    const { last, tMin, tMax, count } = segment.tally;
    const before = this.#seen.get(segment);
    if (before?.last === last) return;
    if (before) {
      // Something was appended: its youngest is new.
      before.oldest += monoMs - before.monoMs;
      this.#seen.set(segment, { ...before, last, youngest: 0, monoMs });
      return;
    }
    const known = clock === "synced" && count > 0;
    const age = (at: number) => (known && Number.isFinite(at) ? Math.max(0, wallMs - at) : 0);
    const sealed = segment.sealed;
    this.#seen.set(segment, { last, youngest: sealed ? age(tMax) : 0, oldest: sealed ? age(tMin) : 0, monoMs });
  }

  youngest(segment: Segment): number {
    return this.#bounded(segment, "youngest", segment.tally.tMax);
  }
  oldest(segment: Segment): number {
    return this.#bounded(segment, "oldest", segment.tally.tMin);
  }

  #bounded(segment: Segment, which: "youngest" | "oldest", at: number): number {
    const seen = this.#seen.get(segment);
    if (!seen) return 0;
    const { monoMs, wallMs, clock } = this.#clock.now();
    const watched = seen[which] + monoMs - seen.monoMs;
    return clock === "synced" && Number.isFinite(at) ? Math.min(watched, wallMs - at) : watched;
  }
}
