import { closeSync, fdatasyncSync, openSync, writeSync } from "node:fs";
import { setImmediate as turn } from "node:timers/promises";
import { type Latency, latencyOf } from "./numbers.ts";

export interface FsyncFigures extends Latency {
  /** Bytes that reached the device for each of them, as far as others let it be seen; undefined where it does not say. */
  readonly bytesEach?: number;
}

const PIECE = Buffer.alloc(200, "millrace ");
/** Enough for a p99; more would only wear out the card. */
const MOST = 2000;
const TURN_MS = 50;
const WINDOW = 50;

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
  const wear = new Wear(options.written);
  const handle = openSync(file, "a");
  try {
    await wear.look(0);
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
      await wear.look(times.length);
      turnAt = performance.now() + TURN_MS;
    }
    await wear.look(times.length, true);
  } finally {
    closeSync(handle);
  }
  const { bytesEach } = wear;
  return { ...latencyOf(times), ...(bytesEach === undefined ? {} : { bytesEach }) };
}

/** What reaches the device. Others write to it too: of many short looks, the quieter ones are believed. */
class Wear {
  readonly #written: () => Promise<number | undefined>;
  readonly #each: number[] = [];
  #fsyncs = 0;
  #bytes: number | undefined;

  constructor(written: () => Promise<number | undefined>) {
    this.#written = written;
  }

  /** The lower quartile. */
  get bytesEach(): number | undefined {
    const found = this.#each.sort((a, b) => a - b)[Math.floor(this.#each.length / 4)];
    return found !== undefined && found > 0 ? found : undefined;
  }

  /** `fsyncs` were made so far. `last`: it takes what there is, however little. */
  async look(fsyncs: number, last = false): Promise<void> {
    const enough = fsyncs - this.#fsyncs >= WINDOW || (last && this.#each.length === 0 && fsyncs > this.#fsyncs);
    if (this.#bytes !== undefined && !enough) return;
    const bytes = await this.#written();
    if (bytes !== undefined && this.#bytes !== undefined) {
      this.#each.push((bytes - this.#bytes) / (fsyncs - this.#fsyncs));
    }
    this.#bytes = bytes;
    this.#fsyncs = fsyncs;
  }
}
