import type { StreamName } from "../core/record.ts";
import { originCrc } from "./crc.ts";
import type { Survey } from "./survey.ts";
import { Tally } from "./tally.ts";

/** One segment as the rest of the queue knows it, open or not. */
export class Segment {
  readonly stream: StreamName;
  readonly epoch: number;
  readonly first: number;
  readonly generation: number;
  readonly folder: string;
  /** Crc of its origin, with which every checksum in it begins. */
  readonly base: number;
  /** False only while records are appended to it. */
  sealed = false;
  /** What was written to it and acknowledged. */
  tally = new Tally();
  /** Seqs up to `last` whose records could not be read when its tally was made: it does not count them. */
  damaged = 0;
  /** Damage was found in it: it goes into quarantine when nobody is owed it any more. */
  hurt = false;
  /** Processes ended while they opened it: it is set aside before anybody reads. */
  barred = false;
  /** What of it can be read, once damage was found in it. */
  survey: Survey | undefined;
  /** Boot that its monotonic times belong to; undefined where that is not known. */
  boot: string | undefined;
  /** How long the gateway had run when the newest record was written: see `ClockKeeper.ranMs`. */
  ranMs = 0;
  /** More lies in it than it is believed to have, and nowhere else on disk until that was written again. */
  only = false;
  /** Bytes of its folder; while it is appended to, the bytes handed to the file system. */
  diskBytes = 0;

  constructor(at: {
    stream: StreamName;
    store: string;
    epoch: number;
    first: number;
    generation: number;
    folder: string;
  }) {
    this.stream = at.stream;
    this.epoch = at.epoch;
    this.first = at.first;
    this.generation = at.generation;
    this.folder = at.folder;
    this.base = originCrc(at);
  }

  /** Last seq that is to be read from it; one less than `first` while it is empty. */
  get last(): number {
    return this.tally.count === 0 ? this.first - 1 : this.tally.last;
  }
}

/** The segments of a stream in order of seq. They never overlap. */
export class SegmentList {
  readonly #segments: Segment[] = [];

  get all(): readonly Segment[] {
    return this.#segments;
  }
  get oldest(): Segment | undefined {
    return this.#segments[0];
  }
  get newest(): Segment | undefined {
    return this.#segments.at(-1);
  }
  get diskBytes(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.diskBytes, 0);
  }

  /** `segment` begins after every other. */
  push(segment: Segment): void {
    this.#segments.push(segment);
  }
  remove(segment: Segment): void {
    const index = this.#segments.indexOf(segment);
    if (index >= 0) this.#segments.splice(index, 1);
  }
  has(segment: Segment): boolean {
    return this.#segments.includes(segment);
  }
  /** The segment that holds `seq`. */
  at(seq: number): Segment | undefined {
    const found = this.#segments[this.#countUpTo(seq) - 1];
    return found && seq <= found.last ? found : undefined;
  }
  /** The first segment that begins after `seq`. */
  after(seq: number): Segment | undefined {
    return this.#segments[this.#countUpTo(seq)];
  }

  /** How many begin at or before `seq`. */
  #countUpTo(seq: number): number {
    let low = 0;
    let high = this.#segments.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const segment = this.#segments[middle];
      if (segment && segment.first <= seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
