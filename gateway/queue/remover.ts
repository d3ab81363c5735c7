import type { Logger } from "../core/log.ts";
import { STREAMS, type StreamName } from "../core/record.ts";
import type { Cursor } from "./cursor.ts";
import { Serial } from "./deferred.ts";
import { errorText } from "./files.ts";
import type { Folders } from "./folders.ts";
import type { Row } from "./row.ts";
import type { Segment } from "./segment.ts";
import type { Shelf } from "./shelf.ts";
import type { Totals } from "./totals.ts";
import type { PerStream, UplinkState } from "./uplink-state.ts";

export interface RemoverParts {
  readonly rows: PerStream<Row>;
  readonly uplinks: ReadonlyMap<string, UplinkState>;
  readonly folders: Folders;
  readonly shelf: Shelf;
  readonly totals: Totals;
  readonly log: Logger;
  /** What uplinks are owed in a stream has changed under their readers. */
  readonly overtake: (stream: StreamName) => void;
}

/**
 * How segments leave: done with, dropped for want of room, or damaged. One at a time, and always in this order: cursors
 * on disk, renamed away, folder on disk, removed.
 */
export class Remover {
  readonly #parts: RemoverParts;
  readonly #turns = new Serial();
  #trimming: Promise<void> | undefined;
  #again: "oldest" | "all" | undefined;
  readonly #standsIn = new WeakMap<Cursor, Segment | undefined>();

  constructor(parts: RemoverParts) {
    this.#parts = parts;
  }

  /** What an uplink is owed has become less. */
  moved(uplink: UplinkState): void {
    let what: "oldest" | "all" = "oldest";
    for (const stream of STREAMS) {
      const cursor = uplink.cursors[stream];
      const segment = this.#parts.rows[stream].segments.at(cursor.firstOwed?.from ?? 0);
      // It has left a segment, which may lie behind others that are held by others.
      if (this.#standsIn.get(cursor) !== segment) what = "all";
      this.#standsIn.set(cursor, segment);
    }
    this.trim(what);
  }

  /** Removes, some time soon, the oldest segments that nobody is owed; with `all` also those in the midst. */
  trim(what: "oldest" | "all"): void {
    this.#again = what === "all" ? what : (this.#again ?? what);
    this.#trimming ??= this.#trimSoon();
  }

  /** Removes a sealed segment; what uplinks were owed of it becomes a gap. @throws StorageError when closed. */
  async drop(segment: Segment): Promise<void> {
    await this.#turns.run(async () => {
      if (!this.#row(segment).segments.has(segment)) return;
      let lost = 0;
      for (const uplink of this.#parts.uplinks.values()) {
        lost += uplink.cursors[segment.stream].loseSegment(segment, "dropped");
      }
      this.#parts.totals.dropped += lost;
      this.#parts.overtake(segment.stream);
      await this.#remove([segment]);
    });
  }

  /** What one uplink is owed of sealed segments, and has not read, leaves its debt as a gap (`retention`). */
  async expire(uplink: UplinkState, segments: readonly Segment[]): Promise<void> {
    await this.#turns.run(async () => {
      for (const segment of segments) {
        if (!segment.sealed || !this.#row(segment).segments.has(segment)) continue;
        this.#parts.totals.dropped += uplink.cursors[segment.stream].loseSegment(segment, "retention");
        this.#parts.overtake(segment.stream);
      }
      await uplink.file.flush();
    });
    this.trim("all");
  }

  /** Puts a segment that cannot be read where nothing opens it again; what uplinks were owed of it becomes a gap. */
  async setAside(segment: Segment, error: unknown): Promise<void> {
    await this.#turns.run(async () => {
      const { rows, uplinks, shelf, folders, totals, log, overtake } = this.#parts;
      const { segments } = rows[segment.stream];
      if (!segments.has(segment)) return;
      for (const uplink of uplinks.values()) uplink.cursors[segment.stream].loseSegment(segment, "damaged");
      overtake(segment.stream);
      await this.#flush();
      segments.remove(segment);
      await shelf.shut(segment);
      totals.quarantined++;
      const to = await folders.quarantine(segment.folder).catch(errorText);
      log.error({ segment: segment.folder, to, reason: errorText(error) }, "damaged segment set aside");
    });
  }

  /** Does something while no segment is removed. */
  async alone<T>(work: () => Promise<T>): Promise<T> {
    return await this.#turns.run(work);
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    await this.#trimming;
    await this.#turns.run(() => Promise.resolve());
  }

  async #trimSoon(): Promise<void> {
    await Promise.resolve();
    while (this.#again) {
      const all = this.#again === "all";
      this.#again = undefined;
      await this.#turns.run(async () => {
        const done = STREAMS.flatMap((stream) => this.#notOwed(stream, all));
        if (done.length === 0) return;
        for (const segment of done) this.#forget(segment);
        await this.#remove(done).catch(() => {
          // Closed meanwhile: the next start finds them.
        });
      });
    }
    // In the same turn as the last look: whoever comes after begins anew.
    this.#trimming = undefined;
  }

  #notOwed(stream: StreamName, all: boolean): Segment[] {
    const found: Segment[] = [];
    for (const segment of this.#parts.rows[stream].segments.all) {
      if (!segment.sealed) break;
      if (![...this.#parts.uplinks.values()].some((uplink) => uplink.cursors[stream].owes(segment)))
        found.push(segment);
      else if (!all) break;
    }
    return found;
  }

  #forget(segment: Segment): void {
    for (const uplink of this.#parts.uplinks.values()) uplink.cursors[segment.stream].forget(segment);
  }

  async #remove(segments: readonly Segment[]): Promise<void> {
    const { shelf, folders, log } = this.#parts;
    await this.#flush();
    for (const segment of segments) {
      this.#row(segment).segments.remove(segment);
      this.#forget(segment);
      await shelf.shut(segment);
      try {
        await folders.discard(segment.folder);
      } catch (error) {
        // The next start finds it again, and nobody is owed it.
        log.warn({ segment: segment.folder, reason: errorText(error) }, "segment not removed");
      }
    }
  }

  async #flush(): Promise<void> {
    await Promise.all([...this.#parts.uplinks.values()].map((uplink) => uplink.file.flush()));
  }

  #row(segment: Segment): Row {
    return this.#parts.rows[segment.stream];
  }
}
