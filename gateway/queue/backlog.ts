import type { Logger } from "../core/log.ts";
import { type GapReason, STREAMS, type StreamName } from "../core/record.ts";
import type { Row } from "./row.ts";
import type { Segment } from "./segment.ts";
import type { Totals } from "./totals.ts";
import type { PerStream, UplinkState } from "./uplink-state.ts";

/** Of its greatest age, a segment of a stream may span so much. */
const SPAN = 1 / 8;
/** What is owed by age goes first, and telemetry before events. */
const ORDER: readonly StreamName[] = ["telemetry", "events"];

export interface BacklogParts {
  readonly rows: PerStream<Row>;
  readonly uplinks: ReadonlyMap<string, UplinkState>;
  readonly totals: Totals;
  readonly log: Logger;
  /** How long the gateway has run: see `ClockKeeper.ranMs`. */
  readonly ranMs: () => number;
  /** What an uplink is owed has become less, under its readers. */
  readonly onGivenUp: (uplink: UplinkState) => void;
}

/** Keeps each uplink within its own `maxBacklog`, and lets go of what one that is gone has not asked for in its time. */
export class Backlog {
  readonly #parts: BacklogParts;

  constructor(parts: BacklogParts) {
    this.#parts = parts;
  }

  /** How long a segment may be appended to, so that it can be given up as a whole when it is old. */
  rollAfterMs(): number {
    const ages = [...this.#parts.uplinks.values()].map(({ reader }) => reader?.maxBacklog?.ageMs ?? Infinity);
    return Math.min(...ages, Infinity) * SPAN;
  }

  /** Gives up what is over. Every uplink is open that will be. */
  look(): void {
    const ranMs = this.#parts.ranMs();
    for (const uplink of this.#parts.uplinks.values()) {
      if (uplink.reader) this.#bound(uplink, uplink.reader.maxBacklog ?? {}, ranMs);
      else this.#leave(uplink, ranMs);
    }
  }

  #bound(
    uplink: UplinkState,
    { ageMs, bytes }: { readonly ageMs?: number | undefined; readonly bytes?: number | undefined },
    ranMs: number,
  ): void {
    if (ageMs !== undefined) this.#giveUp(uplink, "retention", (segment) => ranMs - segment.ranMs >= ageMs);
    if (bytes === undefined) return;
    let owed = STREAMS.reduce((sum, stream) => sum + uplink.cursors[stream].depth().bytes, 0);
    if (owed <= bytes) return;
    this.#giveUp(
      uplink,
      "dropped",
      () => owed > bytes,
      (lost) => {
        owed -= lost.bytes;
        this.#parts.totals.dropped += lost.count;
      },
    );
  }

  #leave(uplink: UplinkState, ranMs: number): void {
    const { since, over } = uplink.retention.left(ranMs);
    if (since) uplink.file.touch();
    if (over) this.#giveUp(uplink, "retention", () => true);
  }

  /** Gives up segments from the oldest on, as long as `wanted` says so, of each stream. */
  #giveUp(
    uplink: UplinkState,
    reason: GapReason,
    wanted: (segment: Segment) => boolean,
    onLost: (lost: { readonly count: number; readonly bytes: number }) => void = () => {},
  ): void {
    let records = 0;
    for (const stream of ORDER) {
      const cursor = uplink.cursors[stream];
      for (const segment of this.#parts.rows[stream].segments.all) {
        if (segment.tally.count === 0 || !cursor.owes(segment)) continue;
        if (!wanted(segment)) break;
        const lost = cursor.giveUp(segment, reason);
        records += lost.count;
        onLost(lost);
      }
    }
    if (records === 0) return;
    this.#parts.log.warn({ uplink: uplink.name, records, reason }, "backlog of an uplink given up, told as a gap");
    this.#parts.onGivenUp(uplink);
  }
}
