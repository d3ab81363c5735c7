import { statfs } from "node:fs/promises";
import { QueueFullError } from "../core/errors.ts";
import type { QueueOptions } from "../core/options/queue.ts";
import type { StreamName } from "../core/record.ts";
import type { Committer } from "./committer.ts";
import { Serial } from "./deferred.ts";
import type { Remover } from "./remover.ts";
import type { Reserve } from "./reserve.ts";
import type { Row } from "./row.ts";
import type { Segment } from "./segment.ts";
import type { Totals } from "./totals.ts";
import type { PerStream, UplinkState } from "./uplink-state.ts";

const LOOK_MS = 1000;
/** Beside what is written as records: files of a new segment, seals, whole blocks. */
const SLACK_BYTES = 128 * 1024;

const NO_SHARES: Readonly<Record<StreamName, number>> = { events: 0, telemetry: 0 };

export interface RoomParts {
  readonly dataDir: string;
  readonly options: QueueOptions;
  readonly rows: PerStream<Row>;
  readonly committers: PerStream<Committer>;
  readonly uplinks: ReadonlyMap<string, UplinkState>;
  readonly remover: Remover;
  readonly totals: Totals;
  readonly reserve: Reserve;
}

/** Keeps the queue within `maxBytes` and the disk above `minFree`, and each stream's share its own. */
export class Room {
  readonly #parts: RoomParts;
  readonly #turns = new Serial();
  #making = 0;
  #used: Record<StreamName, number> = { events: 0, telemetry: 0 };
  #freeBytes = Number.POSITIVE_INFINITY;
  #writtenThen = 0;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #looking: Promise<void> | undefined;

  constructor(parts: RoomParts) {
    this.#parts = parts;
  }

  /** Bytes of all segments on disk, and of the reserve. */
  get usedBytes(): number {
    return this.#used.events + this.#used.telemetry + this.#parts.reserve.bytes;
  }

  /** Segments have grown, come or gone. */
  recount(): void {
    const { rows } = this.#parts;
    this.#used = { events: rows.events.segments.diskBytes, telemetry: rows.telemetry.segments.diskBytes };
  }

  /** Looks at the disk for the first time. */
  async start(): Promise<void> {
    await this.#parts.reserve.start();
    await this.#look();
  }

  /** Looks at the disk, when it is time. */
  tick(): void {
    if (performance.now() - this.#lookedAt >= LOOK_MS) void this.#look();
  }

  /** Whether `bytes` more can be taken as things are. Otherwise `make` room first, which looks at the disk itself. */
  fits(stream: StreamName, bytes: number): boolean {
    this.tick();
    return this.#making === 0 && this.#far(bytes) && this.#fits(stream, bytes);
  }

  /**
   * Drops old segments, as the policies say, until `bytes` more fit. In order of the calls.
   * @throws QueueFullError when the policy is to refuse.
   */
  async make(stream: StreamName, bytes: number): Promise<void> {
    this.#making++;
    try {
      await this.#turns.run(async () => {
        if (this.#far(bytes) && this.#fits(stream, bytes)) return;
        await this.#look();
        while (!this.#fits(stream, bytes)) {
          const victim = this.#victim(stream, bytes);
          if (!victim) throw new QueueFullError(`the queue is full: ${stream} is refused until there is room`);
          await this.#drop(victim);
          await this.#look();
        }
      });
    } finally {
      this.#making--;
    }
  }

  /** The file system has no room at all: gives up the reserve, then the oldest that is not being written, where allowed. */
  async relieve(stream: StreamName): Promise<void> {
    this.#lookedAt = Number.NEGATIVE_INFINITY;
    this.#freeBytes = 0;
    if (await this.#parts.reserve.release()) return;
    const victim = this.#victim(stream, 0, true);
    if (victim) await this.#drop(victim);
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    await this.#looking;
    await this.#turns.run(() => Promise.resolve());
    await this.#parts.reserve.close();
  }

  /** What the disk has left for records once `bytes` more are written. */
  #left(bytes: number): number {
    const { options, committers, totals, reserve } = this.#parts;
    const written = totals.bytesWritten - this.#writtenThen;
    const coming = committers.events.waitingBytes + committers.telemetry.waitingBytes + bytes;
    return this.#freeBytes - written - coming - reserve.lacks(this.#freeBytes) - options.minFree - SLACK_BYTES;
  }

  /** Whether the disk need not be looked at: others may have written too, within the last second. */
  #far(bytes: number): boolean {
    return this.#left(bytes) >= 4 * this.#parts.options.segment;
  }

  #fits(stream: StreamName, bytes: number): boolean {
    const { options, committers } = this.#parts;
    const coming = committers.events.waitingBytes + committers.telemetry.waitingBytes + bytes;
    return this.usedBytes + coming + this.#kept(stream) <= options.maxBytes && this.#left(bytes) >= 0;
  }

  /** What `stream` has to leave to the other, since it would not give it back. */
  #kept(stream: StreamName): number {
    const { eventsPolicy, telemetryPolicy, shares = NO_SHARES } = this.#parts.options;
    if (stream === "events")
      return eventsPolicy === "refuse" ? Math.max(0, shares.telemetry - this.#used.telemetry) : 0;
    return telemetryPolicy === "refuse" ? Math.max(0, shares.events - this.#used.events) : 0;
  }

  async #drop(segment: Segment): Promise<void> {
    if (!segment.sealed) await this.#parts.committers[segment.stream].roll();
    await this.#parts.remover.drop(segment);
    this.recount();
  }

  /** The oldest telemetry beyond its share goes until there is none; then the policy of events acts. */
  #victim(stream: StreamName, bytes: number, sealed = false): Segment | undefined {
    const { shares = NO_SHARES } = this.#parts.options;
    if (stream === "events") return this.#beyond("telemetry", sealed) ?? this.#oldest("events", sealed);
    const within = this.#used.telemetry + bytes <= shares.telemetry;
    return (within ? this.#beyond("events", sealed) : undefined) ?? this.#oldest("telemetry", sealed);
  }

  /** The oldest of a stream that has its share without it. */
  #beyond(stream: StreamName, sealed: boolean): Segment | undefined {
    const { shares = NO_SHARES } = this.#parts.options;
    const oldest = this.#oldest(stream, sealed);
    return oldest && this.#used[stream] - oldest.diskBytes >= shares[stream] ? oldest : undefined;
  }

  /** The oldest that may be dropped: that holds something, or, where the policy is to refuse, that no required uplink is owed. */
  #oldest(stream: StreamName, sealed: boolean): Segment | undefined {
    const { options, uplinks, rows } = this.#parts;
    const any = options[stream === "events" ? "eventsPolicy" : "telemetryPolicy"] === "drop-oldest";
    const required = [...uplinks.values()].filter((uplink) => uplink.required);
    return rows[stream].segments.all.find(
      (segment) =>
        segment.tally.count > 0 &&
        (segment.sealed || !sealed) &&
        (any || !required.some((uplink) => uplink.cursors[stream].owes(segment))),
    );
  }

  #look(): Promise<void> {
    this.#looking ??= this.#lookNow().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #lookNow(): Promise<void> {
    const { dataDir, totals, reserve, options } = this.#parts;
    this.#lookedAt = performance.now();
    this.recount();
    const written = totals.bytesWritten;
    const found = await statfs(dataDir).catch(() => undefined);
    if (!found) return;
    this.#writtenThen = written;
    this.#freeBytes = found.bavail * found.bsize;
    reserve.mend(this.#freeBytes, options.minFree + SLACK_BYTES);
  }
}
