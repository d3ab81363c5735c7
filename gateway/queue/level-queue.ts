import type { BootOffset, Clock } from "../core/clock.ts";
import { ConfigError, StorageError } from "../core/errors.ts";
import type { Inspector } from "../core/inspect.ts";
import type { Logger } from "../core/log.ts";
import type { Metrics } from "../core/metrics.ts";
import type { QueueOptions } from "../core/options/queue.ts";
import type { LaneRequest, Queue, QueueReader, QueueStats, Refused } from "../core/queue.ts";
import type { Entry, Gap, NewRecord, StreamName } from "../core/record.ts";
import type { Worker } from "../core/work.ts";
import { ClockKeeper } from "./clock-keeper.ts";
import { CrashGuard } from "./crash-guard.ts";
import { errorCode } from "./files.ts";
import { Folders } from "./folders.ts";
import { Health } from "./health.ts";
import { fsyncHistogram, gapCounter } from "./insight.ts";
import { LevelSegments } from "./level-segments.ts";
import { FolderLock } from "./lock.ts";
import { clearFolderPlaces, clearStatePlaces } from "./misplaced.ts";
import { refuseNewer } from "./newer.ts";
import { Quarantine } from "./quarantine.ts";
import { recover } from "./recovery.ts";
import type { SegmentStore } from "./segment-store.ts";
import { Shelf } from "./shelf.ts";
import { Store } from "./store.ts";
import { Totals } from "./totals.ts";

export interface LevelQueueParts {
  /** Absolute path; made where it does not exist. */
  readonly dataDir: string;
  readonly options: QueueOptions;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** A durable write of records to a stream took so many seconds, until now. */
  readonly onFsync?: ((stream: StreamName, seconds: number) => void) | undefined;
  /** `/etc/machine-id`: a store that comes from another machine begins a new epoch. */
  readonly machineId: string;
  /** The disk holds the process up for good: it should end with exit code 74. Without it the queue goes on as it can. */
  readonly onFatal?: (error: StorageError) => void;
  /** The engine that keeps segments; LevelDB where nothing else is given. */
  readonly engine?: SegmentStore;
  /** Whether a segment in which three processes ended can be read; asked of a process of its own where nothing else is given. */
  readonly probe?: (folder: string) => Promise<boolean>;
}

/** The store-and-forward queue on LevelDB segments. */
export class LevelQueue implements Queue {
  readonly #parts: LevelQueueParts;
  #lock: FolderLock | undefined;
  #store: Store | undefined;
  #keeper: ClockKeeper | undefined;
  #guard: CrashGuard | undefined;
  #starting: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  constructor(parts: LevelQueueParts) {
    this.#parts = parts;
  }

  async start(): Promise<void> {
    if (this.#closing !== undefined) throw new StorageError("the queue is closed");
    if (this.#store) return;
    this.#starting ??= this.#start().finally(() => {
      this.#starting = undefined;
    });
    await this.#starting;
  }

  async open(uplink: string, reader: QueueReader): Promise<void> {
    await this.#opened().open(uplink, reader);
  }
  async append(stream: StreamName, records: readonly NewRecord[]): Promise<void> {
    await this.#opened().append(stream, records);
  }
  refused(stream: StreamName, lost: Refused): void {
    this.#store?.refused(stream, lost);
  }
  async read(uplink: string, want: LaneRequest, signal: AbortSignal): Promise<Entry[]> {
    return await this.#opened().read(uplink, want, signal);
  }
  async settle(uplink: string, stream: StreamName, seqs: readonly number[]): Promise<void> {
    await this.#opened().settle(uplink, stream, seqs);
  }
  async reject(uplink: string, stream: StreamName, seqs: readonly number[], reason: string): Promise<void> {
    await this.#opened().reject(uplink, stream, seqs, reason);
  }
  rewind(uplink: string): void {
    this.#opened().rewind(uplink);
  }
  gaps(uplink: string): readonly Gap[] {
    return this.#opened().gaps(uplink);
  }
  onGap(uplink: string, listener: () => void): () => void {
    return this.#opened().onGap(uplink, listener);
  }
  async settleGap(uplink: string, gap: Gap): Promise<void> {
    await this.#opened().settleGap(uplink, gap);
  }
  clocks(uplink: string): readonly BootOffset[] {
    return this.#opened().clocks(uplink);
  }
  onClock(uplink: string, listener: () => void): () => void {
    return this.#opened().onClock(uplink, listener);
  }
  async settleClock(uplink: string, bootId: string): Promise<void> {
    await this.#opened().settleClock(uplink, bootId);
  }
  timed(entry: Entry): Entry {
    return this.#store?.timed(entry) ?? entry;
  }
  stats(): QueueStats {
    return this.#opened().stats();
  }

  /** Those that write; none while it is not open. */
  get workers(): readonly Worker[] {
    return this.#store?.workers ?? [];
  }

  /** For a look beside delivery; its methods reject with StorageError once the queue is closed. */
  inspector(): Inspector {
    return this.#opened().inspector();
  }

  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  #opened(): Store {
    if (!this.#store)
      throw new StorageError(this.#closing !== undefined ? "the queue is closed" : "the queue is not started");
    return this.#store;
  }

  async #start(): Promise<void> {
    const { dataDir, options, machineId, clock, log, metrics, onFatal } = this.#parts;
    const folders = new Folders(dataDir);
    const health = new Health(log);
    const totals = new Totals(fsyncHistogram(metrics), this.#parts.onFsync);
    const onWritten = (bytes: number, fsyncs: number) => totals.wrote(bytes, fsyncs);
    const engine = this.#parts.engine ?? new LevelSegments(options.segment, (bytes) => onWritten(bytes, 0));
    const guard = new CrashGuard(folders.state("opening"), clock, this.#parts.probe);
    const shelf = new Shelf(engine, guard);
    const quarantine = new Quarantine({ dataDir, maxBytes: options.quarantine, log, metrics });
    const lock = new FolderLock(dataDir);
    const onGap = gapCounter(metrics, totals);
    const keeper = new ClockKeeper({ clock, path: folders.state("boots"), log, metrics, onWritten });
    try {
      await refuseNewer(folders, engine);
      await clearFolderPlaces({ folders, quarantine, log });
      await folders.make();
      await lock.take();
      await clearStatePlaces({ folders, quarantine, log });
      await keeper.start();
      await guard.start();
      const found = {
        folders,
        engine,
        shelf,
        health,
        totals,
        log,
        machineId,
        onGap,
        guard,
        quarantine,
        ranMs: keeper.ranMs(),
      };
      const recovered = await recover(found);
      const fatal = onFatal ?? ((error) => log.error({ reason: error.message }, "queue goes on without a segment"));
      const parts = {
        options,
        clock,
        log,
        metrics,
        folders,
        engine,
        shelf,
        health,
        totals,
        onGap,
        keeper,
        quarantine,
        onFatal: fatal,
      };
      const store = new Store(parts, recovered);
      await store.start();
      this.#store = store;
      this.#keeper = keeper;
      this.#guard = guard;
      this.#lock = lock;
    } catch (error) {
      await keeper.close();
      await guard.close();
      await shelf.close().catch(() => {});
      await lock.release().catch(() => {});
      throw startError(error, dataDir);
    }
  }

  async #close(): Promise<void> {
    await this.#starting?.catch(() => {});
    const store = this.#store;
    this.#store = undefined;
    await store?.close();
    await this.#keeper?.close();
    await this.#guard?.close();
    await this.#lock?.release().catch(() => {});
  }
}

function startError(error: unknown, dataDir: string): Error {
  if (error instanceof ConfigError || error instanceof StorageError) return error;
  const code = errorCode(error);
  if (code === "EACCES" || code === "EPERM" || code === "ENOTDIR" || code === "EEXIST") {
    return new ConfigError(`the data folder ${dataDir} cannot be used (${code})`, { cause: error });
  }
  return new StorageError(`the queue in ${dataDir} cannot be opened`, { cause: error });
}
