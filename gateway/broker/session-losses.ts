import { setTimeout as sleep } from "node:timers/promises";
import type { Clock } from "../core/clock.ts";
import { messageOf } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Counter, Metrics } from "../core/metrics.ts";
import type { Queue } from "../core/queue.ts";
import type { JournalLoss } from "./session-journal.ts";

/** Why a message, or a session with all of its messages, is not kept. */
export type DropReason =
  /** The session has no room. */
  | "session-full"
  /** All sessions together have none. */
  | "sessions-full"
  | "retained-full"
  /** It waited too long. */
  | "too-old"
  /** Its session waited too long for its client. */
  | "session-expired"
  /** Its session made room for another one. */
  | "session-evicted";

export interface Drop {
  readonly reason: DropReason;
  /** Absent for a retained message. */
  readonly clientId?: string;
  readonly messages: number;
  readonly bytes: number;
  readonly topic?: string;
}

export interface LossParts {
  readonly gatewayId: string;
  readonly queue: Pick<Queue, "append">;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

interface Sum {
  readonly reason: DropReason;
  readonly clientId: string | undefined;
  messages: number;
  bytes: number;
  readonly from: number;
  to: number;
  topic: string | undefined;
}

/** The first drop of a client is told after this time, with those that came meanwhile; the next ones after the other. */
const FIRST_MS = 1000;
const NEXT_MS = 60_000;
const STOP_MS = 1000;
/** Clients that are told one by one in one time; of the others only the sum. */
const MAX_SUMS = 200;

/** Tells what the broker does not keep: counted at once, told in the log and as a record of `events`, summed up. */
export class SessionLosses {
  readonly #parts: LossParts;
  readonly #messages: Counter;
  readonly #bytes: Counter;
  readonly #lines: Counter;
  readonly #sums = new Map<string, Sum>();
  #dropped = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #toldMs: number | undefined;
  #telling: Promise<void> = Promise.resolve();

  constructor(parts: LossParts) {
    this.#parts = parts;
    const { metrics } = parts;
    this.#messages = metrics.counter(
      "millrace_broker_session_dropped_total",
      "Messages that were not kept for a session, or given up, and retained messages that were not kept.",
      ["reason"],
    );
    this.#bytes = metrics.counter("millrace_broker_session_dropped_bytes_total", "Their bytes.", ["reason"]);
    this.#lines = metrics.counter(
      "millrace_broker_sessions_lost_lines_total",
      "Lines that a damaged journal of the sessions had lost.",
    );
  }

  /** Messages since the start. */
  get dropped(): number {
    return this.#dropped;
  }

  drop({ reason, clientId, messages, bytes, topic }: Drop): void {
    this.#dropped += messages;
    this.#messages.inc({ reason }, messages);
    this.#bytes.inc({ reason }, bytes);
    const { wallMs, monoMs } = this.#parts.clock.now();
    const owner = this.#sums.size >= MAX_SUMS ? undefined : clientId;
    const key = `${reason} ${owner ?? ""}`;
    const sum = this.#sums.get(key) ?? {
      reason,
      clientId: owner,
      messages: 0,
      bytes: 0,
      from: wallMs,
      to: wallMs,
      topic,
    };
    sum.messages += messages;
    sum.bytes += bytes;
    sum.to = wallMs;
    this.#sums.set(key, sum);
    const waitMs = this.#toldMs === undefined ? FIRST_MS : Math.max(FIRST_MS, this.#toldMs + NEXT_MS - monoMs);
    this.#timer ??= setTimeout(() => this.#flush(), waitMs);
  }

  /** What the journal had lost when it was opened. */
  damaged(loss: JournalLoss): void {
    this.#lines.inc({}, loss.lines);
    this.#parts.log.error(
      { ...loss },
      "the sessions of local clients were damaged: subscriptions and messages that waited may be missing, others may come twice",
    );
    const { lines, cut, before, now } = loss;
    this.#record("sessions-damaged", { lostLines: lines, cut, before, now });
  }

  /** Tells what is left to tell, as far as the queue takes it within a second. Never rejects. */
  async stop(): Promise<void> {
    this.#flush();
    const patience = new AbortController();
    const late = sleep(STOP_MS, undefined, { signal: patience.signal }).catch(() => {});
    await Promise.race([this.#telling, late]);
    patience.abort();
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#sums.size === 0) return;
    this.#toldMs = this.#parts.clock.now().monoMs;
    for (const { reason, clientId, messages, bytes, from, to, topic } of this.#sums.values()) {
      const body = { reason, ...(clientId !== undefined && { client: clientId }), messages, bytes, from, to };
      this.#parts.log.warn(
        { ...body, topic: topic?.slice(0, 200) },
        "messages for local clients are not kept; see broker.sessions and broker.retained",
      );
      this.#record("dropped", body);
    }
    this.#sums.clear();
  }

  /** One after the other, so that they come in order. */
  #record(name: string, body: object): void {
    const { gatewayId, clock, queue, log } = this.#parts;
    const topic = `${gatewayId}/broker/${name}`;
    const payload = Buffer.from(JSON.stringify(body));
    const content = { kind: "message" as const, topic, payload, qos: 1 as const, retain: false };
    const record = { taken: clock.now(), content };
    this.#telling = this.#telling
      .then(() => queue.append("events", [record]))
      .catch((error: unknown) => {
        log.warn({ topic, error: messageOf(error) }, "a loss of the local broker is not in the queue");
      });
  }
}
