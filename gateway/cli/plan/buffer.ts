import type { QueueOptions } from "../../core/options/queue.ts";
import { STREAMS, type StreamName } from "../../core/record.ts";
import type { Sized } from "./types.ts";

/** Files of a segment beside its records. */
const SEGMENT_BYTES = 1_500;
/** What the queue leaves beside `minFree`. */
const SLACK_BYTES = 128 * 1024;
/** Of the free disk, the reserve is at most this part. */
const RESERVE_PART = 1 / 16;

export interface StreamLoad {
  readonly recordsPerSecond: number;
  readonly storedPerSecond: number;
  /** With what the log and the segments add. */
  readonly diskPerSecond: number;
}
export type StreamLoads = Readonly<Record<StreamName, StreamLoad>>;

export function streamLoads(sized: readonly Sized[], segment: number): StreamLoads {
  const of = (stream: StreamName): StreamLoad => {
    const own = sized.filter(({ flow }) => flow.stream === stream);
    const sum = (each: (one: Sized) => number) => own.reduce((all, one) => all + each(one), 0);
    const storedPerSecond = sum(({ flow, storedBytes }) => flow.perSecond * storedBytes);
    const perSegment = SEGMENT_BYTES + sum(({ dictionaryBytes }) => dictionaryBytes);
    const segments = storedPerSecond / segment;
    return {
      recordsPerSecond: sum(({ flow }) => flow.perSecond),
      storedPerSecond,
      diskPerSecond: sum(({ flow, diskBytes }) => flow.perSecond * diskBytes) + segments * perSegment,
    };
  };
  return { events: of("events"), telemetry: of("telemetry") };
}

export interface Buffer {
  readonly maxBytes: number;
  /** A file that is given up when the disk is full; part of `maxBytes`. */
  readonly reserve: number;
  /** What is left for records, and what bounds it. */
  readonly capacity: number;
  readonly boundBy: "queue.maxBytes" | "free disk";
  readonly freeBytes?: number;
  /** On disk already when an outage begins: records that were delivered, of a segment that is not complete. */
  readonly inUse: number;
  /** From the beginning of an outage until something is dropped or refused; absent where nothing comes in. */
  readonly seconds?: number;
}

/** How long the queue holds what comes in, with every uplink away. */
export function bufferOf(queue: QueueOptions, loads: StreamLoads, freeBytes: number | undefined): Buffer {
  const { maxBytes, minFree, segment } = queue;
  const reserve = freeBytes === undefined ? 2 * segment : Math.min(2 * segment, Math.floor(freeBytes * RESERVE_PART));
  const byDisk = freeBytes === undefined ? Infinity : Math.max(0, freeBytes - minFree - reserve - SLACK_BYTES);
  const byQueue = Math.max(0, maxBytes - reserve);
  const capacity = Math.min(byDisk, byQueue);
  const half = STREAMS.reduce((sum, stream) => {
    const { diskPerSecond, storedPerSecond } = loads[stream];
    return storedPerSecond === 0 ? sum : sum + (segment / 2) * (diskPerSecond / storedPerSecond);
  }, 0);
  const inUse = Math.min(capacity, half);
  const perSecond = STREAMS.reduce((sum, stream) => sum + loads[stream].diskPerSecond, 0);
  return {
    maxBytes,
    reserve,
    capacity,
    boundBy: byDisk < byQueue ? "free disk" : "queue.maxBytes",
    ...(freeBytes === undefined ? {} : { freeBytes }),
    inUse,
    ...(perSecond === 0 ? {} : { seconds: (capacity - inUse) / perSecond }),
  };
}
