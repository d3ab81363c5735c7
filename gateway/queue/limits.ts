import type { Clock } from "../core/clock.ts";
import type { Refused } from "../core/queue.ts";
import type { Gap, StreamName } from "../core/record.ts";
import { Backlog, type BacklogParts } from "./backlog.ts";
import { Room, type RoomParts } from "./room.ts";

const TICK_MS = 1000;

export interface LimitsParts extends RoomParts, Omit<BacklogParts, "onGivenUp"> {
  readonly clock: Clock;
  readonly onGap: (uplink: string, gap: Pick<Gap, "stream" | "reason" | "count">) => void;
  readonly onGivenUp: BacklogParts["onGivenUp"];
}

/** What bounds the queue as a whole and each uplink, looked at once a second; and what the queue refused. */
export class Limits {
  readonly room: Room;
  readonly backlog: Backlog;
  readonly #parts: LimitsParts;
  #begun = false;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: LimitsParts) {
    this.#parts = parts;
    this.room = new Room(parts);
    this.backlog = new Backlog(parts);
  }

  async start(): Promise<void> {
    await this.room.start();
    this.#timer = setInterval(() => this.look(), TICK_MS);
  }

  /** From now on every uplink is open that will be. */
  begin(): void {
    this.#begun = true;
  }

  /** Something was written. */
  committed(): void {
    this.room.recount();
    if (this.#parts.clock.now().monoMs - this.#lookedMs >= TICK_MS) this.look();
  }

  look(): void {
    this.#lookedMs = this.#parts.clock.now().monoMs;
    this.room.tick();
    if (this.#begun) this.backlog.look();
    for (const uplink of this.#parts.uplinks.values()) {
      if (uplink.refusals.look(this.#lookedMs)) uplink.ring();
    }
  }

  /** See `Queue.refused`. */
  refused(stream: StreamName, { taken, topic, bytes = 0, exact = true }: Refused): void {
    const { uplinks, rows, clock, onGap } = this.#parts;
    const { epoch, nextSeq } = rows[stream];
    const { wallMs, monoMs } = taken;
    const time = { bootId: clock.bootId, monoMs, wallMs, clock: taken.clock };
    for (const uplink of uplinks.values()) {
      if (!uplink.reader?.selector.matches(topic)) continue;
      const chain = uplink.slot?.chain ?? "";
      uplink.refusals.add({ stream, epoch, chain, after: nextSeq - 1, time, bytes, exact }, clock.now().monoMs);
      onGap(uplink.name, { stream, reason: "refused", count: 1 });
      uplink.file.touch();
    }
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
