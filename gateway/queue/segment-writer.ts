import { StorageError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Batch } from "./batch.ts";
import { Backoff, pause } from "./deferred.ts";
import { errorText, folderBytes, isNoSpace, removeFolder, syncFolder } from "./files.ts";
import type { Folders } from "./folders.ts";
import type { Health } from "./health.ts";
import { HEADER_KEY, SYNC_KEY, sourceKey } from "./keys.ts";
import { encodeHeader, encodeMeta, FORMAT } from "./meta.ts";
import type { Row } from "./row.ts";
import { writeSeal } from "./seal.ts";
import { Segment } from "./segment.ts";
import type { OpenSegment, Pair, SegmentStore } from "./segment-store.ts";
import type { Shelf } from "./shelf.ts";
import type { Tally } from "./tally.ts";
import type { Totals } from "./totals.ts";

const SYNC_PAIR: Pair = { key: SYNC_KEY, value: Buffer.from("x") };
/** What is kept in memory of written and not yet fsynced batches, so that a poisoned segment costs nothing. */
const MOST_UNSYNCED_BYTES = 4 * 1024 * 1024;
const CLOSE_LIMIT_MS = 5000;

export interface SegmentWriterParts {
  readonly row: Row;
  readonly boot: string;
  readonly segmentBytes: number;
  /** How long the gateway has run: see `ClockKeeper.ranMs`. */
  readonly ranMs: () => number;
  /** A segment that was begun so long ago is sealed at the next write. */
  readonly rollAfterMs: () => number;
  readonly engine: SegmentStore;
  readonly folders: Folders;
  readonly shelf: Shelf;
  readonly health: Health;
  readonly totals: Totals;
  readonly log: Logger;
  /** A segment is complete and may be removed once nothing in it is owed. */
  readonly onSealed: () => void;
  /** The file system is full: what may be given up is given up. */
  readonly onNoSpace: () => Promise<void>;
  /** A poisoned segment did not close in 5 s: the process should end with exit code 74. */
  readonly onFatal: (error: StorageError) => void;
}

interface Active {
  readonly segment: Segment;
  readonly open: OpenSegment;
  readonly begunRanMs: number;
}

/**
 * Puts batches into the newest segment of a row, one call at a time. A rejected write poisons its segment: LevelDB may
 * acknowledge and lose everything that follows. So the segment is closed, and what is not known to be on disk goes into
 * a new one, with the same seqs and bytes, before anything else happens.
 */
export class SegmentWriter {
  readonly #parts: SegmentWriterParts;
  readonly #stopped = new AbortController();
  #active: Active | undefined;
  /** Batches that were written, and not fsynced since. */
  #unsynced: Batch[] = [];
  #unsyncedBytes = 0;
  /** What the active segment held at its last fsync, while there are unsynced batches. */
  #syncedTally: Tally | undefined;
  #refused = false;

  constructor(parts: SegmentWriterParts) {
    this.#parts = parts;
  }

  /** Whether the disk refuses what is being written. */
  get refused(): boolean {
    return this.#refused;
  }

  /** Whether something waits for an fsync. */
  get unsynced(): boolean {
    return this.#unsynced.length > 0;
  }

  /**
   * Writes a batch, with `sync` durably, and moves the tail of the row. Goes on trying while the disk refuses.
   * @throws StorageError only when stopped meanwhile; the batch may or may not be on disk then.
   */
  async write(batch: Batch, sync: boolean): Promise<void> {
    try {
      if (this.#active && this.#isFull(this.#active)) await this.#sealActive();
      const full = this.#unsyncedBytes + batch.bytes > MOST_UNSYNCED_BYTES;
      await this.#append([batch], sync || full);
    } catch (error) {
      await this.#recover([...this.#unsynced, batch], error);
    }
    this.#parts.row.tail = batch.nextSeq - 1;
  }

  /** Makes durable what was written. @throws as `write`. */
  async sync(): Promise<void> {
    if (!this.#active || !this.unsynced) return;
    try {
      await this.#put(this.#active.open, [SYNC_PAIR], true);
      this.#synced();
    } catch (error) {
      const batches = [...this.#unsynced];
      await this.#recover(batches, error);
    }
  }

  /** Seals the active segment, so that the next batch begins a new one. @throws as `write`. */
  async seal(): Promise<void> {
    await this.sync();
    await this.#sealActive();
  }

  /** Ends the trying of calls that are under way. */
  stop(): void {
    this.#stopped.abort();
  }

  async #append(batches: readonly Batch[], sync: boolean): Promise<void> {
    const [first] = batches;
    if (!first) return;
    const active = this.#active ?? (await this.#begin(first));
    const added = new Map(
      batches.flatMap((batch) => [...batch.sources].filter(([id]) => active.open.sourceOf(id) === undefined)),
    );
    const base = active.segment.base;
    const dictionary = [...added].map(([id, { known }]): Pair => {
      const key = sourceKey(id);
      return { key, value: encodeMeta(base, key, known.json) };
    });
    const pairs = batches.length === 1 && dictionary.length === 0 ? first.pairs : batches.flatMap((b) => b.pairs);
    await this.#put(active.open, dictionary.length === 0 ? pairs : [...dictionary, ...pairs], sync);
    for (const [id, { source }] of added) active.open.know(id, source);
    this.#account(active.segment, batches, sync);
  }

  async #put(open: OpenSegment, pairs: readonly Pair[], sync: boolean): Promise<void> {
    const begun = performance.now();
    await open.write(pairs, sync);
    if (sync) this.#parts.totals.synced(this.#parts.row.stream, (performance.now() - begun) / 1000);
  }

  #isFull({ segment, begunRanMs }: Active): boolean {
    const { segmentBytes, ranMs, rollAfterMs } = this.#parts;
    return segment.tally.bytes >= segmentBytes || ranMs() - begunRanMs >= rollAfterMs();
  }

  #account(segment: Segment, batches: readonly Batch[], sync: boolean): void {
    if (!sync && this.#unsynced.length === 0) this.#syncedTally = segment.tally.copy();
    segment.ranMs = this.#parts.ranMs();
    for (const batch of batches) {
      segment.tally.add(batch.tally);
      segment.diskBytes += batch.diskBytes;
      this.#parts.totals.bytesWritten += batch.diskBytes;
    }
    if (sync) this.#synced();
    else {
      this.#unsynced.push(...batches);
      this.#unsyncedBytes += batches.reduce((sum, batch) => sum + batch.bytes, 0);
    }
  }

  #synced(): void {
    this.#parts.totals.fsyncs++;
    this.#unsynced = [];
    this.#unsyncedBytes = 0;
    this.#syncedTally = undefined;
  }

  /** Makes the segment that `batch` will be the first in. */
  async #begin(batch: Batch): Promise<Active> {
    const { row, boot, engine, folders, shelf } = this.#parts;
    const { stream, store, epoch } = row;
    const taken = (await folders.segments(stream)).filter((found) => found.first === batch.first);
    const generation = 1 + Math.max(-1, ...taken.map((found) => found.generation));
    const folder = folders.segment(stream, batch.first, generation);
    const segment = new Segment({ stream, store, epoch, first: batch.first, generation, folder });
    const header = { format: FORMAT, store, stream, epoch, first: batch.first, generation, boot, heads: batch.heads };
    let open: OpenSegment | undefined;
    try {
      open = await engine.create(folder, { key: HEADER_KEY, value: encodeHeader(header) });
      await syncFolder(folder);
      await syncFolder(folders.stream(stream));
      this.#parts.totals.fsyncs += 2;
    } catch (error) {
      await open?.close().catch(() => {});
      await removeFolder(folder).catch(() => {});
      throw error;
    }
    shelf.pin(segment, open);
    row.segments.push(segment);
    segment.boot = boot;
    this.#active = { segment, open, begunRanMs: this.#parts.ranMs() };
    return this.#active;
  }

  async #sealActive(): Promise<void> {
    const active = this.#active;
    if (!active) return;
    if (this.unsynced) {
      await this.#put(active.open, [SYNC_PAIR], true);
      this.#synced();
    }
    this.#active = undefined;
    await this.#sealSegment(active.segment);
    this.#parts.shelf.unpin(active.segment);
    this.#parts.onSealed();
  }

  async #sealSegment(segment: Segment): Promise<void> {
    segment.sealed = true;
    try {
      await writeSeal(segment.folder, segment);
      this.#parts.totals.fsyncs += 2;
      segment.diskBytes = await folderBytes(segment.folder);
    } catch (error) {
      // The next start reads the segment instead.
      this.#parts.log.warn({ folder: segment.folder, reason: errorText(error) }, "segment not sealed on disk");
    }
  }

  async #recover(batches: readonly Batch[], cause: unknown): Promise<void> {
    this.#refused = true;
    try {
      await this.#writeAgain(batches, cause);
    } finally {
      this.#refused = false;
    }
  }

  /** The poison rule. `batches` are all that may not be on disk, in order. */
  async #writeAgain(batches: readonly Batch[], cause: unknown): Promise<void> {
    const { row, health } = this.#parts;
    const part = `queue ${row.stream}`;
    const [first] = batches;
    if (!first) return;
    health.refused(part, cause);
    row.tail = Math.min(row.tail, first.first - 1);
    const dead: Segment[] = [];
    const backoff = new Backoff(50, 5000);
    for (;;) {
      const poisoned = await this.#abandon();
      if (poisoned) dead.push(poisoned);
      if (this.#stopped.signal.aborted)
        throw new StorageError("the disk refused until the queue was closed", { cause });
      try {
        await this.#append(batches, true);
        break;
      } catch (error) {
        if (isNoSpace(error)) await this.#parts.onNoSpace().catch(() => {});
        await backoff.wait(this.#stopped.signal);
      }
    }
    row.tail = (batches.at(-1) ?? first).nextSeq - 1;
    row.changed.ring();
    health.fine(part);
    for (const segment of dead) await this.#bury(segment);
  }

  /** Closes the active segment after a rejected write; gives it with only what is certain to be in it. */
  async #abandon(): Promise<Segment | undefined> {
    const active = this.#active;
    if (!active) return undefined;
    this.#active = undefined;
    active.segment.tally = this.#syncedTally ?? active.segment.tally;
    active.segment.sealed = true;
    active.segment.only = true;
    this.#synced();
    if (active.segment.tally.count === 0) this.#parts.row.segments.remove(active.segment);
    const limit = new AbortController();
    const closed = this.#parts.shelf.shut(active.segment).then(() => true);
    const late = pause(CLOSE_LIMIT_MS, limit.signal).then(() => false);
    if (!(await Promise.race([closed, late]))) {
      this.#parts.onFatal(new StorageError(`a poisoned segment does not close: ${active.segment.folder}`));
    }
    limit.abort();
    return active.segment;
  }

  /** Seals a poisoned segment at what is certain in it, or removes it when that is nothing. */
  async #bury(segment: Segment): Promise<void> {
    segment.only = false;
    if (segment.tally.count > 0) {
      await this.#sealSegment(segment);
      this.#parts.onSealed();
      return;
    }
    await this.#parts.folders.discard(segment.folder).catch((error: unknown) => {
      this.#parts.log.warn({ folder: segment.folder, reason: errorText(error) }, "poisoned segment not removed");
    });
  }
}
