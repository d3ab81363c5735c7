import { QueueFullError, StorageError } from "../core/errors.ts";
import type { NewRecord } from "../core/record.ts";
import type { Work, Worker } from "../core/work.ts";
import { type Append, Batch } from "./batch.ts";
import { ByteWriter } from "./bytes.ts";
import { sizeOf } from "./content.ts";
import { Backoff, type Deferred, deferred, pause } from "./deferred.ts";
import { isNoSpace } from "./files.ts";
import type { Health } from "./health.ts";
import type { Row } from "./row.ts";
import type { SegmentWriter } from "./segment-writer.ts";
import type { SeqFile } from "./seqs.ts";
import type { Sources } from "./sources.ts";

const RESERVE = 10_000;
const BATCH_BYTES = 1024 * 1024;
const BATCH_RECORDS = 8192;
/** What may wait in memory while the disk refuses, and while it is merely slower than what comes in. */
const MOST_WAITING_REFUSED = 4 * 1024 * 1024;
const MOST_WAITING = 32 * 1024 * 1024;
/** How long a full disk is waited for before those who append are told. */
const FULL_WAIT_MS = 1000;
/** A card that is busy with itself takes tens of seconds for an fsync. */
const STEP_MOST_MS = 60_000;

export interface CommitterParts {
  readonly row: Row;
  readonly writer: SegmentWriter;
  readonly seqs: SeqFile;
  readonly sources: Sources;
  readonly health: Health;
  /** `always`, or how long a record that is not durable may wait for its fsync, in milliseconds. */
  readonly sync: "always" | number;
  /** After each batch that was written. */
  readonly onCommitted: (batch: Batch) => void;
}

const FULL = "the disk is full: nothing is taken until there is room";

/**
 * The only one that writes into a row. One batch is in flight; the next is what gathered meanwhile, already encoded.
 * Seqs are given in the order of the calls, out of a reservation that is on disk before.
 */
export class Committer implements Worker {
  readonly part: string;
  readonly #parts: CommitterParts;
  readonly #out = new ByteWriter();
  readonly #stopped = new AbortController();
  #waiting: Append[] = [];
  #staged: Batch | undefined;
  #waitingBytes = 0;
  #reserved: number;
  #held = 0;
  #running: Promise<void> | undefined;
  #extending: Promise<void> | undefined;
  #syncTimer: NodeJS.Timeout | undefined;
  #syncDue = false;
  #failed = false;
  #closing = false;
  /** What is being written. */
  #writing: Batch | undefined;
  #seqRefused = false;
  /** When the step that is under way began. */
  #stepMs: number | undefined;
  /** The disk is full, and whoever appends is told at once. */
  #full = false;
  #fullTimer: NodeJS.Timeout | undefined;
  readonly #rolls = new Set<Deferred>();
  readonly #jobs: (() => Promise<void>)[] = [];

  constructor(parts: CommitterParts) {
    this.#parts = parts;
    this.part = `queue ${parts.row.stream}`;
    this.#reserved = parts.row.nextSeq;
  }

  /** Bytes that were accepted and are not written yet. */
  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  /**
   * About how many bytes the records will take.
   * @throws RangeError when one of them cannot be stored.
   */
  sizeOf(records: readonly NewRecord[]): number {
    let bytes = 0;
    for (const { content } of records) {
      bytes += sizeOf(content, content.kind === "samples" ? this.#parts.sources.of(content.source) : undefined);
    }
    return bytes;
  }

  /** @throws QueueFullError when the disk is full; StorageError when too much waits already, or when closed before it was written. */
  async append(records: readonly NewRecord[], bytes: number): Promise<void> {
    const most = this.#parts.health.good ? MOST_WAITING : MOST_WAITING_REFUSED;
    if (this.#closing) throw new StorageError("the queue is closed");
    if (this.#full) throw new QueueFullError(FULL);
    if (this.#waitingBytes > 0 && this.#waitingBytes + bytes > most) {
      throw new StorageError("the disk does not keep up: too much waits to be written");
    }
    const append = { records, bytes, durable: records.some((record) => record.durable), done: deferred() };
    this.#waitingBytes += bytes;
    this.#waiting.push(append);
    this.#stage();
    this.#wake();
    await append.done.promise;
  }

  /** A disk that refuses is tried again and again: that is no step that does not end. */
  work(): Work | undefined {
    if (this.#stepMs === undefined || !this.#parts.health.good) return undefined;
    return { doing: "a write does not end", forMs: performance.now() - this.#stepMs, mayTakeMs: STEP_MOST_MS };
  }

  /** Between `hold` and `release` no seq is given: the chains may change. */
  hold(): void {
    this.#held++;
  }
  release(): void {
    this.#held--;
    this.#stage();
    this.#wake();
  }

  /** The disk has no room for what is being written. It is tried on; those who wait are told after a while. */
  noSpace(): void {
    this.#fullTimer ??= setTimeout(() => this.#refuseFull(), FULL_WAIT_MS);
  }

  /** Seals the active segment between two batches. @throws QueueFullError when the disk is full; StorageError when closed. */
  async roll(): Promise<void> {
    if (this.#closing) throw new StorageError("the queue is closed");
    if (this.#full) throw new QueueFullError(FULL);
    const done = deferred();
    this.#rolls.add(done);
    this.#jobs.push(() => this.#parts.writer.seal().then(done.resolve, done.reject));
    this.#wake();
    await done.promise.finally(() => this.#rolls.delete(done));
  }

  /** Writes what was accepted, unless the disk refuses; seals. Gives whether every seq given is on disk. */
  async close(): Promise<boolean> {
    this.#closing = true;
    clearTimeout(this.#syncTimer);
    clearTimeout(this.#fullTimer);
    await this.#unlessRefused(this.#running ?? Promise.resolve());
    await this.#extending;
    if (!this.#failed) await this.#unlessRefused(this.#parts.writer.seal());
    if (this.#waiting.length > 0 || this.#staged) this.#failed = true;
    this.#stop();
    this.#refuseAll(new StorageError("the queue was closed before this was written"));
    return !this.#failed;
  }

  /** Waits for work that would go on for ever while the disk refuses. */
  async #unlessRefused(work: Promise<void>): Promise<void> {
    const over = new AbortController();
    const done = work
      .catch(() => {
        this.#failed = true;
      })
      .finally(() => over.abort());
    while (!over.signal.aborted) {
      if (!this.#parts.health.good) this.#stop();
      await pause(100, over.signal);
    }
    await done;
  }

  #stop(): void {
    this.#stopped.abort();
    this.#parts.writer.stop();
  }

  #wake(): void {
    this.#running ??= this.#run();
  }

  async #run(): Promise<void> {
    // Appends of one turn share the first batch.
    await Promise.resolve();
    try {
      for (let work = this.#work(); work !== undefined; work = this.#work()) {
        this.#stepMs = performance.now();
        await work;
      }
    } finally {
      this.#stepMs = undefined;
      // In the same turn as the last look at what waits: whoever comes after begins a new run.
      this.#running = undefined;
    }
  }

  /** Begins what is to be done next; undefined when there is nothing. */
  #work(): Promise<void> | undefined {
    clearTimeout(this.#fullTimer);
    this.#fullTimer = undefined;
    this.#full = false;
    this.#stage();
    const job = this.#jobs.shift();
    // Whoever asked for it is told.
    if (job) return job().catch(() => {});
    if (this.#staged) return this.#commit(this.#staged);
    if (this.#syncDue) return this.#syncNow();
    if (this.#waiting.length > 0 && this.#held === 0) return this.#extendOrWait();
    return undefined;
  }

  /** Encodes what waits, as far as it fits into one batch and its seqs are reserved. */
  #stage(): void {
    const { row, sources } = this.#parts;
    const { linker } = row;
    let taken = 0;
    for (const append of this.#waiting) {
      const { length } = append.records;
      if (
        this.#held > 0 ||
        this.#parts.writer.refused ||
        this.#stopped.signal.aborted ||
        row.nextSeq + length > this.#reserved
      )
        break;
      if (this.#staged && !fits(this.#staged, append)) break;
      this.#staged ??= new Batch(row.nextSeq, linker.heads());
      this.#staged.add(append, { out: this.#out, base: row.base, linker, sources });
      row.nextSeq += length;
      taken++;
    }
    if (taken > 0) this.#waiting.splice(0, taken);
    if (taken > 0 && this.#reserved - row.nextSeq < RESERVE / 2) this.#extendAhead();
  }

  async #commit(batch: Batch): Promise<void> {
    this.#staged = undefined;
    const { row, writer, sync } = this.#parts;
    const durable = batch.durable || sync === "always" || this.#syncDue;
    let failure: Error | undefined;
    this.#writing = batch;
    try {
      await writer.write(batch, durable);
    } catch (error) {
      this.#failed = true;
      failure = error instanceof Error ? error : new StorageError(String(error));
    }
    this.#writing = undefined;
    for (const append of batch.appends) {
      this.#waitingBytes -= append.bytes;
      if (failure) append.done.reject(failure);
      else append.done.resolve();
    }
    batch.appends.length = 0;
    if (failure) return this.#refuseAll(failure);
    row.appended += batch.count;
    this.#scheduleSync();
    row.changed.ring();
    this.#parts.onCommitted(batch);
  }

  #scheduleSync(): void {
    const { writer, sync } = this.#parts;
    if (!writer.unsynced || sync === "always") {
      clearTimeout(this.#syncTimer);
      this.#syncTimer = undefined;
      this.#syncDue = false;
    } else if (!this.#syncTimer && !this.#closing) {
      this.#syncTimer = setTimeout(() => {
        this.#syncTimer = undefined;
        this.#syncDue = true;
        this.#wake();
      }, sync);
    }
  }

  async #syncNow(): Promise<void> {
    this.#syncDue = false;
    try {
      await this.#parts.writer.sync();
    } catch {
      this.#failed = true;
    }
  }

  #extendAhead(): void {
    this.#extending ??= this.#extend(0)
      .catch(() => {
        // Tried again when the reservation is used up.
      })
      .finally(() => {
        this.#extending = undefined;
      });
  }

  /** Reserves at least `records` more. */
  async #extend(records: number): Promise<void> {
    const { row, seqs } = this.#parts;
    const reserved = Math.max(this.#reserved + RESERVE, row.nextSeq + records);
    await seqs.write(row.stream, { reserved, open: true, heads: {} });
    this.#reserved = reserved;
  }

  async #extendOrWait(): Promise<void> {
    const { health, row } = this.#parts;
    const backoff = new Backoff(50, 5000);
    const part = `seq ${row.stream}`;
    await this.#extending;
    while (this.#waiting[0] && row.nextSeq + this.#waiting[0].records.length > this.#reserved) {
      if (this.#stopped.signal.aborted)
        return this.#refuseAll(new StorageError("the disk refused until the queue was closed"));
      try {
        await this.#extend(this.#waiting[0].records.length);
        health.fine(part);
        this.#seqRefused = false;
      } catch (error) {
        health.refused(part, error);
        this.#seqRefused = true;
        if (isNoSpace(error)) this.noSpace();
        await backoff.wait(this.#stopped.signal);
      }
    }
  }

  /** What has its seqs goes on being written; nobody waits for it any more. What has none is refused for good. */
  #refuseFull(): void {
    this.#fullTimer = undefined;
    if (this.#closing || !(this.#parts.writer.refused || this.#seqRefused)) return;
    this.#full = true;
    for (const batch of [this.#writing, this.#staged]) {
      for (const append of batch?.appends.splice(0) ?? []) {
        this.#refuse(append, new QueueFullError(FULL, { mayBeStored: true }));
      }
    }
    for (const append of this.#waiting.splice(0)) this.#refuse(append, new QueueFullError(FULL));
    for (const roll of this.#rolls) roll.reject(new QueueFullError(FULL));
  }

  #refuse(append: Append, error: Error): void {
    this.#waitingBytes -= append.bytes;
    append.done.reject(error);
  }

  /** Nothing of these can be written any more. Seqs that were given already stay unused for ever. */
  #refuseAll(error: Error): void {
    if (this.#staged) this.#failed = true;
    const refused = [...(this.#staged?.appends ?? []), ...this.#waiting];
    this.#staged = undefined;
    this.#waiting = [];
    for (const append of refused) this.#refuse(append, error);
  }
}

function fits(batch: Batch, append: Append): boolean {
  return batch.bytes + append.bytes <= BATCH_BYTES && batch.count + append.records.length <= BATCH_RECORDS;
}
