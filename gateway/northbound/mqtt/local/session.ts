import type { Clock } from "../../../core/clock.ts";
import { ConfigError, messageOf, NotConnectedError } from "../../../core/errors.ts";
import type { Logger } from "../../../core/log.ts";
import type { Gauge, Metrics } from "../../../core/metrics.ts";
import type { ExternalBrokerOptions } from "../../../core/options/external-broker.ts";
import { formatDuration, type SecretRef } from "../../../core/options/units.ts";
import type { Secret } from "../../../core/secret.ts";
import type { Outgoing } from "../../../core/uplink.ts";
import { AlarmBackoff, Backoff } from "../../backoff.ts";
import { monotonicMs, pause } from "../../pause.ts";
import { Summary } from "../../summary.ts";
import type { DialContext } from "../dial.ts";
import { ExpiryWatch } from "../expiry.ts";
import type { Ask } from "../handshake.ts";
import { type Agreement, negotiate, worstOf } from "../negotiate.ts";
import { ServerList } from "../servers.ts";
import { sessionTerms } from "../session.ts";
import { TlsMemory } from "../tls-files.ts";
import { type ConnectionLife, Watch } from "../watch.ts";
import { type Delivered, LocalConnection, type TooLong } from "./connection.ts";
import { type Arrival, Inbox } from "./inbox.ts";
import { type SubscriptionStatus, Subscriptions } from "./subscriptions.ts";

/** What is done with what comes; given by whoever runs on the broker. */
export interface LocalHandlers {
  /** Topic filters to subscribe to. */
  readonly filters: readonly string[];
  /** Published by the broker when we vanish, and by us at the beginning and at the end. Retained. */
  readonly will: Outgoing;
  readonly birth: () => Outgoing;
  readonly farewell: () => Outgoing;
  /** A message of QoS 1 or 2: `stored` is called when the broker may forget it. */
  readonly onMessage: (arrival: Arrival, version: 4 | 5, stored: () => void) => void;
  /** A message of QoS 0. */
  readonly onLoose: (arrival: Arrival, version: 4 | 5) => void;
  /** A message that is longer than `maxPacket`; it was answered. */
  readonly onTooLong: (message: TooLong) => void;
  /**
   * A connection began; `resumed`: the broker still has the session. Resolves with filters of earlier configurations, to be
   * unsubscribed from, when those of `filters` are written down.
   */
  readonly onSession: (resumed: boolean) => Promise<readonly string[]>;
  /** All of those are gone from the session. */
  readonly onSubscribed: () => Promise<void>;
}

export interface LocalSessionParts {
  readonly options: ExternalBrokerOptions;
  readonly clientId: string;
  readonly handlers: LocalHandlers;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  secret(ref: SecretRef): Secret;
  path(relative: string): string;
}

export interface LocalSessionStatus {
  readonly state: "connected" | "connecting" | "waiting" | "stopped";
  /** Unix milliseconds of the last change of state. */
  readonly sinceMs: number;
  /** The server that is connected to. */
  readonly server?: string;
  readonly version?: 4 | 5;
  /** How often a connection began, and how often the broker had lost the session then. */
  readonly connections: number;
  readonly lastError?: string;
  /** What a person has to do something about. */
  readonly alarm?: string;
  readonly subscriptions: readonly SubscriptionStatus[];
  /** Messages that are not answered yet. */
  readonly pending: number;
}

const BACKOFF = { baseMs: 500, capMs: 15_000, stableMs: 30_000 };
const ALARM_BACKOFF = { baseMs: 15_000, capMs: 300_000, stableMs: 300_000 };
const LAST_ANSWERS_MS = 1000;
const NEVER = new AbortController().signal;
const ACK_TIMEOUT_MS = 30_000;
const MOST_HELD_BYTES = 16 * 1024 * 1024;

/**
 * A session with a broker that keeps it: connects for as long as it is started, subscribes, hands on what comes and answers it
 * when it is safe. What comes while it is away waits at the broker.
 */
export class LocalSession {
  readonly #parts: LocalSessionParts;
  readonly #inbox: Inbox;
  readonly #life: ConnectionLife;
  readonly #summary: Summary;
  readonly #subscriptions: Subscriptions;
  readonly #connected: Gauge;
  readonly #backoff = new Backoff(BACKOFF);
  readonly #alarmBackoff = new AlarmBackoff(ALARM_BACKOFF);
  #stopping = new AbortController();
  #running: Promise<void> | undefined;
  #connection: LocalConnection | undefined;
  #version: 4 | 5 = 5;
  #state: LocalSessionStatus["state"] = "stopped";
  #sinceMs = 0;
  #server = "";
  #connections = 0;
  #lastError: string | undefined;
  #alarm: string | undefined;

  constructor(parts: LocalSessionParts) {
    this.#parts = parts;
    const { options, handlers, log, metrics } = parts;
    this.#inbox = new Inbox((arrival, stored) => handlers.onMessage(arrival, this.#version, stored));
    this.#life = {
      tls: new TlsMemory(),
      versions: new Map(),
      servers: new ServerList([options.url, ...options.urls]),
      expiry: new ExpiryWatch("(local broker)", log, metrics),
    };
    this.#summary = new Summary(log);
    this.#subscriptions = new Subscriptions({ filters: handlers.filters, log, metrics });
    this.#connected = metrics.gauge(
      "millrace_external_broker_connected",
      "1 while connected to the external local broker.",
    );
  }

  /** Connects from now on. */
  start(): void {
    if (this.#running !== undefined) return;
    this.#stopping = new AbortController();
    this.#connected.set(0);
    this.#running = this.#run(this.#stopping.signal);
  }

  /** Publishes the farewell and disconnects; the session stays at the broker. Idempotent, never rejects. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
    this.#running = undefined;
  }

  /** QoS 1; resolves when the broker has it. @throws NotConnectedError, RejectedError. */
  deliver(message: Delivered): Promise<void> {
    return this.#connection?.deliver(message) ?? Promise.reject(new NotConnectedError("the local broker is away"));
  }

  /** QoS 0. False where it was dropped. Never throws. */
  publish(topic: string, payload: Uint8Array, correlation?: Uint8Array): boolean {
    return this.#connection?.publish(topic, payload, { correlation }) ?? false;
  }

  status(): LocalSessionStatus {
    const alarm = this.#alarm ?? this.#subscriptions.alarm ?? this.#life.expiry.look(this.#parts.clock);
    const connected = this.#state === "connected";
    return {
      state: this.#state,
      sinceMs: this.#sinceMs,
      ...(connected ? { server: this.#server, version: this.#version } : {}),
      connections: this.#connections,
      ...(this.#lastError === undefined ? {} : { lastError: this.#lastError }),
      ...(alarm === undefined ? {} : { alarm }),
      subscriptions: this.#subscriptions.status(),
      pending: this.#inbox.pending.messages,
    };
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#become("connecting");
      let stableForMs = 0;
      let cause: Error;
      try {
        const began = await this.#connect(signal);
        const startedMs = monotonicMs();
        cause = await began.lost;
        stableForMs = monotonicMs() - startedMs;
        this.#life.servers.lost(this.#server, stableForMs);
      } catch (error) {
        cause = error instanceof Error ? error : new Error(messageOf(error));
      }
      this.#connection = undefined;
      this.#connected.set(0);
      if (signal.aborted) break;
      await this.#wait(cause, stableForMs, signal);
    }
    this.#become("stopped");
  }

  async #wait(cause: Error, stableForMs: number, signal: AbortSignal): Promise<void> {
    const isAlarm = cause instanceof ConfigError;
    this.#lastError = cause.message;
    this.#alarm = isAlarm ? cause.message : undefined;
    this.#become("waiting");
    this.#summary.report(
      isAlarm ? "error" : "warn",
      cause.message,
      { reason: cause.message },
      "no connection to the local broker; what clients publish waits there",
    );
    await pause(isAlarm ? this.#alarmBackoff.next(stableForMs) : this.#backoff.next(stableForMs), signal);
  }

  /** Tries the servers in their order. `lost` resolves when the connection ended and everything of it is gone. */
  async #connect(signal: AbortSignal): Promise<{ readonly lost: Promise<Error> }> {
    const failures: Error[] = [];
    for (const url of this.#life.servers.order()) {
      try {
        const agreement = await this.#reach(url, signal);
        return { lost: this.#serve(url, agreement, signal) };
      } catch (error) {
        if (signal.aborted || !(error instanceof Error)) throw error;
        failures.push(error);
      }
    }
    throw worstOf(failures);
  }

  async #reach(url: string, signal: AbortSignal): Promise<Agreement> {
    const { connectTimeout, tls, version } = this.#parts.options;
    const attempt = new AbortController();
    const cancel = () => attempt.abort(new NotConnectedError("the gateway stops"));
    signal.addEventListener("abort", cancel, { once: true });
    const late = new NotConnectedError(`no session within ${formatDuration(connectTimeout)}`);
    const timer = setTimeout(() => attempt.abort(late), connectTimeout);
    try {
      return await negotiate({ url, tls, version, preset: "generic" }, this.#dialing, this.#firstAsk(), attempt.signal);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", cancel);
    }
  }

  /** From CONNACK to the end of the connection. Never rejects: gives what ended it. */
  async #serve(url: string, { socket, ask, connack }: Agreement, signal: AbortSignal): Promise<Error> {
    const { options, handlers, log } = this.#parts;
    const resumed = connack.sessionPresent;
    let lost: (error: Error) => void = () => {};
    const ended = new Promise<Error>((resolve) => {
      lost = resolve;
    });
    let connection: LocalConnection;
    let stale: readonly string[];
    try {
      const terms = sessionTerms(ask, connack, options.receiveMaximum, options.keepalive);
      this.#version = terms.version;
      if (!resumed) this.#inbox.forget();
      stale = await handlers.onSession(resumed);
      connection = new LocalConnection(socket, {
        terms,
        maxPacket: options.maxPacket,
        ackTimeoutMs: ACK_TIMEOUT_MS,
        maxHeld: options.receiveMaximum,
        maxHeldBytes: MOST_HELD_BYTES,
        inbox: this.#inbox,
        log,
        onLoose: (arrival) => handlers.onLoose(arrival, this.#version),
        onTooLong: (message) => handlers.onTooLong(message),
        onLost: lost,
      });
    } catch (error) {
      socket.destroy();
      return error instanceof Error ? error : new Error(messageOf(error));
    }
    const watch = new Watch({ ...options, url, preset: "generic" }, this.#dialing, this.#life, (error) =>
      connection.lose(error),
    );
    const stop = () => lost(new NotConnectedError("the gateway stops"));
    signal.addEventListener("abort", stop, { once: true });
    connection.start();
    watch.start(socket);
    this.#begin(url, connection, connack.properties?.sessionExpiryInterval);
    const subscribing = this.#subscribe(connection, stale, resumed);
    if (signal.aborted) stop();
    const cause = await ended;
    signal.removeEventListener("abort", stop);
    this.#subscriptions.lost();
    await watch.stop();
    if (signal.aborted) await this.#leave(connection);
    await connection.close();
    await subscribing;
    return cause;
  }

  #begin(url: string, connection: LocalConnection, grantedS: number | undefined): void {
    const { options, log, handlers } = this.#parts;
    this.#server = url;
    this.#connection = connection;
    this.#connections += 1;
    this.#lastError = undefined;
    this.#alarm = undefined;
    this.#summary.clear();
    this.#connected.set(1);
    this.#become("connected");
    log.info({ server: url, version: this.#version }, "connected to the local broker");
    if (this.#version === 5 && grantedS !== undefined && grantedS * 1000 < options.sessionExpiry) {
      const fields = { asked: formatDuration(options.sessionExpiry), granted: formatDuration(grantedS * 1000) };
      log.warn(fields, "the local broker keeps the session for less time than asked");
    }
    this.#publish(connection, handlers.birth());
  }

  async #subscribe(connection: LocalConnection, stale: readonly string[], resumed: boolean): Promise<void> {
    try {
      await this.#subscriptions.begin(connection, stale, resumed);
      await this.#parts.handlers.onSubscribed();
      await this.#subscriptions.repeat(connection);
    } catch (error) {
      // With the connection lost, the next one begins anew.
      if (!(error instanceof NotConnectedError)) connection.lose(new NotConnectedError(messageOf(error)));
    }
  }

  /** Answers what is being stored, so that it does not come again, and says goodbye. */
  async #leave(connection: LocalConnection): Promise<void> {
    connection.hush();
    const deadlineMs = monotonicMs() + LAST_ANSWERS_MS;
    while (this.#inbox.pending.messages > 0 && monotonicMs() < deadlineMs) await pause(5, NEVER);
    this.#publish(connection, this.#parts.handlers.farewell());
  }

  #publish(connection: LocalConnection, { topic, payload, retain }: Outgoing): void {
    connection.publish(topic, payload, { qos: 1, retain });
  }

  #become(state: LocalSessionStatus["state"]): void {
    if (state === this.#state) return;
    this.#state = state;
    this.#sinceMs = this.#parts.clock.now().wallMs;
  }

  get #dialing(): DialContext {
    const { path, clock, log } = this.#parts;
    return { path, clock, log, memory: this.#life.tls, versions: this.#life.versions };
  }

  #firstAsk(): Ask {
    const { options, clientId, handlers, secret } = this.#parts;
    const { username, password, keepalive, version, sessionExpiry, receiveMaximum } = options;
    return {
      version: version === 4 ? 4 : 5,
      clientId,
      keepaliveS: Math.min(65_535, Math.ceil(keepalive / 1000)),
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password: secret(password).reveal() }),
      will: handlers.will,
      willRetain: handlers.will.retain,
      willQos: 1,
      session: { expiryS: Math.ceil(sessionExpiry / 1000), receiveMaximum },
    };
  }
}
