import type { DeadLetters } from "../core/dead-letters.ts";
import { messageOf } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Counter } from "../core/metrics.ts";
import type { Queue } from "../core/queue.ts";
import { type Entry, type Gap, STREAMS, type StreamName } from "../core/record.ts";
import { pause, within } from "./pause.ts";
import { Summary } from "./summary.ts";

/** A queue that hangs must not keep a connection from ending; what it has not written is sent again. */
const CLOSE_MS = 1000;
const GATHER_MS = 1;

export interface SettlerSettings {
  readonly uplink: string;
  /**
   * Acknowledgements that are worth a write of the cursor at once; fewer wait for company, a millisecond or two. A part
   * of the window, so that the rest of it keeps the far side busy meanwhile.
   */
  readonly group: number;
  /** Pause before a call that the queue refused is made again, in milliseconds. */
  readonly pauseMs: number;
  /** Counts final verdicts by uplink, stream and result. */
  readonly records: Counter;
  /** Where rejected records go before the queue is told. */
  readonly deadLetters?: DeadLetters | undefined;
}

/**
 * Takes verdicts to the queue in groups, each one call per stream, because each call costs a write of the cursor. A group
 * that the queue could not write is tried again until it can, or until `close`; what is not settled by then is sent again.
 */
export class Settler {
  readonly #settings: SettlerSettings;
  readonly #queue: Queue;
  readonly #failures: Summary;
  /** So many messages are covered by the cursor now. */
  readonly #freed: (messages: number) => void;
  readonly #acked: Record<StreamName, number[]> = { events: [], telemetry: [] };
  /** Places in the window that go with them: one message may cover several records. */
  readonly #places: Record<StreamName, number> = { events: 0, telemetry: 0 };
  readonly #rejected = new Map<string, { stream: StreamName; reason: string; entries: Entry[]; places: number }>();
  readonly #closing = new AbortController();
  readonly #running = new Set<Promise<void>>();
  #pending = 0;
  #turn: NodeJS.Immediate | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(settings: SettlerSettings, queue: Queue, log: Logger, freed: (messages: number) => void) {
    this.#settings = settings;
    this.#queue = queue;
    this.#failures = new Summary(log);
    this.#freed = freed;
  }

  /** @param places of the window, free once it is written: 0 for all but one record of a message. */
  settle(stream: StreamName, seq: number, places = 1): void {
    this.#acked[stream].push(seq);
    this.#places[stream] += places;
    this.#gather();
  }

  reject(entry: Entry, reason: string, places = 1): void {
    const { stream } = entry;
    const key = `${stream} ${reason}`;
    const group = this.#rejected.get(key) ?? { stream, reason, entries: [], places: 0 };
    group.entries.push(entry);
    group.places += places;
    this.#rejected.set(key, group);
    this.#gather();
  }

  settleGap(gap: Gap, done: () => void): void {
    this.#track(1, async () => {
      await this.#queue.settleGap(this.#settings.uplink, gap);
      done();
    });
  }

  settleClock(bootId: string, done: () => void): void {
    this.#track(1, async () => {
      await this.#queue.settleClock(this.#settings.uplink, bootId);
      done();
    });
  }

  /** Waits until everything that was told so far is in the queue, or given up after a second. Never rejects. */
  async close(): Promise<void> {
    this.#flush();
    this.#closing.abort();
    await within(CLOSE_MS, Promise.all(this.#running));
  }

  #gather(): void {
    this.#pending++;
    // At the end of the turn, so that what else it brings comes along.
    if (this.#pending >= this.#settings.group) this.#turn ??= setImmediate(() => this.#flush());
    else this.#timer ??= setTimeout(() => this.#flush(), GATHER_MS);
  }

  #flush(): void {
    if (this.#turn) clearImmediate(this.#turn);
    clearTimeout(this.#timer);
    this.#turn = undefined;
    this.#timer = undefined;
    this.#pending = 0;
    const { uplink, records } = this.#settings;
    for (const stream of STREAMS) {
      const seqs = this.#acked[stream];
      if (seqs.length === 0) continue;
      const places = this.#places[stream];
      this.#acked[stream] = [];
      this.#places[stream] = 0;
      records.inc({ uplink, stream, result: "acked" }, seqs.length);
      this.#track(places, () => this.#queue.settle(uplink, stream, seqs));
    }
    for (const { stream, reason, entries, places } of this.#rejected.values()) {
      records.inc({ uplink, stream, result: "rejected" }, entries.length);
      this.#track(places, this.#burial(stream, entries, reason));
    }
    this.#rejected.clear();
  }

  /** On disk as dead letters before the gap stands for them; what is buried is not buried again. */
  #burial(stream: StreamName, entries: readonly Entry[], reason: string): () => Promise<void> {
    const { uplink, deadLetters } = this.#settings;
    const seqs = entries.map(({ seq }) => seq);
    let buried = deadLetters === undefined;
    return async () => {
      if (!buried) await deadLetters?.add(entries, reason);
      buried = true;
      await this.#queue.reject(uplink, stream, seqs, reason);
    };
  }

  #track(messages: number, call: () => Promise<void>): void {
    const running = this.#insist(call).then(() => {
      this.#running.delete(running);
      this.#freed(messages);
    });
    this.#running.add(running);
  }

  async #insist(call: () => Promise<void>): Promise<void> {
    for (;;) {
      const last = this.#closing.signal.aborted;
      try {
        await call();
        this.#failures.clear();
        return;
      } catch (error) {
        this.#failures.report("error", messageOf(error), { err: error }, "the queue did not take an acknowledgement");
        if (last) return;
      }
      await pause(this.#settings.pauseMs, this.#closing.signal);
    }
  }
}
