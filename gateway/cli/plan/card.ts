import type { QueueOptions } from "../../core/options/queue.ts";
import { STREAMS, type StreamName } from "../../core/record.ts";
import type { StreamLoads } from "./buffer.ts";
import type { Sized, UplinkLoad } from "./types.ts";

/** What a small fsync writes to the device on ext4 beside the data (measured; as the gateway's own estimate has it). */
const FSYNC_BYTES = 8_500;
/** Zeros are written ahead of the log while less than this lies between two fsyncs. */
const ZEROS_UNTIL = 8 * 1024;
/** Durable writes a second at most: what comes meanwhile shares the next one. */
const FSYNCS = 200;
/** The state of an uplink, each time it is written (measured). */
const CURSOR_BYTES = 200;
const DAY_S = 86_400;

export interface Writes {
  readonly bytesPerDay: number;
  readonly fsyncsPerDay: number;
}

export interface Card extends Writes {
  readonly deviceBytesPerDay: number;
  readonly endurance: number;
  /** What of it is because of each uplink, while it is connected. */
  readonly uplinks: Readonly<Record<string, Writes>>;
  /** Absent where nothing is written. */
  readonly cardDays?: number;
}

/** What the queue writes in a day with the uplinks connected. */
export function cardOf(
  queue: QueueOptions,
  loads: StreamLoads,
  sized: readonly Sized[],
  uplinks: readonly UplinkLoad[],
): Card {
  let [bytes, fsyncs] = [0, 0];
  for (const stream of STREAMS) {
    const { diskPerSecond, storedPerSecond, recordsPerSecond } = loads[stream];
    if (recordsPerSecond === 0) continue;
    const syncs = syncsPerSecond(queue.sync, stream, sized);
    const zeros = diskPerSecond / syncs <= ZEROS_UNTIL ? diskPerSecond : 0;
    bytes += diskPerSecond + zeros;
    // A segment begins and is sealed with two each.
    fsyncs += syncs + (4 * storedPerSecond) / queue.segment;
  }
  const own = Object.fromEntries(uplinks.map((uplink) => [uplink.name, writesFor(uplink)]));
  for (const writes of Object.values(own)) {
    bytes += writes.bytesPerDay / DAY_S;
    fsyncs += writes.fsyncsPerDay / DAY_S;
  }
  const deviceBytesPerDay = (bytes + fsyncs * FSYNC_BYTES) * DAY_S;
  return {
    bytesPerDay: bytes * DAY_S,
    fsyncsPerDay: fsyncs * DAY_S,
    deviceBytesPerDay,
    endurance: queue.endurance,
    uplinks: own,
    ...(deviceBytesPerDay < 1 ? {} : { cardDays: queue.endurance / deviceBytesPerDay }),
  };
}

/** Its state, written with what is acknowledged and durable within a second. */
function writesFor({ recordsPerSecond, live, inFlight }: UplinkLoad): Writes {
  const messages = recordsPerSecond * live.messages;
  if (messages === 0) return { bytesPerDay: 0, fsyncsPerDay: 0 };
  // A quarter of the window is settled together, where so many come at once; else each by itself.
  const settles = messages > 4 * inFlight ? (4 * messages) / inFlight : messages;
  return { bytesPerDay: settles * CURSOR_BYTES * DAY_S, fsyncsPerDay: DAY_S / (1 + 1 / messages) };
}

/** The first record after an fsync starts the time until the next one; a durable record does not wait. */
function syncsPerSecond(sync: QueueOptions["sync"], stream: StreamName, sized: readonly Sized[]): number {
  const own = sized.filter(({ flow }) => flow.stream === stream);
  const rate = (durable: boolean) =>
    own.reduce((sum, { flow }) => sum + (flow.durable === durable ? flow.perSecond : 0), 0);
  const [durable, others] = [rate(true), rate(false)];
  if (sync === "always") return Math.min(FSYNCS, durable + others);
  const timed = others === 0 ? 0 : 1 / (sync / 1000 + 1 / others);
  return Math.min(FSYNCS, durable + timed);
}
