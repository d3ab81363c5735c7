import { messageOf, QueueFullError, StorageError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Queue } from "../core/queue.ts";
import type { NewRecord, StreamName } from "../core/record.ts";

import { GiveWay, type Progress } from "./give-way.ts";

export type Stored = (error?: Error) => void;

interface Item {
  readonly record: NewRecord;
  readonly bytes: number;
  /** Monotonic milliseconds. */
  readonly deadline: number;
  readonly done: Stored;
}

const MAX_BATCH = 256;
const MAX_BATCH_BYTES = 1024 * 1024;
const RETRY_MS = 200;

/**
 * The way of captured messages into one stream: strictly in the order of `add`, one append at a time, which carries
 * everything that gathered while the last one was being written. While the queue has no room or the disk refuses, the
 * messages are held and tried again until their own time is up.
 */
export class CaptureLane {
  readonly #stream: StreamName;
  readonly #queue: Pick<Queue, "append">;
  readonly #monotonic: () => number;
  readonly #log: Logger;
  readonly #giveWay: GiveWay;
  #waiting: Item[] = [];
  #scheduled = false;
  #writing: Promise<void> | undefined;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #maxBatch = MAX_BATCH;
  #holding = false;
  #stopped = false;

  /** @param progress of uplinks, which are given way to. */
  constructor(
    stream: StreamName,
    queue: Pick<Queue, "append">,
    monotonic: () => number,
    log: Logger,
    progress: Progress = () => 0,
  ) {
    this.#stream = stream;
    this.#queue = queue;
    this.#monotonic = monotonic;
    this.#log = log;
    this.#giveWay = new GiveWay(progress, monotonic);
  }

  /**
   * `done` is called once: when the record is stored, or with QueueFullError or StorageError after `holdMs` of refusals,
   * or with any error that holding cannot cure. After `stop` it may never be called.
   */
  add(record: NewRecord, bytes: number, holdMs: number, done: Stored): void {
    if (this.#stopped) return;
    this.#waiting.push({ record, bytes, deadline: this.#monotonic() + holdMs, done });
    if (this.#scheduled || this.#writing || this.#retry) return;
    this.#scheduled = true;
    // All publishes of one chunk arrive in one turn: they share the first append.
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#write();
    });
  }

  /** True while the queue refuses. */
  get holding(): boolean {
    return this.#holding;
  }

  /** Takes no more; resolves when the append that is under way has settled. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#retry);
    this.#retry = undefined;
    this.#waiting = [];
    this.#giveWay.stop();
    await this.#writing;
  }

  #write(): void {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    if (this.#stopped || this.#writing || this.#waiting.length === 0) return;
    const batch = this.#take();
    this.#writing = this.#append(batch).then((error) => {
      this.#writing = undefined;
      this.#settle(batch, error);
    });
  }

  async #append(batch: readonly Item[]): Promise<Error | undefined> {
    try {
      await this.#queue.append(
        this.#stream,
        batch.map((item) => item.record),
      );
      return undefined;
    } catch (error) {
      return error instanceof Error ? error : new Error(messageOf(error));
    }
  }

  #take(): Item[] {
    let bytes = 0;
    let count = 0;
    for (const item of this.#waiting) {
      bytes += item.bytes;
      if (count > 0 && (count >= this.#maxBatch || bytes > MAX_BATCH_BYTES)) break;
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }

  #settle(batch: readonly Item[], error: Error | undefined): void {
    if (!error) {
      this.#maxBatch = Math.min(MAX_BATCH, this.#maxBatch * 2);
      this.#report(undefined);
      for (const item of batch) item.done();
      if (this.#waiting.length === 0) return;
      this.#scheduled = true;
      this.#giveWay.after(batch.length, () => {
        this.#scheduled = false;
        this.#write();
      });
    } else if (error instanceof QueueFullError || error instanceof StorageError) {
      this.#hold(batch, error);
    } else {
      this.#log.error({ stream: this.#stream, err: error }, "captured messages could not be appended");
      for (const item of batch) item.done(error);
      this.#write();
    }
  }

  #hold(batch: readonly Item[], error: Error): void {
    if (this.#stopped) return;
    this.#report(error);
    const now = this.#monotonic();
    const items = [...batch, ...this.#waiting];
    this.#waiting = items.filter((item) => item.deadline > now);
    for (const item of items) {
      if (item.deadline <= now) item.done(error);
    }
    if (this.#waiting.length === 0) return;
    // A batch is refused as a whole although a part of it may find room.
    if (error instanceof QueueFullError && batch.length > 1) {
      this.#maxBatch = Math.max(1, Math.floor(batch.length / 4));
      this.#write();
      return;
    }
    this.#retry ??= setTimeout(() => this.#write(), RETRY_MS);
  }

  #report(error: Error | undefined): void {
    if ((error !== undefined) === this.#holding) return;
    this.#holding = error !== undefined;
    if (error) {
      this.#log.warn({ stream: this.#stream, reason: error.message }, "captured messages are held, the queue refuses");
    } else {
      this.#log.info({ stream: this.#stream }, "the queue takes captured messages again");
    }
  }
}
