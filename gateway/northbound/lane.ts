import { messageOf } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Lane as LaneName, Queue } from "../core/queue.ts";
import type { Entry, Gap, StreamName } from "../core/record.ts";
import { pause } from "./pause.ts";
import { Summary } from "./summary.ts";

export interface LaneSettings {
  readonly uplink: string;
  readonly stream: StreamName;
  readonly lane: LaneName;
  /** Which gaps of the stream go in this lane. */
  readonly owns: (gap: Gap) => boolean;
  /** Entries of one read; it is read ahead by up to two such reads. */
  readonly maxRecords: number;
  readonly maxBytes: number;
  readonly gapHoldMs: number;
  readonly storagePauseMs: number;
}

/**
 * What one stream owes one uplink, in one lane, read ahead of the window, records and gaps in order of seq. One per
 * connection.
 */
export class Lane {
  readonly stream: StreamName;
  readonly #settings: LaneSettings;
  readonly #queue: Queue;
  readonly #failures: Summary;
  /** Called when there may be something to take. */
  readonly #wake: () => void;
  #buffer: Entry[] = [];
  #head = 0;
  #gaps: readonly Gap[] = [];
  readonly #gapsOut = new Set<string>();
  #room: (() => void) | undefined;
  /** Nothing is behind the gaps: a read has waited long enough without an answer. */
  #idle = false;
  /** All of it was read. */
  #over = false;
  #reading = false;
  #idleTimer: NodeJS.Timeout | undefined;

  constructor(settings: LaneSettings, queue: Queue, log: Logger, wake: () => void) {
    this.stream = settings.stream;
    this.#settings = settings;
    this.#queue = queue;
    this.#failures = new Summary(log);
    this.#wake = wake;
  }

  /** Reads ahead until the signal aborts or the lane is over. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted && !this.#over) {
      if (this.#size >= this.#settings.maxRecords) await this.#untilRoom(signal);
      else await this.#read(signal);
    }
    clearTimeout(this.#idleTimer);
  }

  /** The queue's gaps anew; those on their way are left out. */
  refreshGaps(): void {
    const { uplink, stream, owns } = this.#settings;
    this.#gaps = this.#queue
      .gaps(uplink)
      .filter((gap) => gap.stream === stream && owns(gap) && !this.#gapsOut.has(keyOf(gap)));
    this.#armIdle();
  }

  get ready(): boolean {
    return this.#size > 0 || this.#dueGap() !== undefined;
  }

  /** The next record or gap in order. A gap counts as on its way until `returnGap`. */
  take(): { readonly entry: Entry } | { readonly gap: Gap } | undefined {
    const gap = this.#dueGap();
    if (gap !== undefined) {
      this.#gapsOut.add(keyOf(gap));
      this.#gaps = this.#gaps.slice(1);
      return { gap };
    }
    const entry = this.#buffer[this.#head];
    if (entry === undefined) return undefined;
    this.#head++;
    if (this.#size < this.#settings.maxRecords) this.#room?.();
    return { entry };
  }

  /** A gap that was taken is settled in the queue, or will be told another time. */
  returnGap(gap: Gap): void {
    if (this.#gapsOut.delete(keyOf(gap))) this.refreshGaps();
  }

  get #size(): number {
    return this.#buffer.length - this.#head;
  }

  /** The first gap, when no record that is owed comes before it. */
  #dueGap(): Gap | undefined {
    const gap = this.#gaps[0];
    if (gap === undefined) return undefined;
    const entry = this.#buffer[this.#head];
    if (entry === undefined) return this.#idle ? gap : undefined;
    return entry.epoch === gap.epoch && entry.seq < gap.from ? undefined : gap;
  }

  async #read(signal: AbortSignal): Promise<void> {
    const { uplink, stream, lane, maxRecords, maxBytes, storagePauseMs } = this.#settings;
    this.#reading = true;
    this.#armIdle();
    try {
      const entries = await this.#queue.read(uplink, { stream, lane, maxRecords, maxBytes }, signal);
      this.#reading = false;
      this.#over = entries.length === 0;
      this.#idle = this.#over;
      this.#failures.clear();
      this.#buffer = this.#size === 0 ? entries : [...this.#buffer.slice(this.#head), ...entries];
      this.#head = 0;
      this.#wake();
    } catch (error) {
      this.#reading = false;
      if (signal.aborted) return;
      this.#failures.report("error", messageOf(error), { err: error, stream }, "reading the queue failed");
      await pause(storagePauseMs, signal);
    }
  }

  async #untilRoom(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        signal.removeEventListener("abort", done);
        this.#room = undefined;
        resolve();
      };
      this.#room = done;
      signal.addEventListener("abort", done, { once: true });
    });
  }

  /** Only a read that stays without an answer shows that no record comes before the gap. */
  #armIdle(): void {
    if (this.#idle || !this.#reading || this.#gaps.length === 0) return;
    clearTimeout(this.#idleTimer);
    this.#idleTimer = setTimeout(() => {
      this.#idle = this.#reading && this.#size === 0;
      if (this.#idle) this.#wake();
    }, this.#settings.gapHoldMs);
  }
}

function keyOf(gap: Gap): string {
  return `${gap.stream}/${gap.epoch}/${gap.from}-${gap.to}/${gap.refusal ?? ""}`;
}
