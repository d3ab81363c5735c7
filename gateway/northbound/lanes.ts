import type { Logger } from "../core/log.ts";
import type { Lane as LaneName, Queue } from "../core/queue.ts";
import { type Gap, STREAMS, type StreamName } from "../core/record.ts";
import { Lane, type LaneSettings } from "./lane.ts";

/** Turns of live data for one of backfill that goes whatever the window says: a twentieth of what is sent. */
const LIVE_TURNS = 19;

export interface LanesSettings extends Omit<LaneSettings, "stream" | "lane" | "owns"> {
  readonly order: "fifo" | "live-first";
  /** How many records of `events` go for one of `telemetry` while both are owed. */
  readonly eventsWeight: number;
}

/** Both streams of one lane. */
class Pair {
  readonly #weight: number;
  readonly all: Readonly<Record<StreamName, Lane>>;
  #turn = 0;

  constructor(weight: number, make: (stream: StreamName) => Lane) {
    this.#weight = weight;
    this.all = { events: make("events"), telemetry: make("telemetry") };
  }

  /** Events before telemetry, but one of telemetry after so many events. */
  pick(): Lane | undefined {
    const { events, telemetry } = this.all;
    if (!events.ready) return telemetry.ready ? telemetry : undefined;
    if (!telemetry.ready) return events;
    if (this.#turn++ < this.#weight) return events;
    this.#turn = 0;
    return telemetry;
  }
}

/** The lanes of one connection, and whose turn it is: live before backfill, events before telemetry, and none starves. */
export class Lanes {
  readonly #live: Pair;
  readonly #backfill: Pair | undefined;
  #turn = 0;

  /** @param wake called when there may be something to take. */
  constructor({ order, eventsWeight, ...settings }: LanesSettings, queue: Queue, log: Logger, wake: () => void) {
    const { streams } = queue.stats();
    // Not after where the lanes will meet; gaps need not be told in the order of the records of another lane.
    const fence = (stream: StreamName) => streams[stream].nextSeq;
    const pair = (lane: LaneName, owns: (gap: Gap) => boolean) =>
      new Pair(eventsWeight, (stream) => new Lane({ ...settings, stream, lane, owns }, queue, log, wake));
    if (order === "fifo") this.#live = pair("fifo", () => true);
    else {
      this.#live = pair("live", (gap) => gap.from >= fence(gap.stream));
      this.#backfill = pair("backfill", (gap) => gap.from < fence(gap.stream));
    }
  }

  /** Reads ahead in all lanes until the signal aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    this.refreshGaps();
    await Promise.all(this.#all().map((lane) => lane.run(signal)));
  }

  /** The queue's gaps anew. */
  refreshGaps(): void {
    for (const lane of this.#all()) lane.refreshGaps();
  }

  /** A gap that was taken is settled in the queue, or will be told another time. */
  returnGap(gap: Gap): void {
    for (const lane of this.#all()) lane.returnGap(gap);
  }

  /** Whether there is something that waits for nothing. */
  get liveReady(): boolean {
    return STREAMS.some((stream) => this.#live.all[stream].ready);
  }

  isBackfill(lane: Lane): boolean {
    return this.#backfill?.all[lane.stream] === lane;
  }

  /** @param open whether backfill may be sent now, as far as others are concerned. */
  pick(open: () => boolean): Lane | undefined {
    const live = this.#live.pick();
    if (this.#backfill === undefined) return live;
    if (live !== undefined && this.#turn < LIVE_TURNS) {
      this.#turn++;
      return live;
    }
    const backfill = this.#backfill.pick();
    if (backfill !== undefined && (live !== undefined || open())) {
      this.#turn = 0;
      return backfill;
    }
    return live;
  }

  #all(): Lane[] {
    return [this.#live, this.#backfill].flatMap((pair) => (pair ? STREAMS.map((stream) => pair.all[stream]) : []));
  }
}
