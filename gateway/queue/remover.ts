import { StorageError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import { STREAMS, type StreamName } from "../core/record.ts";
import type { Cursor } from "./cursor.ts";
import { Serial } from "./deferred.ts";
import { errorText } from "./files.ts";
import type { Folders } from "./folders.ts";
import { markHurt } from "./hurt.ts";
import type { Quarantine } from "./quarantine.ts";
import type { Row } from "./row.ts";
import type { Segment } from "./segment.ts";
import type { Shelf } from "./shelf.ts";
import type { Totals } from "./totals.ts";
import type { PerStream, UplinkState } from "./uplink-state.ts";

const BARRED = new StorageError("three processes ended while they opened it");

export interface RemoverParts {
  readonly rows: PerStream<Row>;
  readonly uplinks: ReadonlyMap<string, UplinkState>;
  readonly folders: Folders;
  readonly quarantine: Quarantine;
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
      await this.#remove([segment], false);
    });
  }

  /** Puts a segment that cannot be read where nothing opens it again; what uplinks were owed of it becomes a gap. */
  async setAside(segment: Segment, error: unknown): Promise<void> {
    await this.#turns.run(async () => {
      const { rows, uplinks, shelf, quarantine, totals, log, overtake } = this.#parts;
      const { segments } = rows[segment.stream];
      if (!segments.has(segment)) return;
      for (const uplink of uplinks.values()) uplink.cursors[segment.stream].loseSegment(segment, "damaged");
      overtake(segment.stream);
      await this.#flush();
      segments.remove(segment);
      await shelf.shut(segment);
      totals.quarantined++;
      const to = await quarantine.add(segment.folder).catch(errorText);
      log.error({ segment: segment.folder, to, reason: errorText(error) }, "damaged segment set aside");
    });
  }

  /** Sets aside what is not to be opened any more. */
  async setBarredAside(): Promise<void> {
    const all = STREAMS.flatMap((stream) => this.#parts.rows[stream].segments.all);
    for (const segment of all.filter(({ barred }) => barred)) await this.setAside(segment, BARRED);
  }

  /** Part of a segment cannot be read. Known over a restart too, so that it is kept when it is done with. */
  async hurt(segment: Segment): Promise<void> {
    if (segment.hurt) return;
    segment.hurt = true;
    this.#parts.log.error({ segment: segment.folder }, "damaged records in a segment, the others are delivered");
    await markHurt(segment.folder);
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
        await this.#remove(done, true).catch(() => {
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
      if (!segment.sealed || segment.only) break;
      if (![...this.#parts.uplinks.values()].some((uplink) => uplink.cursors[stream].owes(segment)))
        found.push(segment);
      else if (!all) break;
    }
    return found;
  }

  #forget(segment: Segment): void {
    for (const uplink of this.#parts.uplinks.values()) uplink.cursors[segment.stream].forget(segment);
  }

  /** With `keepHurt`, what was damaged is kept in quarantine. */
  async #remove(segments: readonly Segment[], keepHurt: boolean): Promise<void> {
    const { shelf, folders, quarantine, log } = this.#parts;
    await this.#flush();
    for (const segment of segments) {
      this.#row(segment).segments.remove(segment);
      this.#forget(segment);
      await shelf.shut(segment);
      try {
        if (keepHurt && segment.hurt) await quarantine.add(segment.folder);
        else await folders.discard(segment.folder);
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
