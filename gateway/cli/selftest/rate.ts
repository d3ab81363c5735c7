import type { Queue } from "../../core/queue.ts";
import type { NewRecord } from "../../core/record.ts";
import { type Latency, latencyOf } from "./numbers.ts";

/** How fast the queue takes records of 200 bytes, each of them on disk before it counts. */
export interface RateFigures {
  /** Senders that each wait for their acknowledgement before they send again. */
  readonly atOnce: number;
  readonly perSecond: number;
  /** From sending to acknowledgement. */
  readonly latency: Latency;
}

const PAYLOAD = Buffer.alloc(200, "millrace ");
/** What a phase may write at most, for the card's sake. */
const MOST_RECORDS = 100_000;

/** @throws StorageError when the disk refuses, or `signal.reason`. */
export async function measureRate(
  queue: Pick<Queue, "append">,
  atOnce: number,
  options: { readonly ms: number; readonly signal: AbortSignal; record(payload: Buffer): NewRecord },
): Promise<RateFigures> {
  const times: number[] = [];
  const began = performance.now();
  const end = began + options.ms;
  const sender = async () => {
    do {
      options.signal.throwIfAborted();
      const sent = performance.now();
      await queue.append("events", [options.record(PAYLOAD)]);
      times.push(performance.now() - sent);
    } while (performance.now() < end && times.length < MOST_RECORDS);
  };
  const ends = await Promise.allSettled(Array.from({ length: atOnce }, sender));
  for (const ended of ends) if (ended.status === "rejected") throw ended.reason;
  return { atOnce, perSecond: (times.length * 1000) / (performance.now() - began), latency: latencyOf(times) };
}
