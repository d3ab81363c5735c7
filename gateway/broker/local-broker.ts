import { randomUUID } from "node:crypto";
import type { Socket } from "node:net";
import { setTimeout as sleep, setImmediate as turn } from "node:timers/promises";
import { Aedes, type Client } from "aedes";
import type { Clock } from "../core/clock.ts";
import { ConfigError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Counter, Gauge, Metrics } from "../core/metrics.ts";
import type { BrokerOptions, CaptureOptions } from "../core/options/broker.ts";
import type { Queue } from "../core/queue.ts";
import { Capture, type CaptureParts } from "./capture.ts";
import { type Budget, type ConnectionEvents, GuardedConnection } from "./connection.ts";
import { Doorman } from "./doorman.ts";
import { brokerHooks, connectionOf } from "./hooks.ts";
import { checkListeners, type ListenerAddress, Listeners } from "./listeners.ts";
import { LogThrottle } from "./log-throttle.ts";
import { MemoryPersistence } from "./persistence.ts";

export interface BrokerParts {
  readonly options: BrokerOptions;
  readonly capture: CaptureOptions;
  readonly queue: Pick<Queue, "append" | "refused">;
  readonly gatewayId: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

export interface BrokerStatus {
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
  readonly sessions: number;
  readonly retained: { readonly messages: number; readonly bytes: number };
}

/** QoS 1 and 2 publishes of one client that may wait for the disk, and their bytes; and the bytes over all clients. */
export const MAX_PENDING = 50;
const MAX_PENDING_BYTES = 1024 * 1024;
const MAX_ALL_PENDING_BYTES = 64 * 1024 * 1024;
/** Bytes a subscriber may be behind before messages wait for it; after the grace they pass it by, then it is cut. */
const MAX_UNSENT_BYTES = 256 * 1024;
const SLOW_GRACE_MS = 250;
const SLOW_TIMEOUT_MS = 8000;
const MAX_LIVE = 1000;
const STOP_MS = 2000;

interface Running {
  readonly aedes: Aedes;
  readonly capture: Capture;
  readonly persistence: MemoryPersistence;
  readonly listeners: Listeners;
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
  readonly #doorman: Doorman;
  readonly #connections = new Set<GuardedConnection>();
  readonly #budget: Budget = { used: 0, max: MAX_ALL_PENDING_BYTES };
  readonly #cuts: Counter;
  readonly #drops: Counter;
  readonly #gauge: Gauge;
  #cutCount = 0;
  #live = 0;
  #running: Running | undefined;
  #stopping: Promise<void> | undefined;

  constructor(parts: BrokerParts) {
    const { options, log, metrics, clock } = parts;
    this.#parts = parts;
    this.#log = log;
    this.#throttle = new LogThrottle(log, () => clock.now().monoMs);
    this.#doorman = new Doorman(options.limits.maxConnections, options.limits.maxConnectionsPerAddress);
    this.#cuts = metrics.counter("millrace_broker_cut_total", "Local connections refused or cut.", ["reason"]);
    this.#drops = metrics.counter("millrace_broker_dropped_total", "Local messages not delivered or not kept.", [
      "reason",
    ]);
    this.#gauge = metrics.gauge("millrace_broker_connections", "Local connections.");
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
    await running.aedes.listen();
    try {
      await running.listeners.open(
        options,
        (socket) => this.#accept(running, socket),
        () => this.#countCut("connections"),
      );
    } catch (error) {
      await closed(running.aedes);
      throw error;
    }
    this.#running = running;
    this.#log.info({ listeners: this.addresses() }, "broker listens");
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

  /** The actual address of each listener, in the order of the configuration; empty when not started. */
  addresses(): readonly ListenerAddress[] {
    return this.#running?.listeners.addresses ?? [];
  }

  status(): BrokerStatus {
    const running = this.#running;
    let pending = 0;
    for (const connection of this.#connections) pending += connection.pending;
    return {
      listening: running !== undefined && !this.#isStopping,
      connections: this.#connections.size,
      clients: running?.aedes.connectedClients ?? 0,
      pending,
      holding: running?.capture.holding ?? false,
      ...(running?.capture.counts ?? { captured: 0, shed: 0, refused: 0 }),
      cut: this.#cutCount,
      sessions: running?.persistence.sessions ?? 0,
      retained: {
        messages: running?.persistence.retained.size ?? 0,
        bytes: running?.persistence.retained.bytes ?? 0,
      },
    };
  }

  get #isStopping(): boolean {
    return this.#stopping !== undefined;
  }

  #build(): Running {
    const { options, capture: rules, queue, clock, metrics, gatewayId } = this.#parts;
    const capture = captureOf({ rules, queue, clock, log: this.#log, throttle: this.#throttle, metrics });
    const persistence = new MemoryPersistence({
      onReleased: (clientId, packetId) => capture.once.release(clientId, packetId),
      onForgotten: (clientId) => capture.once.forget(clientId),
      onDropped: (kind, clientId) => {
        this.#drops.inc({ reason: kind });
        this.#throttle.warn(`dropped ${kind}`, { kind, clientId }, "the broker's memory for clients is full");
      },
    });
    const aedes = new Aedes({
      // Random: with a fixed one, numbers of an earlier life would be taken for duplicates.
      id: `${gatewayId}-${randomUUID()}`,
      persistence,
      // A slot is held by each message that waits for a subscriber's socket: more slots than subscribers.
      concurrency: options.limits.maxConnections + 100,
      queueLimit: 1000,
      connectTimeout: options.limits.connectTimeout,
      drainTimeout: SLOW_TIMEOUT_MS,
      maxInflightInbound: 100,
      ...brokerHooks({
        capture,
        throttle: this.#throttle,
        isStopping: () => this.#isStopping,
        onSlow: (clientId) => {
          this.#drops.inc({ reason: "slow" });
          this.#throttle.warn("slow", { clientId }, "a subscriber reads too slowly and misses messages");
        },
      }),
    });
    this.#listenTo(aedes);
    return { aedes, capture, persistence, listeners: new Listeners() };
  }

  #listenTo(aedes: Aedes): void {
    aedes.on("clientReady", (client) => connectionOf(client)?.ready());
    aedes.on("clientError", (client, error) => this.#lost(client, error));
    aedes.on("connectionError", (client, error) => this.#lost(client, error));
    aedes.on("unsubscribe", (filters, client) => {
      for (const filter of filters) connectionOf(client)?.filters.delete(filter);
    });
    aedes.addListener("error", (error: Error) => this.#log.error({ err: error }, "broker error"));
  }

  #lost(client: Client, error: Error): void {
    this.#log.debug({ clientId: client.id, reason: error.message }, "client lost");
  }

  #accept(running: Running, socket: Socket): void {
    const address = socket.remoteAddress ?? "unknown";
    const refusal = this.#isStopping ? "stopping" : this.#doorman.enter(address);
    if (refusal !== undefined) {
      socket.on("error", () => {});
      socket.destroy();
      this.#countCut(refusal);
      this.#throttle.warn(refusal, { address, reason: refusal }, "connection refused, there are too many");
      return;
    }
    const { maxPacket, connectTimeout } = this.#parts.options.limits;
    const limits = {
      maxPacket,
      connectTimeoutMs: connectTimeout,
      maxPending: MAX_PENDING,
      maxPendingBytes: MAX_PENDING_BYTES,
      maxUnsentBytes: MAX_UNSENT_BYTES,
      graceMs: SLOW_GRACE_MS,
      slowTimeoutMs: SLOW_TIMEOUT_MS,
    };
    const connection = new GuardedConnection(socket, limits, this.#budget, this.#eventsOf(running));
    this.#connections.add(connection);
    this.#gauge.set(this.#connections.size);
    connection.once("close", () => {
      this.#connections.delete(connection);
      this.#gauge.set(this.#connections.size);
      this.#doorman.leave(address);
    });
    connection.open();
  }

  #eventsOf(running: Running): ConnectionEvents {
    return {
      onConnect: (connection) => running.aedes.handle(connection),
      onCut: (connection, reason, message) => {
        this.#countCut(reason);
        this.#throttle.warn(
          `cut ${reason}`,
          { address: connection.address, reason, detail: message },
          "connection cut",
        );
      },
    };
  }

  #countCut(reason: string): void {
    this.#cutCount += 1;
    this.#cuts.inc({ reason });
  }

  async #stop(running: Running): Promise<void> {
    const unlisten = running.listeners.close();
    const patience = new AbortController();
    await Promise.race([running.capture.stop(), pause(STOP_MS, patience.signal)]);
    patience.abort();
    // The acknowledgements of what was just stored leave at the end of this turn.
    await turn();
    const gone = [...this.#connections].map((connection) => closedConnection(connection));
    await closed(running.aedes);
    for (const connection of this.#connections) connection.destroy();
    await Promise.all(gone);
    await unlisten;
    this.#live = 0;
    this.#log.info({}, "broker stopped");
  }
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
