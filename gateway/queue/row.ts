import type { SentTime } from "../core/clock.ts";
import type { StreamName } from "../core/record.ts";
import type { StoredTime } from "./boots.ts";
import { originCrc } from "./crc.ts";
import { Linker } from "./linker.ts";
import { SegmentList } from "./segment.ts";
import { Wakeup } from "./wakeup.ts";

/** One stream as its writer and its readers share it. */
export class Row {
  readonly stream: StreamName;
  /** Store and epoch of the records written now. */
  readonly store: string;
  readonly epoch: number;
  readonly base: number;
  readonly segments = new SegmentList();
  readonly linker = new Linker();
  /** Rings when the tail moved or a reader has another reason to look again. */
  readonly changed = new Wakeup();
  /** Greatest seq that was written: readers go no further. */
  tail: number;
  /** The next seq that will be given. */
  nextSeq: number;
  /** The time of a record as it is known by now; set when the clocks of boots are. */
  timeOf: (stored: StoredTime) => SentTime = ({ wallMs, clock }) => ({ wallMs, clock });
  /** Records appended since the start. */
  appended = 0;

  constructor(stream: StreamName, store: string, epoch: number, nextSeq: number) {
    this.stream = stream;
    this.store = store;
    this.epoch = epoch;
    this.base = originCrc({ store, stream, epoch });
    this.nextSeq = nextSeq;
    this.tail = nextSeq - 1;
  }
}
