import { Buffer } from "node:buffer";
import type { Clock } from "../core/clock.ts";
import { ConfigError, messageOf, NotConnectedError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Counter, Metrics } from "../core/metrics.ts";
import type { CaptureOptions } from "../core/options/broker.ts";
import type { Queue } from "../core/queue.ts";
import { Answers, Capture, type Publication, type Publisher } from "./capture.ts";
import { leastFilters } from "./filters.ts";
import type { Progress } from "./give-way.ts";
import type { CommandIntake } from "./hooks.ts";
import { LogThrottle } from "./log-throttle.ts";
import { SessionNoteFile } from "./session-note.ts";

/** A message from the broker. */
export interface ExternalMessage {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  readonly contentType?: string;
  readonly responseTopic?: string;
  readonly correlation?: Uint8Array;
}

/** A message to the broker. */
export interface ExternalPublication {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: 1;
  readonly retain: true;
  readonly properties: readonly [];
}

/** What an external broker wants of its session. */
export interface ExternalHandlers {
  readonly filters: readonly string[];
  readonly will: ExternalPublication;
  readonly birth: () => ExternalPublication;
  readonly farewell: () => ExternalPublication;
  readonly onMessage: (message: ExternalMessage, version: 4 | 5, stored: () => void) => void;
  readonly onLoose: (message: ExternalMessage, version: 4 | 5) => void;
  readonly onTooLong: (message: { readonly topic: string; readonly bytes: number }) => void;
  readonly onSession: (resumed: boolean) => Promise<readonly string[]>;
  readonly onSubscribed: () => Promise<void>;
}

/** A session with a broker outside, which connects by itself for as long as it is started. */
export interface ExternalSession<Status extends object> {
  start(): void;
  stop(): Promise<void>;
  /** QoS 1; resolves when the broker has it. @throws NotConnectedError, RejectedError. */
  deliver(message: { readonly topic: string; readonly payload: Uint8Array; readonly retain: boolean }): Promise<void>;
  /** QoS 0; false where it was dropped. */
  publish(topic: string, payload: Uint8Array, correlation?: Uint8Array): boolean;
  status(): Status;
}

export interface ExternalBrokerParts<Status extends object> {
  readonly urls: readonly string[];
  readonly clientId: string;
  readonly session: (handlers: ExternalHandlers) => ExternalSession<Status>;
  readonly capture: CaptureOptions;
  readonly queue: Pick<Queue, "append" | "refused">;
  /** Rises with what uplinks get ahead; they are given way to. */
  readonly progress?: Progress;
  readonly commands?: CommandIntake;
  /** Filters of the topics that `commands` may match. */
  readonly commandFilters: readonly string[];
  /** Topics that the gateway itself publishes to. */
  readonly ownTopics: ReadonlySet<string>;
  readonly gatewayId: string;
  /** What the gateway says of itself beside `online`. */
  readonly about?: () => object;
  /** Where it is remembered what was subscribed to. */
  readonly notePath: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

const COMMAND_AGAIN_MS = 1000;

/**
 * The broker that is already there, in place of the one inside the gateway: what its clients publish to a captured topic comes by
 * a subscription, and is acknowledged when it is on disk. While the gateway is away it waits in the gateway's session there.
 */
export class ExternalBroker<Status extends object> {
  readonly #parts: ExternalBrokerParts<Status>;
  readonly #log: Logger;
  readonly #throttle: LogThrottle;
  readonly #filters: readonly string[];
  readonly #note: SessionNoteFile;
  readonly #publisher: Publisher;
  readonly #drops: Counter;
  readonly #ignored: Counter;
  readonly #sessionsLost: Counter;
  #capture: Capture | undefined;
  #session: ExternalSession<Status> | undefined;
  #stopped = new AbortController();
  #ignoredCount = 0;
  #lostCount = 0;
  #writtenDown = "";
  #delivering: Promise<void> = Promise.resolve();

  constructor(parts: ExternalBrokerParts<Status>) {
    this.#parts = parts;
    const { clock, log, metrics, capture, commandFilters } = parts;
    this.#log = log;
    this.#throttle = new LogThrottle(log, () => clock.now().monoMs);
    this.#filters = leastFilters([...capture.flatMap(({ topics }) => topics), ...commandFilters]);
    this.#note = new SessionNoteFile(parts.notePath, parts.clientId);
    this.#publisher = { id: "local broker", keepalive: 0, holdMs: Number.POSITIVE_INFINITY, answers: new Answers() };
    this.#drops = metrics.counter("millrace_broker_dropped_total", "Local messages not delivered or not kept.", [
      "reason",
    ]);
    this.#ignored = metrics.counter(
      "millrace_external_broker_ignored_total",
      "Messages of the external local broker that were not captured.",
      ["reason"],
    );
    this.#sessionsLost = metrics.counter(
      "millrace_external_broker_sessions_lost_total",
      "Connections at which the external local broker had lost the gateway's session.",
    );
  }

  /** Connects from now on, and again when the connection is lost. @throws ConfigError when a capture filter is not valid. */
  start(): Promise<void> {
    if (this.#session) return Promise.resolve();
    const { capture: rules, queue, progress, clock, metrics } = this.#parts;
    try {
      this.#capture = new Capture({ rules, queue, progress, clock, log: this.#log, throttle: this.#throttle, metrics });
    } catch (error) {
      return Promise.reject(new ConfigError(`capture: ${messageOf(error)}`, { cause: error }));
    }
    this.#stopped = new AbortController();
    this.#session = this.#parts.session(this.#handlers(this.#capture));
    this.#session.start();
    return Promise.resolve();
  }

  /** What is being written is acknowledged, within a second; the broker keeps the session. Idempotent, never rejects. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#session?.stop();
    await this.#capture?.stop();
    this.#session = undefined;
  }

  /**
   * As that of the embedded broker: QoS 0, never waits, never throws; dropped while there is no connection. `correlation` is
   * base64, and goes with MQTT 5 only.
   */
  publishLive(topic: string, payload: Uint8Array, correlation?: string): void {
    const data = correlation === undefined ? undefined : Buffer.from(correlation, "base64");
    if (this.#session?.publish(topic, payload, data) !== true) this.#drops.inc({ reason: "live" });
  }

  /**
   * As that of the embedded broker, one after the other: resolves when the broker has it. A message of QoS 2 goes with 1.
   * @throws NotConnectedError, RejectedError.
   */
  publish({ topic, payload, qos, retain }: ExternalMessage): Promise<void> {
    if (qos === 0 && !retain) {
      this.publishLive(topic, payload);
      return Promise.resolve();
    }
    const deliver = () =>
      this.#session?.deliver({ topic, payload, retain }) ??
      Promise.reject(new NotConnectedError("the local broker is not connected"));
    const done = this.#delivering.then(deliver);
    this.#delivering = done.catch(() => {});
    return done;
  }

  /** For people: where it is. */
  addresses(): readonly string[] {
    return this.#parts.urls;
  }

  status(): Record<string, unknown> {
    return {
      external: this.#parts.urls,
      clientId: this.#parts.clientId,
      state: "stopped",
      ...this.#session?.status(),
      sessionsLost: this.#lostCount,
      holding: this.#capture?.holding ?? false,
      ...(this.#capture?.counts ?? { captured: 0, shed: 0, refused: 0 }),
      ignored: this.#ignoredCount,
    };
  }

  #handlers(capture: Capture): ExternalHandlers {
    return {
      filters: this.#filters,
      will: this.#statusMessage("offline", { reason: "connection lost" }),
      birth: () => this.#statusMessage("online", { ...this.#parts.about?.(), ...this.#now() }),
      farewell: () => this.#statusMessage("offline", this.#now()),
      onMessage: (message, version, stored) => this.#take(capture, message, version, stored),
      onLoose: (message, version) => this.#take(capture, message, version, () => {}),
      onTooLong: (message) => this.#tooLong(capture, message),
      onSession: (resumed) => this.#began(resumed),
      onSubscribed: () => this.#subscribed(),
    };
  }

  #take(capture: Capture, message: ExternalMessage, version: 4 | 5, stored: () => void): void {
    const { topic, qos } = message;
    if (this.#parts.commands?.matches(topic)) {
      void this.#command(this.#parts.commands, message).then((taken) => {
        if (taken) stored();
      });
      return;
    }
    const reason = this.#whyNot(capture, message, version);
    if (reason !== undefined) {
      this.#ignoredCount += 1;
      this.#ignored.inc({ reason });
      stored();
      return;
    }
    const publication: Publication = message;
    capture.publish(this.#publisher, publication, (error) => {
      // It was held as long as it took: what is refused now would be refused for ever, and all behind it with it.
      if (error) this.#lost(capture, topic, message.payload.length, error.message);
      if (qos > 0) stored();
    });
  }

  /** Why a message is not captured; undefined where it is. */
  #whyNot(capture: Capture, { topic, retain }: ExternalMessage, version: 4 | 5): string | undefined {
    if (capture.judge(topic).stream === undefined) return "no-rule";
    // MQTT 3.1.1 marks only what is kept at the broker, and sends it for each subscription [MQTT-3.3.1-8]; 5 is told not to.
    if (version === 4 && retain) return "retained";
    // With MQTT 5 the broker does not send us our own.
    return version === 4 && this.#parts.ownTopics.has(topic) ? "own" : undefined;
  }

  /** True when the broker may forget it. It is tried until it is taken: the broker would not send it again by itself. */
  async #command(commands: CommandIntake, message: ExternalMessage): Promise<boolean> {
    const { topic, payload, retain, qos, responseTopic, correlation } = message;
    const reply = {
      ...(responseTopic === undefined ? {} : { responseTopic }),
      ...(correlation === undefined ? {} : { correlation }),
    };
    for (;;) {
      try {
        await commands.take({ topic, payload, retain, from: "the local broker", ...reply });
        return true;
      } catch (error) {
        if (this.#stopped.signal.aborted) return false;
        this.#throttle.warn("command", { topic, reason: messageOf(error) }, "a command was not taken, trying again");
        if (qos === 0) return true;
        await this.#pause(COMMAND_AGAIN_MS);
      }
    }
  }

  #tooLong(capture: Capture, { topic, bytes }: { readonly topic: string; readonly bytes: number }): void {
    const cure = "raise broker.external.maxPacket";
    this.#lost(capture, topic, bytes, `longer than broker.external.maxPacket; ${cure}`);
  }

  #lost(capture: Capture, topic: string, bytes: number, reason: string): void {
    const { stream } = capture.judge(topic);
    if (stream !== undefined) this.#parts.queue.refused(stream, { taken: this.#parts.clock.now(), topic, bytes });
    this.#drops.inc({ reason: "unstorable" });
    this.#throttle.warn(`lost ${reason}`, { topic: topic.slice(0, 200), bytes, reason }, "a message was not captured");
  }

  async #began(resumed: boolean): Promise<readonly string[]> {
    const note = await this.#note.read();
    if (!resumed && note.subscribed) {
      this.#lostCount += 1;
      this.#sessionsLost.inc();
      this.#log.error(
        { clientId: this.#parts.clientId, cure: "let the broker keep its sessions on disk, and long enough" },
        "the local broker has lost the gateway's session: what clients published while the gateway was away is not captured",
      );
    }
    // Before the first of them can be in the session.
    await this.#write([...new Set([...note.filters, ...this.#filters])], note.subscribed && resumed);
    return note.filters.filter((filter) => !this.#filters.includes(filter));
  }

  async #subscribed(): Promise<void> {
    await this.#write(this.#filters, true);
  }

  async #write(filters: readonly string[], subscribed: boolean): Promise<void> {
    const note = { clientId: this.#parts.clientId, filters: [...filters], subscribed };
    const text = JSON.stringify(note);
    if (text === this.#writtenDown) return;
    try {
      await this.#note.write(note);
      this.#writtenDown = text;
    } catch (error) {
      this.#throttle.warn("note", { reason: messageOf(error) }, "the local broker's subscriptions cannot be noted");
    }
  }

  #now(): object {
    const { clock } = this.#parts;
    const now = clock.now();
    const time = now.clock === "synced" ? { ts: Math.round(now.wallMs) } : { clock: now.clock };
    return { ...time, boot: clock.bootId };
  }

  #statusMessage(state: "online" | "offline", fields: object): ExternalPublication {
    const { gatewayId } = this.#parts;
    const body = { type: "status", state, gateway: gatewayId, ...fields };
    const payload = Buffer.from(JSON.stringify(body));
    return { topic: `${gatewayId}/status`, payload, qos: 1, retain: true, properties: [] };
  }

  #pause(ms: number): Promise<void> {
    const { signal } = this.#stopped;
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal.addEventListener("abort", done, { once: true });
      if (signal.aborted) done();
    });
  }
}
