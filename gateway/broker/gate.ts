import type { Socket } from "node:net";
import type { Logger } from "../core/log.ts";
import type { Counter, Gauge, Metrics } from "../core/metrics.ts";
import type { BrokerLimits } from "../core/options/broker.ts";
import { type Budget, type ConnectionEvents, GuardedConnection, type Peer } from "./connection.ts";
import { Doorman } from "./doorman.ts";
import { whoIs } from "./hooks.ts";
import { type Arrivals, addressOf } from "./listeners.ts";
import type { LogThrottle } from "./log-throttle.ts";
import { Newcomers } from "./newcomers.ts";

/** QoS 1 and 2 publishes of one client that may wait for the disk, and their bytes; and the bytes over all clients. */
export const MAX_PENDING = 50;
const MAX_PENDING_BYTES = 1024 * 1024;
const MAX_ALL_PENDING_BYTES = 64 * 1024 * 1024;
/** Bytes a subscriber may be behind before messages wait for it; after the grace they pass it by, then it is cut. */
const MAX_UNSENT_BYTES = 256 * 1024;
const SLOW_GRACE_MS = 250;

const CURES: Readonly<Record<string, string>> = {
  connections: "raise broker.limits.maxConnections if they are wanted",
  "address-connections": "raise broker.limits.maxConnectionsPerAddress if they are wanted",
  "too-large": "raise broker.limits.maxPacket or maxConnectPacket if the client is right",
  "connect-timeout": "see what opens connections there and does not speak MQTT",
  "crowded-out": "see what opens connections there and does not log in",
  "not-connect": "see what speaks another protocol to the port of the broker",
  slow: "see why it does not read; it gets what its session keeps when it comes back",
  tls: "compare protocol versions and certificates of both sides",
};

export interface GateParts {
  readonly limits: BrokerLimits;
  readonly monoMs: () => number;
  readonly path: (file: string) => string;
  readonly log: Logger;
  readonly throttle: LogThrottle;
  readonly metrics: Metrics;
}

/** Lets connections in, within bounds, and cuts those that do what no client does. */
export class Gate {
  readonly #parts: GateParts;
  readonly #doorman: Doorman;
  readonly #newcomers = new Newcomers();
  readonly #connections = new Set<GuardedConnection>();
  readonly #budget: Budget = { used: 0, max: MAX_ALL_PENDING_BYTES };
  readonly #cuts: Counter;
  readonly #throttled: Counter;
  readonly #gauge: Gauge;
  /** What gives the place of a connection free, once. */
  readonly #leaves = new Map<Socket, () => void>();
  #cutCount = 0;

  constructor(parts: GateParts) {
    const { limits, metrics } = parts;
    this.#parts = parts;
    this.#doorman = new Doorman(limits.maxConnections, limits.maxConnectionsPerAddress);
    this.#cuts = metrics.counter("millrace_broker_cut_total", "Local connections refused or cut.", ["reason"]);
    // Rows that begin with 1 are no increase to who watches.
    for (const reason of ["connections", "address-connections"]) this.#cuts.inc({ reason }, 0);
    this.#throttled = metrics.counter(
      "millrace_broker_throttled_total",
      "Times a local client sent faster than it may and was read more slowly.",
    );
    this.#gauge = metrics.gauge("millrace_broker_connections", "Local connections.");
  }

  get cuts(): number {
    return this.#cutCount;
  }
  get connections(): ReadonlySet<GuardedConnection> {
    return this.#connections;
  }

  /** What listeners do with what arrives. `onConnect` is called when a CONNECT is there whole. */
  arrivals(onConnect: (connection: GuardedConnection) => void, isStopping: () => boolean): Arrivals {
    const { monoMs, path, log } = this.#parts;
    return {
      enter: (socket) => this.#enter(socket, isStopping()),
      accept: (stream, peer, leftMs) => this.#accept(stream, peer, leftMs, onConnect),
      admitted: (socket) => this.#newcomers.remove(addressOf(socket), socket),
      failed: (address, fault, message) => this.#tellCut(fault, { address }, message),
      dropped: () => this.#countCut("connections"),
      monoMs,
      path,
      log: (message, fields) => log.info(fields, message),
    };
  }

  /** Cuts a connection for a reason of its own. */
  cut(connection: GuardedConnection, reason: string, message: string): void {
    this.#tellCut(reason, whoIs(connection), message);
    connection.destroy();
  }

  #enter(socket: Socket, isStopping: boolean): boolean {
    const address = addressOf(socket);
    const refusal = isStopping ? "stopping" : this.#makeWay(address);
    if (refusal !== undefined) {
      this.#countCut(refusal);
      const fields = { address, reason: refusal, cure: CURES[refusal] };
      this.#parts.throttle.warn(refusal, fields, "connection refused, there are too many");
      return false;
    }
    this.#gauge.set(this.#doorman.connections);
    this.#newcomers.add(address, socket);
    this.#leaves.set(socket, () => {
      this.#leaves.delete(socket);
      this.#newcomers.remove(address, socket);
      this.#doorman.leave(address);
      this.#gauge.set(this.#doorman.connections);
    });
    socket.once("close", () => this.#leaves.get(socket)?.());
    return true;
  }

  /** Who has not logged in makes way for who comes now: slow ones cannot keep the others out. */
  #makeWay(address: string): ReturnType<Doorman["enter"]> {
    const refusal = this.#doorman.enter(address);
    if (refusal === undefined) return undefined;
    const other = this.#newcomers.oldest(refusal === "address-connections" ? address : undefined);
    if (!other) return refusal;
    this.#tellCut("crowded-out", { address: addressOf(other) }, "it had not logged in when others came");
    this.#leaves.get(other)?.();
    other.destroy();
    return this.#doorman.enter(address);
  }

  #accept(
    stream: ConstructorParameters<typeof GuardedConnection>[0],
    peer: Peer,
    leftMs: number,
    onConnect: (connection: GuardedConnection) => void,
  ): void {
    const { maxPacket, maxConnectPacket, maxMessageRate, slowTimeout } = this.#parts.limits;
    const limits = {
      maxPacket,
      maxConnectPacket: Math.min(maxPacket, maxConnectPacket),
      maxMessageRate,
      connectTimeoutMs: leftMs,
      maxPending: MAX_PENDING,
      maxPendingBytes: MAX_PENDING_BYTES,
      maxUnsentBytes: MAX_UNSENT_BYTES,
      graceMs: SLOW_GRACE_MS,
      slowTimeoutMs: slowTimeout,
    };
    const connection = new GuardedConnection(stream, peer, limits, this.#budget, this.#events(onConnect));
    this.#connections.add(connection);
    connection.once("close", () => this.#connections.delete(connection));
    connection.open();
  }

  #events(onConnect: (connection: GuardedConnection) => void): ConnectionEvents {
    return {
      onConnect,
      onCut: (connection, reason, message) => this.#tellCut(reason, whoIs(connection), message),
      onThrottled: (connection) => {
        this.#throttled.inc();
        const cure = "raise broker.limits.maxMessageRate if it has so much to say";
        this.#parts.throttle.warn(
          `throttled ${connection.address}`,
          { ...whoIs(connection), clientId: connection.connect?.clientId.slice(0, 200), cure },
          "a client sends faster than it may and is read more slowly",
        );
      },
      monoMs: this.#parts.monoMs,
    };
  }

  #tellCut(reason: string, who: object, detail: string): void {
    this.#countCut(reason);
    const cure = CURES[reason];
    const fields = { ...who, reason, detail, ...(cure !== undefined && { cure }) };
    this.#parts.throttle.warn(`cut ${reason}`, fields, "connection cut");
  }

  #countCut(reason: string): void {
    this.#cutCount += 1;
    this.#cuts.inc({ reason });
  }
}
