import type { Clock } from "../core/clock.ts";
import type { Logger } from "../core/log.ts";
import type { Gauge, Metrics } from "../core/metrics.ts";
import type { BrokerOptions } from "../core/options/broker.ts";
import type { Queue } from "../core/queue.ts";
import { SessionPersistence } from "./persistence.ts";
import { type Journal, SessionJournal } from "./session-journal.ts";
import { SessionKeeper } from "./session-keeper.ts";
import { SessionLosses } from "./session-losses.ts";
import { SessionStore } from "./session-store.ts";

export interface SessionParts {
  readonly options: Pick<BrokerOptions, "sessions" | "retained"> & {
    readonly limits?: { readonly maxSubscriptions: number };
  };
  /** Where they are kept; without it, in memory. */
  readonly folder?: string;
  readonly syncMs: number;
  readonly gatewayId: string;
  readonly queue: Pick<Queue, "append">;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** PUBREL was received. */
  onReleased(clientId: string, packetId: number): void;
  /** The session of a client is over. */
  onForgotten(clientId: string): void;
}

export interface SessionStatus {
  readonly sessions: number;
  /** What waits for the clients of kept sessions. */
  readonly kept: { readonly messages: number; readonly bytes: number; readonly dropped: number };
  readonly retained: { readonly messages: number; readonly bytes: number };
  /** Absent when they are kept in memory only. */
  readonly journal?: {
    readonly healthy: boolean;
    readonly bytes: number;
    readonly fsyncs: number;
    readonly lostLines: number;
  };
}

const EXPIRE_MS = 60_000;
const GAUGE_MS = 5_000;
const inMemory: Journal = { append: () => Promise.resolve() };

/** The sessions and retained messages of one life of the broker. */
export class Sessions {
  readonly keeper: SessionKeeper;
  readonly persistence: SessionPersistence;
  readonly #parts: SessionParts;
  readonly #store: SessionStore;
  readonly #losses: SessionLosses;
  readonly #journal: SessionJournal | undefined;
  readonly #gauges: Readonly<Record<"sessions" | "messages" | "bytes" | "retained" | "journal", Gauge>>;
  #lostLines = 0;
  #timers: ReturnType<typeof setInterval>[] = [];

  constructor(parts: SessionParts) {
    const { options, folder, syncMs, clock, log, metrics } = parts;
    const wallMs = () => {
      const now = clock.now();
      return now.clock === "synced" ? now.wallMs : undefined;
    };
    this.#parts = parts;
    this.#store = new SessionStore(
      { ...options.sessions, maxFilters: options.limits?.maxSubscriptions },
      options.retained,
    );
    this.#losses = new SessionLosses(parts);
    const { monoMs } = { monoMs: () => clock.now().monoMs };
    this.#journal =
      folder === undefined
        ? undefined
        : new SessionJournal({ folder, store: this.#store, syncMs, wallMs, monoMs, log });
    this.keeper = new SessionKeeper({
      store: this.#store,
      journal: this.#journal ?? inMemory,
      wallMs,
      onDropped: (drop) => this.#losses.drop(drop),
      onForgotten: parts.onForgotten,
    });
    this.persistence = new SessionPersistence(this.keeper, parts.onReleased, parts.onForgotten);
    this.#gauges = {
      sessions: metrics.gauge("millrace_broker_sessions", "Kept sessions of local clients."),
      messages: metrics.gauge("millrace_broker_session_messages", "Messages that wait for clients of kept sessions."),
      bytes: metrics.gauge("millrace_broker_session_bytes", "Bytes of the messages that wait."),
      retained: metrics.gauge("millrace_broker_retained_messages", "Retained messages."),
      journal: metrics.gauge("millrace_broker_journal_bytes", "Size of the file that sessions are kept in."),
    };
  }

  /**
   * Takes up what the last life left.
   * @throws StorageError when nothing can be written; ConfigError when a newer version wrote it.
   */
  async open(): Promise<void> {
    const loss = await this.#journal?.open();
    if (loss) {
      this.#lostLines = loss.lines;
      this.#losses.damaged(loss);
    }
    const { sessions, kept, retained } = this.status();
    if (this.#journal) {
      this.#parts.log.info(
        { sessions, messages: kept.messages, retained: retained.messages },
        "sessions of local clients",
      );
    }
    this.keeper.expire();
    this.#measure();
    this.#timers = [setInterval(() => this.keeper.expire(), EXPIRE_MS), setInterval(() => this.#measure(), GAUGE_MS)];
  }

  /** Writes what is left to write. Idempotent, never rejects. */
  async close(): Promise<void> {
    for (const timer of this.#timers.splice(0)) clearInterval(timer);
    await this.#losses.stop();
    await this.#journal?.close();
  }

  status(): SessionStatus {
    const { sessions, tally, retained } = this.#store;
    const journal = this.#journal;
    return {
      sessions: sessions.size,
      kept: { messages: tally.messages, bytes: tally.bytes, dropped: this.#losses.dropped },
      retained: { messages: retained.size, bytes: retained.bytes },
      ...(journal && {
        journal: { healthy: journal.healthy, bytes: journal.bytes, fsyncs: journal.syncs, lostLines: this.#lostLines },
      }),
    };
  }

  #measure(): void {
    const { sessions, kept, retained, journal } = this.status();
    this.#gauges.sessions.set(sessions);
    this.#gauges.messages.set(kept.messages);
    this.#gauges.bytes.set(kept.bytes);
    this.#gauges.retained.set(retained.messages);
    this.#gauges.journal.set(journal?.bytes ?? 0);
  }
}
