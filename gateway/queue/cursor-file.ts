import { StorageError } from "../core/errors.ts";
import { Backoff, type Deferred, deferred } from "./deferred.ts";
import type { Health } from "./health.ts";
import { TwoSlotFile } from "./two-slot.ts";

/** Cursors are fsynced at most this often, and before a segment is removed. */
const SYNC_MS = 1000;

/**
 * Writes the state of one uplink: one write in flight, and the latest state wins. Calls share a write; while the disk
 * refuses they wait.
 */
export class CursorFile {
  readonly #file: TwoSlotFile;
  readonly #part: string;
  readonly #health: Health;
  readonly #onWritten: (bytes: number, fsyncs: number) => void;
  readonly #stopped = new AbortController();
  #snapshot: () => unknown = () => ({});
  #next: Deferred | undefined;
  #wantSync = false;
  #running: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #syncedAt = 0;

  constructor(path: string, part: string, health: Health, onWritten: (bytes: number, fsyncs: number) => void) {
    this.#file = new TwoSlotFile(path);
    this.#part = part;
    this.#health = health;
    this.#onWritten = onWritten;
  }

  /** Gives what is on disk. `damaged` where there was something and it cannot be read. */
  async open(): Promise<{ content: unknown; damaged: boolean }> {
    return await this.#file.open();
  }
  /** What `save` writes. */
  use(snapshot: () => unknown): void {
    this.#snapshot = snapshot;
  }

  /** Resolves when the state as of now is written. @throws StorageError when closed before. */
  async save(): Promise<void> {
    if (this.#stopped.signal.aborted) throw new StorageError("the queue is closed");
    this.#next ??= deferred();
    const { promise } = this.#next;
    this.#wake();
    await promise;
  }

  /** Resolves when the state as of now is fsynced. @throws as `save`. */
  async flush(): Promise<void> {
    this.#wantSync = true;
    await this.save();
  }

  /** The state has changed in a way that may wait a second to be written. */
  touch(): void {
    this.#timer ??= setTimeout(() => this.#tick(), SYNC_MS);
  }

  /** Ends without another write; save before. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#stopped.abort();
    await this.#running;
    this.#next?.promise.catch(() => {});
    this.#next?.reject(new StorageError("the queue was closed before the cursor was written"));
    this.#next = undefined;
    await this.#file.close();
  }

  #tick(): void {
    this.#timer = undefined;
    this.flush().catch(() => {
      // Closed meanwhile: closing wrote it.
    });
  }

  #wake(): void {
    this.#running ??= this.#run();
  }

  async #run(): Promise<void> {
    const backoff = new Backoff(50, 5000);
    // What settles in one turn shares one write.
    await Promise.resolve();
    while (this.#next && !this.#stopped.signal.aborted) {
      const done = this.#next;
      this.#next = undefined;
      try {
        await this.#write();
        this.#health.fine(this.#part);
        backoff.reset();
        done.resolve();
      } catch (error) {
        this.#health.refused(this.#part, error);
        this.#again(done);
        await backoff.wait(this.#stopped.signal);
      }
    }
    // In the same turn as the last look at what waits: whoever comes after begins a new run.
    this.#running = undefined;
  }

  async #write(): Promise<void> {
    const sync = this.#wantSync || performance.now() - this.#syncedAt >= SYNC_MS;
    this.#wantSync = false;
    try {
      this.#onWritten(await this.#file.write(this.#snapshot(), sync), sync ? 1 : 0);
    } catch (error) {
      this.#wantSync = sync;
      throw error;
    }
    if (sync) {
      this.#syncedAt = performance.now();
      clearTimeout(this.#timer);
      this.#timer = undefined;
    } else this.touch();
  }

  /** The failed write's callers wait for the next one. */
  #again(done: Deferred): void {
    const later = this.#next;
    this.#next = done;
    if (later) done.promise.then(later.resolve, later.reject);
  }
}
