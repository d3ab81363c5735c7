import type { Queue } from "./core/queue.ts";

/**
 * The same queue for whoever delivers out of it, but no event leaves it before `ready` resolves: what has yet to write down
 * that its record is in the queue would not find it there any more, and append it again.
 * @param onSettle told of what uplinks acknowledge.
 */
export function settleAfter(queue: Queue, ready: () => Promise<void>, onSettle: (records: number) => void): Queue {
  return {
    start: () => queue.start(),
    open: (uplink, reader) => queue.open(uplink, reader),
    append: (stream, records) => queue.append(stream, records),
    refused: (stream, lost) => queue.refused(stream, lost),
    read: (uplink, want, signal) => queue.read(uplink, want, signal),
    settle: async (uplink, stream, seqs) => {
      if (stream === "events") await ready();
      onSettle(seqs.length);
      await queue.settle(uplink, stream, seqs);
    },
    reject: async (uplink, stream, seqs, reason) => {
      if (stream === "events") await ready();
      await queue.reject(uplink, stream, seqs, reason);
    },
    rewind: (uplink) => queue.rewind(uplink),
    gaps: (uplink) => queue.gaps(uplink),
    onGap: (uplink, listener) => queue.onGap(uplink, listener),
    settleGap: (uplink, gap) => queue.settleGap(uplink, gap),
    clocks: (uplink) => queue.clocks(uplink),
    onClock: (uplink, listener) => queue.onClock(uplink, listener),
    settleClock: (uplink, bootId) => queue.settleClock(uplink, bootId),
    timed: (entry) => queue.timed(entry),
    stats: () => queue.stats(),
    close: () => queue.close(),
  };
}
