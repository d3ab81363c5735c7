import { closeSync, fdatasyncSync, openSync, writeSync } from "node:fs";
import { setImmediate as turn } from "node:timers/promises";
import { type Latency, latencyOf } from "./numbers.ts";

export interface FsyncFigures extends Latency {
  /** Bytes that reached the device for each of them; undefined where the device does not say. */
  readonly bytesEach?: number;
}

const PIECE = Buffer.alloc(200, "millrace ");
/** Enough for a p99; more would only wear out the card. */
const MOST = 2000;
const TURN_MS = 50;

/**
 * Appends 200 bytes and waits for fdatasync, again and again: what each single acknowledgement costs on this disk.
 * Synchronous, because the way through the thread pool takes longer than a disk that does not flush.
 * @throws what the disk answers, or `signal.reason`.
 */
export async function measureFsync(
  file: string,
  options: { readonly ms: number; readonly signal: AbortSignal; written(): Promise<number | undefined> },
): Promise<FsyncFigures> {
  const times: number[] = [];
  const before = await options.written();
  const handle = openSync(file, "a");
  try {
    const end = performance.now() + options.ms;
    let turnAt = performance.now() + TURN_MS;
    while (times.length < MOST && (performance.now() < end || times.length === 0)) {
      const began = performance.now();
      writeSync(handle, PIECE);
      fdatasyncSync(handle);
      const done = performance.now();
      times.push(done - began);
      if (done < turnAt) continue;
      await turn(undefined, { signal: options.signal });
      turnAt = performance.now() + TURN_MS;
    }
  } finally {
    closeSync(handle);
  }
  const after = await options.written();
  const bytes = before === undefined || after === undefined ? 0 : after - before;
  return { ...latencyOf(times), ...(bytes > 0 ? { bytesEach: bytes / times.length } : {}) };
}
