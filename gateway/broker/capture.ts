import type { Clock } from "../core/clock.ts";
import { QueueFullError, RejectedError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Counter, Metrics } from "../core/metrics.ts";
import type { CaptureOptions } from "../core/options/broker.ts";
import type { Queue } from "../core/queue.ts";
import { type NewRecord, STREAMS, type StreamName } from "../core/record.ts";
import { CaptureLane, type Stored } from "./capture-lane.ts";
import type { Progress } from "./give-way.ts";
import type { LogThrottle } from "./log-throttle.ts";
import { OnceStore } from "./once-store.ts";
import { type TopicJudgement, type TopicLimits, TopicRules } from "./topic-rules.ts";

/** A PUBLISH or a will, as far as capture needs it. */
export interface Publication {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  /** Present for a PUBLISH of QoS 1 or 2. */
  readonly packetId?: number;
  readonly contentType?: string;
}

/** Whose message it is. Answers of one publisher's QoS 1 and 2 messages come in the order of their arrival. */
export interface Publisher {
  readonly id: string;
  /** Seconds; 0 for none. */
  readonly keepalive: number;
  /**
   * How long a message is held while the queue refuses it, in milliseconds; by the keepalive when absent. Whoever sets it tells
   * of what was refused.
   */
  readonly holdMs?: number;
  readonly answers: Answers;
}

/** Greatest time a message is held while the queue refuses it. */
export const MAX_HOLD_MS = 10_000;
/** QoS 0 messages, and their bytes, that may wait for the queue in all; more are shed. */
export const MAX_LOOSE = 1000;
export const MAX_LOOSE_BYTES = 4 * 1024 * 1024;

interface Slot {
  error: Error | undefined;
  open: boolean;
  readonly answer: Stored;
}

/** Calls answers back in the order in which they were asked for [MQTT-4.6.0-2]. */
export class Answers {
  readonly #slots: Slot[] = [];

  /** Returns what settles this answer. */
  ask(answer: Stored): Stored {
    const slot: Slot = { error: undefined, open: true, answer };
    this.#slots.push(slot);
    return (error) => {
      slot.error = error;
      slot.open = false;
      this.#run();
    };
  }

  #run(): void {
    for (let first = this.#slots[0]; first && !first.open; first = this.#slots[0]) {
      this.#slots.shift();
      first.answer(first.error);
    }
  }
}

export interface CaptureParts {
  readonly rules: CaptureOptions;
  /** How long topics may be; as long as MQTT and the matchers allow when absent. */
  readonly topicLimits?: TopicLimits;
  readonly queue: Pick<Queue, "append" | "refused">;
  /** What uplinks get ahead; they are given way to. */
  readonly progress?: Progress | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  readonly throttle: LogThrottle;
  readonly metrics: Metrics;
}

/** Turns what local clients publish into records: stored before it is acknowledged. */
export class Capture {
  readonly once = new OnceStore();
  readonly #rules: TopicRules;
  readonly #lanes: Readonly<Record<StreamName, CaptureLane>>;
  readonly #queue: Pick<Queue, "refused">;
  readonly #clock: Clock;
  readonly #throttle: LogThrottle;
  readonly #captured: Counter;
  readonly #shed: Counter;
  readonly #refused: Counter;
  #loose = 0;
  #looseBytes = 0;
  #capturedCount = 0;
  #shedCount = 0;
  #refusedCount = 0;

  /** @throws RangeError when a topic filter is not valid. */
  constructor(parts: CaptureParts) {
    const monotonic = () => parts.clock.now().monoMs;
    const lane = (stream: StreamName) => new CaptureLane(stream, parts.queue, monotonic, parts.log, parts.progress);
    this.#rules = new TopicRules(parts.rules, parts.topicLimits);
    this.#lanes = { events: lane("events"), telemetry: lane("telemetry") };
    this.#queue = parts.queue;
    this.#clock = parts.clock;
    this.#throttle = parts.throttle;
    this.#captured = parts.metrics.counter("millrace_broker_captured_total", "Local messages stored in the queue.", [
      "stream",
    ]);
    this.#shed = parts.metrics.counter(
      "millrace_broker_shed_total",
      "Local QoS 0 messages that matched a capture rule and were not stored.",
    );
    this.#refused = parts.metrics.counter(
      "millrace_broker_capture_refused_total",
      "Local QoS 1 and 2 messages that were held and not acknowledged, because the queue refused them.",
    );
  }

  get counts(): { readonly captured: number; readonly shed: number; readonly refused: number } {
    return { captured: this.#capturedCount, shed: this.#shedCount, refused: this.#refusedCount };
  }

  /** True while the queue refuses what is captured. */
  get holding(): boolean {
    return STREAMS.some((stream) => this.#lanes[stream].holding);
  }

  judge(topic: string): TopicJudgement {
    return this.#rules.judge(topic);
  }

  /**
   * A PUBLISH on its way in. `done` is called when it may be acknowledged and forwarded: at once for QoS 0 and for what
   * no rule matches, otherwise when the record is on disk. With an error the client must be disconnected.
   */
  publish(publisher: Publisher, message: Publication, done: Stored): void {
    const { stream } = this.judge(message.topic);
    if (message.qos === 0) {
      if (stream !== undefined) this.#storeLoosely(stream, message);
      done();
      return;
    }
    const answer = publisher.answers.ask(done);
    if (stream === undefined) {
      answer();
      return;
    }
    const store = (stored: Stored) => this.#store(stream, publisher, message, stored);
    if (message.qos === 1 || message.packetId === undefined) store(answer);
    else if (!this.once.store(publisher.id, message.packetId, store, answer)) {
      answer(new RejectedError("too many QoS 2 messages wait for their PUBREL"));
    }
  }

  /** The last words of a client that went without DISCONNECT. `done` has an error when they were not stored. */
  will(publisher: Publisher, message: Publication, done: Stored): void {
    const { stream } = this.judge(message.topic);
    if (stream === undefined) done();
    else {
      this.#store(stream, publisher, message, (error) => {
        // Nobody will publish it again.
        if (error) this.#tellLost(stream, message, error);
        done(error);
      });
    }
  }

  /** Takes no more; resolves when what is being written has settled. */
  async stop(): Promise<void> {
    await Promise.all(STREAMS.map((stream) => this.#lanes[stream].stop()));
  }

  #store(stream: StreamName, publisher: Publisher, message: Publication, done: Stored): void {
    const keepaliveMs = publisher.keepalive * 1000;
    const holdMs = publisher.holdMs ?? (keepaliveMs > 0 ? Math.min(MAX_HOLD_MS, keepaliveMs / 2) : MAX_HOLD_MS);
    const record = this.#record(message, message.qos > 0);
    this.#lanes[stream].add(record, sizeOf(message), holdMs, (error) => {
      if (!error) this.#tellCaptured(stream);
      else if (publisher.holdMs === undefined) this.#tellRefused(stream, publisher, message, error);
      done(error);
    });
  }

  #storeLoosely(stream: StreamName, message: Publication): void {
    const bytes = sizeOf(message);
    const hasRoom = this.#loose < MAX_LOOSE && (this.#loose === 0 || this.#looseBytes + bytes <= MAX_LOOSE_BYTES);
    if (!hasRoom || this.#lanes[stream].holding) {
      this.#tellShed(
        stream,
        message,
        new Error(hasRoom ? "the queue refuses" : "too many messages wait for the queue"),
      );
      return;
    }
    this.#loose += 1;
    this.#looseBytes += bytes;
    this.#lanes[stream].add(this.#record(message, false), bytes, 0, (error) => {
      this.#loose -= 1;
      this.#looseBytes -= bytes;
      if (error) this.#tellShed(stream, message, error);
      else this.#tellCaptured(stream);
    });
  }

  #record(message: Publication, durable: boolean): NewRecord {
    const { topic, payload, qos, retain, contentType } = message;
    const type = contentType === undefined ? {} : { contentType };
    return { taken: this.#clock.now(), content: { kind: "message", topic, payload, qos, retain, ...type }, durable };
  }

  #tellCaptured(stream: StreamName): void {
    this.#capturedCount += 1;
    this.#captured.inc({ stream });
  }

  #tellLost(stream: StreamName, message: Publication, error: Error): void {
    const exact = !(error instanceof QueueFullError && error.mayBeStored);
    this.#queue.refused(stream, { taken: this.#clock.now(), topic: message.topic, bytes: sizeOf(message), exact });
  }

  #tellShed(stream: StreamName, message: Publication, error: Error): void {
    this.#tellLost(stream, message, error);
    this.#shedCount += 1;
    this.#shed.inc();
    this.#throttle.warn(
      `shed ${stream}`,
      { stream, reason: error.message },
      "captured QoS 0 messages are shed; publish them with QoS 1",
    );
  }

  #tellRefused(stream: StreamName, publisher: Publisher, message: Publication, error: Error): void {
    this.#refusedCount += 1;
    this.#refused.inc();
    this.#throttle.warn(
      `refused ${publisher.id}`,
      {
        clientId: publisher.id,
        topic: message.topic,
        stream,
        reason: error.message,
        cure: "free disk space, raise queue.maxBytes or bring the uplinks back; the client may connect and send again",
      },
      "the queue did not take a message in time, its client is disconnected",
    );
  }
}

function sizeOf(message: Publication): number {
  return message.payload.length + message.topic.length;
}
