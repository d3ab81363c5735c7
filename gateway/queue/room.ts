import { statfs } from "node:fs/promises";
import { QueueFullError } from "../core/errors.ts";
import type { QueueOptions } from "../core/options/queue.ts";
import type { StreamName } from "../core/record.ts";
import type { Committer } from "./committer.ts";
import { Serial } from "./deferred.ts";
import type { Remover } from "./remover.ts";
import type { Row } from "./row.ts";
import type { Segment } from "./segment.ts";
import type { PerStream, UplinkState } from "./uplink-state.ts";

const LOOK_MS = 1000;

export interface RoomParts {
  readonly dataDir: string;
  readonly options: QueueOptions;
  readonly rows: PerStream<Row>;
  readonly committers: PerStream<Committer>;
  readonly uplinks: ReadonlyMap<string, UplinkState>;
  readonly remover: Remover;
}

/** Keeps the queue within `maxBytes` and the disk above `minFree`. */
export class Room {
  readonly #parts: RoomParts;
  readonly #turns = new Serial();
  #making = 0;
  #usedBytes = 0;
  #freeBytes = Number.POSITIVE_INFINITY;
  /** Bytes of all segments when the free bytes were asked for: what was written since is gone from them. */
  #usedThen = 0;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #looking: Promise<void> | undefined;

  constructor(parts: RoomParts) {
    this.#parts = parts;
  }

  /** Bytes of all segments on disk. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Segments have grown, come or gone. */
  recount(): void {
    const { rows } = this.#parts;
    this.#usedBytes = rows.events.segments.diskBytes + rows.telemetry.segments.diskBytes;
  }

  /** Looks at the disk for the first time. */
  async start(): Promise<void> {
    await this.#look();
  }

  /** Whether `bytes` more of a stream can be taken as things are. Otherwise `make` room first. */
  fits(stream: StreamName, bytes: number): boolean {
    if (performance.now() - this.#lookedAt >= LOOK_MS) void this.#look();
    return this.#making === 0 && this.#fits(stream, bytes);
  }

  /**
   * Drops old segments, as the policies say, until `bytes` more fit. In order of the calls.
   * @throws QueueFullError when the policy is to refuse.
   */
  async make(stream: StreamName, bytes: number): Promise<void> {
    this.#making++;
    try {
      await this.#turns.run(async () => {
        if (this.#fits(stream, bytes)) return;
        await this.#look();
        while (!this.#fits(stream, bytes)) {
          const victim = this.#victim(stream);
          if (!victim) throw new QueueFullError(`the queue is full: ${stream} is refused until there is room`);
          await this.#drop(victim);
          await this.#look();
        }
      });
    } finally {
      this.#making--;
    }
  }

  /** The file system has no room at all: gives up the oldest telemetry that is not being written, where allowed. */
  async relieve(): Promise<void> {
    if (this.#parts.options.telemetryPolicy !== "drop-oldest") return;
    const oldest = this.#parts.rows.telemetry.segments.oldest;
    if (oldest?.sealed) await this.#drop(oldest);
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    await this.#looking;
    await this.#turns.run(() => Promise.resolve());
  }

  #fits(stream: StreamName, bytes: number): boolean {
    const { options, committers } = this.#parts;
    const coming = committers.events.waitingBytes + committers.telemetry.waitingBytes + bytes;
    // What the other stream is sure of and does not use is not for this one.
    const other = stream === "events" ? "telemetry" : "events";
    const kept = Math.max(0, this.#shareOf(other) - this.#bytesOf(other));
    const grown = Math.max(0, this.#usedBytes - this.#usedThen);
    return this.#usedBytes + coming + kept <= options.maxBytes && this.#freeBytes - grown - coming >= options.minFree;
  }

  #shareOf(stream: StreamName): number {
    return this.#parts.options.shares?.[stream] ?? 0;
  }

  #bytesOf(stream: StreamName): number {
    return this.#parts.rows[stream].segments.diskBytes;
  }

  async #drop(segment: Segment): Promise<void> {
    if (!segment.sealed) await this.#parts.committers[segment.stream].roll();
    await this.#parts.remover.drop(segment);
    this.recount();
  }

  /** The oldest telemetry goes until there is none, or no more than its share; then the policy of events acts. */
  #victim(stream: StreamName): Segment | undefined {
    const { options } = this.#parts;
    const mayGo = stream === "telemetry" || this.#bytesOf("telemetry") > this.#shareOf("telemetry");
    const telemetry = mayGo ? this.#oldest("telemetry", options.telemetryPolicy === "drop-oldest") : undefined;
    if (telemetry || stream === "telemetry") return telemetry;
    return this.#oldest("events", options.eventsPolicy === "drop-oldest");
  }

  /** With `any`, the oldest that holds something; else the oldest that no required uplink is owed. */
  #oldest(stream: StreamName, any: boolean): Segment | undefined {
    const required = [...this.#parts.uplinks.values()].filter((uplink) => uplink.required);
    return this.#parts.rows[stream].segments.all.find(
      (segment) => segment.tally.count > 0 && (any || !required.some((uplink) => uplink.cursors[stream].owes(segment))),
    );
  }

  #look(): Promise<void> {
    this.#looking ??= this.#lookNow().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #lookNow(): Promise<void> {
    this.#lookedAt = performance.now();
    this.recount();
    const found = await statfs(this.#parts.dataDir).catch(() => undefined);
    if (!found) return;
    this.#freeBytes = found.bavail * found.bsize;
    this.#usedThen = this.#usedBytes;
  }
}
