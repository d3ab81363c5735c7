import { randomUUID } from "node:crypto";
import { setTimeout as sleep, setImmediate as turn } from "node:timers/promises";
import { Aedes, type Client } from "aedes";
import { type Auditor, noAudit } from "../core/audit.ts";
import type { Clock } from "../core/clock.ts";
import { ConfigError, messageOf, NotConnectedError, StorageError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Counter, Metrics } from "../core/metrics.ts";
import type { BrokerOptions, CaptureOptions } from "../core/options/broker.ts";
import type { Queue } from "../core/queue.ts";
import { Admission } from "./admission.ts";
import { Answers, Capture, type CaptureParts } from "./capture.ts";
import type { GuardedConnection } from "./connection.ts";
import { Gate } from "./gate.ts";
import type { Progress } from "./give-way.ts";
import { brokerHooks, type CommandIntake, connectionOf } from "./hooks.ts";
import { checkListeners, type ListenerAddress, Listeners } from "./listeners.ts";
import { LogThrottle } from "./log-throttle.ts";
import { holdOneById } from "./one-by-id.ts";
import { type SessionStatus, Sessions } from "./sessions.ts";
import { certificateTopic } from "./sparkplug-aware.ts";
import { type Flow, Traffic } from "./traffic.ts";
import type { SecretReader } from "./users.ts";

export interface BrokerParts {
  readonly options: BrokerOptions;
  readonly capture: CaptureOptions;
  readonly queue: Pick<Queue, "append" | "refused">;
  /** Rises with what uplinks get ahead; they are given way to. */
  readonly progress?: Progress;
  readonly commands?: CommandIntake;
  /** Where sessions and retained messages are kept; without it they end with the process. */
  readonly folder?: string;
  /** Reads a password hash that is kept in a file or the environment. @throws ConfigError. Nothing can be read when absent. */
  readonly secret?: SecretReader;
  /** An absolute path for a file that the configuration names; as it is when absent. */
  readonly path?: (file: string) => string;
  /** Milliseconds for which what nobody is told of may wait for its fsync; default 1 s. */
  readonly syncMs?: number;
  readonly gatewayId: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Where logins are written down; nowhere when absent. */
  readonly audit?: Auditor;
}

/** A message of the gateway itself, for local clients. */
export interface LocalMessage {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
}

export interface BrokerStatus extends SessionStatus {
  readonly listening: boolean;
  readonly connections: number;
  /** Connected MQTT clients. */
  readonly clients: number;
  /** QoS 1 and 2 publishes that wait for their acknowledgement. */
  readonly pending: number;
  /** True while the queue refuses captured messages. */
  readonly holding: boolean;
  readonly captured: number;
  readonly shed: number;
  /** Held in vain; their clients were disconnected. */
  readonly refused: number;
  /** Connections refused or cut by the guard. */
  readonly cut: number;
  /** Messages of clients, and to them. */
  readonly traffic: { readonly received: Flow; readonly sent: Flow };
}

const MAX_LIVE = 1000;
const STOP_MS = 2000;
const SYNC_MS = 1000;

interface Running {
  readonly aedes: Aedes;
  readonly capture: Capture;
  readonly sessions: Sessions;
  readonly listeners: Listeners;
  /** Of the gateway's own messages. */
  readonly answers: Answers;
}

/**
 * The MQTT 3.1.1 broker inside the gateway, for clients on this machine. What they publish to a captured topic is on
 * disk before it is acknowledged; what the gateway publishes here is for local eyes only and never captured.
 *
 * Nothing a client sends can raise an error outside: its connection is closed, counted and, within bounds, logged.
 */
export class LocalBroker {
  readonly #parts: BrokerParts;
  readonly #log: Logger;
  readonly #throttle: LogThrottle;
  readonly #gate: Gate;
  readonly #admission: Admission;
  readonly #drops: Counter;
  readonly #denied: Counter;
  readonly #traffic: Traffic;
  #live = 0;
  #running: Running | undefined;
  #stopping: Promise<void> | undefined;

  constructor(parts: BrokerParts) {
    const { options, log, metrics, clock, audit = noAudit } = parts;
    this.#parts = parts;
    this.#log = log;
    const monoMs = () => clock.now().monoMs;
    this.#throttle = new LogThrottle(log, monoMs);
    const { path = (file: string) => file, secret = noSecret } = parts;
    const around = { monoMs, log, throttle: this.#throttle, metrics };
    this.#gate = new Gate({ ...around, limits: options.limits, path });
    this.#admission = new Admission({ ...around, options, secret, audit });
    this.#traffic = new Traffic(metrics);
    this.#drops = metrics.counter("millrace_broker_dropped_total", "Local messages not delivered or not kept.", [
      "reason",
    ]);
    this.#denied = metrics.counter("millrace_broker_denied_total", "What was not granted to local clients.", ["what"]);
  }

  /**
   * Opens the listeners. May be called again after it rejected, and after `stop`.
   * @throws ConfigError when a listener is not on loopback or cannot be opened, or a capture filter is not valid:
   * nothing stays open.
   */
  async start(): Promise<void> {
    if (this.#running) return;
    const { options } = this.#parts;
    checkListeners(options);
    const running = this.#build();
    await running.sessions.open();
    try {
      await running.aedes.listen();
      await running.listeners.open(
        options,
        this.#gate.arrivals(
          (connection) => running.aedes.handle(connection),
          () => this.#isStopping,
        ),
      );
    } catch (error) {
      await closed(running.aedes);
      await running.sessions.close();
      throw error;
    }
    this.#running = running;
    this.#log.info({ listeners: this.addresses(), users: options.users.length }, "broker listens");
    for (const { user, fault } of this.#admission.faults()) {
      this.#log.error({ user, reason: messageOf(fault) }, "the password hash of a user cannot be read");
    }
  }

  /**
   * Replaces the users while it runs. Rights change at once, for subscriptions there are already too; whose user is gone or has
   * another password is disconnected.
   */
  setUsers(users: BrokerOptions["users"]): void {
    for (const connection of this.#admission.replaceUsers(users)) {
      this.#gate.cut(connection, "user-changed", "its user was changed or removed");
    }
  }

  /**
   * Accepts nothing more, lets what is being written be acknowledged (at most two seconds), and closes every
   * connection without publishing wills. Idempotent, never rejects.
   */
  stop(): Promise<void> {
    if (this.#running && !this.#isStopping) {
      this.#stopping = this.#stop(this.#running).finally(() => {
        this.#running = undefined;
        this.#stopping = undefined;
      });
    }
    return this.#stopping ?? Promise.resolve();
  }

  /**
   * Gives local subscribers a message, QoS 0. Never waits, never throws; drops it when the broker is not started or
   * too far behind. Never captured. The payload must not change afterwards.
   */
  publishLive(topic: string, payload: Uint8Array): void {
    const running = this.#running;
    if (!running || this.#isStopping) return;
    if (this.#live >= MAX_LIVE) {
      this.#drops.inc({ reason: "live" });
      return;
    }
    this.#live += 1;
    const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
    try {
      running.aedes.publish({ cmd: "publish", topic, payload: bytes, qos: 0, retain: false, dup: false }, () => {
        this.#live -= 1;
      });
    } catch (error) {
      this.#live -= 1;
      this.#throttle.warn("live", { topic, err: error }, "a live value could not be published");
    }
  }

  /**
   * Gives local subscribers a message, those of kept sessions too: it waits for them. Resolves when it is on disk for them
   * and, if it is retained, for all who come later. Never captured. Messages come in the order of the calls.
   * @throws StorageError when it cannot be kept, or NotConnectedError when the broker is not started: publish it again.
   */
  async publish({ topic, payload, qos, retain }: LocalMessage): Promise<void> {
    const running = this.#running;
    if (!running || this.#isStopping) throw new NotConnectedError("the local broker is not started");
    const packet = { cmd: "publish" as const, topic, payload: Buffer.from(payload), qos, retain, dup: false };
    await new Promise<void>((resolve, reject) => {
      const answer = running.answers.ask((error) => {
        if (error) {
          reject(error);
          return;
        }
        running.aedes.publish(packet, (failure) => {
          if (failure) reject(failure);
          else resolve();
        });
      });
      const kept = running.sessions.keeper.admit(undefined, packet) ?? Promise.resolve();
      kept.then(
        () => answer(),
        (error: unknown) => answer(error instanceof Error ? error : new StorageError(messageOf(error))),
      );
    });
  }

  /** The actual address of each listener, in the order of the configuration; empty when not started. */
  addresses(): readonly ListenerAddress[] {
    return this.#running?.listeners.addresses ?? [];
  }

  status(): BrokerStatus {
    const running = this.#running;
    let pending = 0;
    let clients = 0;
    for (const connection of this.#gate.connections) {
      pending += connection.pending;
      if (connection.isReady) clients += 1;
    }
    return {
      listening: running !== undefined && !this.#isStopping,
      connections: this.#gate.connections.size,
      clients,
      pending,
      holding: running?.capture.holding ?? false,
      ...(running?.capture.counts ?? { captured: 0, shed: 0, refused: 0 }),
      cut: this.#gate.cuts,
      traffic: this.#traffic.status(),
      ...(running?.sessions.status() ?? {
        sessions: 0,
        kept: { messages: 0, bytes: 0, dropped: 0 },
        retained: { messages: 0, bytes: 0 },
      }),
    };
  }

  get #isStopping(): boolean {
    return this.#stopping !== undefined;
  }

  #build(): Running {
    const { options, capture: rules, queue, progress, commands, clock, metrics, gatewayId } = this.#parts;
    const { limits } = options;
    const { log } = this.#parts;
    const capture = captureOf({
      rules,
      queue,
      topicLimits: limits,
      progress,
      clock,
      log,
      throttle: this.#throttle,
      metrics,
    });
    const sessions = new Sessions({
      ...this.#parts,
      syncMs: this.#parts.syncMs ?? SYNC_MS,
      onReleased: (clientId, packetId) => capture.once.release(clientId, packetId),
      onForgotten: (clientId) => capture.once.forget(clientId),
    });
    const aedes = new Aedes({
      // Random: with a fixed one, numbers of an earlier life would be taken for duplicates.
      id: `${gatewayId}-${randomUUID()}`,
      persistence: sessions.persistence,
      // A slot is held by each message that waits for a subscriber's socket: more slots than subscribers.
      concurrency: limits.maxConnections + 100,
      queueLimit: 1000,
      connectTimeout: limits.connectTimeout,
      drainTimeout: limits.slowTimeout,
      maxInflightInbound: limits.maxInflight,
      ...brokerHooks({
        capture,
        keeper: sessions.keeper,
        ...(commands === undefined ? {} : { commands }),
        admission: this.#admission,
        limits,
        throttle: this.#throttle,
        onDenied: (what) => this.#denied.inc({ what }),
        onSent: (payload) => this.#traffic.sent(payload),
        isStopping: () => this.#isStopping,
        onSlow: (clientId) => {
          this.#drops.inc({ reason: "slow" });
          this.#throttle.warn("slow", { clientId }, "a subscriber reads too slowly and misses messages");
        },
      }),
    });
    holdOneById(aedes);
    this.#listenTo(aedes, sessions);
    return { aedes, capture, sessions, listeners: new Listeners(), answers: new Answers() };
  }

  #listenTo(aedes: Aedes, { keeper }: Sessions): void {
    aedes.on("client", (client) => {
      if (!client.clean) keeper.joined(client.id, connectionOf(client)?.user);
    });
    aedes.on("clientDisconnect", (client) => {
      if (!client.clean) keeper.left(client.id);
    });
    aedes.on("clientReady", (client) => connectionOf(client)?.ready());
    aedes.on("clientError", (client, error) => this.#lost(client, error));
    aedes.on("connectionError", (client, error) => this.#lost(client, error));
    aedes.on("publish", ({ topic, payload }, client) => {
      if (client !== null) this.#traffic.received(payload);
      const certificate = client === null ? undefined : certificateTopic(topic);
      if (certificate !== undefined) this.#keepBirth(certificate, Buffer.from(payload));
    });
    aedes.on("unsubscribe", (filters, client) => {
      for (const filter of filters) connectionOf(client)?.filters.delete(filter);
    });
    aedes.addListener("error", (error: Error) => this.#log.error({ err: error }, "broker error"));
  }

  #keepBirth(topic: string, payload: Buffer): void {
    this.publish({ topic, payload, qos: 0, retain: true }).catch((error: unknown) => {
      this.#throttle.warn("birth", { topic, reason: messageOf(error) }, "a Sparkplug birth could not be kept");
    });
  }

  #lost(client: Client, error: Error): void {
    this.#log.debug({ clientId: client.id, reason: error.message }, "client lost");
  }

  async #stop(running: Running): Promise<void> {
    const unlisten = running.listeners.close();
    const patience = new AbortController();
    await Promise.race([running.capture.stop(), pause(STOP_MS, patience.signal)]);
    patience.abort();
    // The acknowledgements of what was just stored leave at the end of this turn.
    await turn();
    const gone = [...this.#gate.connections].map((connection) => closedConnection(connection));
    await closed(running.aedes);
    for (const connection of this.#gate.connections) connection.destroy();
    await Promise.all(gone);
    await unlisten;
    await this.#admission.end();
    await running.sessions.close();
    this.#live = 0;
    this.#log.info({}, "broker stopped");
  }
}

function noSecret(): never {
  throw new ConfigError("there is nothing to read it with");
}

function captureOf(parts: CaptureParts): Capture {
  try {
    return new Capture(parts);
  } catch (error) {
    if (error instanceof RangeError) throw new ConfigError(`capture: ${error.message}`, { cause: error });
    throw error;
  }
}

function closed(aedes: Aedes): Promise<void> {
  return new Promise((resolve) => {
    aedes.close(() => resolve());
  });
}

function closedConnection(connection: GuardedConnection): Promise<void> {
  return new Promise((resolve) => {
    if (connection.closed) resolve();
    else connection.once("close", () => resolve());
  });
}

/** Resolves after `ms` or when aborted, whichever is first. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal });
  } catch {
    // Aborted: nobody waits any more.
  }
}
