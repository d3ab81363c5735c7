import { ConfigError } from "../core/errors.ts";
import type { Lane, LaneRequest } from "../core/queue.ts";
import type { Entry } from "../core/record.ts";
import { type Bounds, Reader, type ReaderParts } from "./reader.ts";

export interface LanesParts extends ReaderParts {
  /** The last seq of the stream that the uplink selects, of all that were given; 0 when none. */
  readonly head: () => number;
}

const EVERYTHING: Bounds = { from: 1, to: Number.POSITIVE_INFINITY, last: 0 };

/**
 * How one uplink reads one stream between two rewinds: as one row, or in two lanes that meet at the head of the stream as it
 * was when the first of them was read. Which of the two, the first read decides.
 */
export class LaneReaders {
  readonly #parts: LanesParts;
  readonly #readers: Readonly<Record<Lane, Reader>>;
  #bounds: Partial<Record<Lane, Bounds>> = {};

  constructor(parts: LanesParts) {
    this.#parts = parts;
    const reader = (lane: Lane) => new Reader(parts, () => this.#boundsOf(lane));
    this.#readers = { fifo: reader("fifo"), live: reader("live"), backfill: reader("backfill") };
  }

  /**
   * Waits for at least one entry; `backfill` gives none at all when its end is reached. Rejects with `signal.reason`.
   * @throws ConfigError when the other way of reading was begun and not rewound.
   */
  async read(want: LaneRequest, signal: AbortSignal): Promise<Entry[]> {
    signal.throwIfAborted();
    this.#boundsOf(want.lane);
    return await this.#readers[want.lane].read(want, signal);
  }

  /** Begins again with the first that is owed and overtakes reads under way. */
  rewind(): void {
    this.#bounds = {};
    for (const reader of Object.values(this.#readers)) reader.rewind();
  }

  /** What is owed has changed: reads under way look again. */
  overtake(): void {
    for (const reader of Object.values(this.#readers)) reader.overtake();
  }

  /** Ends reads that wait, and all that follow, with `reason`. */
  close(reason: Error): void {
    for (const reader of Object.values(this.#readers)) reader.close(reason);
  }

  #boundsOf(lane: Lane): Bounds {
    if (Object.keys(this.#bounds).length === 0) this.#bounds = this.#begin(lane);
    const bounds = this.#bounds[lane];
    if (!bounds) throw new ConfigError(`the lane "${lane}" is not open: the stream is read the other way`);
    return bounds;
  }

  #begin(lane: Lane): Partial<Record<Lane, Bounds>> {
    const { cursor, row, head } = this.#parts;
    if (lane === "fifo") {
      cursor.fence = undefined;
      return { fifo: EVERYTHING };
    }
    // Also what has its seq and is not written yet: the chain's head is known for all of it.
    const fence = row.nextSeq - 1;
    const last = head();
    cursor.fence = fence;
    return {
      live: { from: fence + 1, to: Number.POSITIVE_INFINITY, last },
      backfill: { from: 1, to: fence, last },
    };
  }
}
