import { once } from "node:events";
import { createServer, isIP, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { ConfigError, messageOf } from "../core/errors.ts";
import type { BrokerOptions, ListenerOptions } from "../core/options/broker.ts";
import type { Peer } from "./connection.ts";
import { isLoopback } from "./loopback.ts";
import { SecureLayer } from "./secure-layer.ts";
import { WebLayer } from "./web-layer.ts";

export interface ListenerAddress {
  readonly host: string;
  readonly port: number;
  /** Absent for plain TCP. */
  readonly type?: "tls" | "ws" | "wss";
}

/** Why a connection came to nothing before MQTT began. Also the label of the metric. */
export type ArrivalFault = "connect-timeout" | "tls" | "web";

export interface Arrivals {
  /** A TCP connection; false when there is no room. What is let in is told of as closed by its own 'close' event. */
  enter(socket: Socket): boolean;
  /** Its client logged in. */
  admitted(socket: Socket): void;
  /** MQTT may begin; the rest of the time that it has for its CONNECT, in milliseconds. */
  accept(stream: Duplex, peer: Peer, leftMs: number): void;
  /** It was destroyed. */
  failed(address: string, fault: ArrivalFault, message: string): void;
  /** The system was told to accept no more. */
  dropped(): void;
  monoMs(): number;
  /** An absolute path for a file of the configuration. */
  path(file: string): string;
  log(message: string, fields: object): void;
}

const KEEPALIVE_MS = 60_000;
/** Connections that wait to be accepted: beyond it the system lets everybody wait a second. */
const BACKLOG = 4096;

/** @throws ConfigError naming a listener that others than this machine could reach, where clients are anonymous. */
export function checkListeners(options: BrokerOptions): void {
  if (options.users.length > 0) return;
  for (const { host, port } of options.listeners) {
    if (!isLoopback(host)) throw notLoopback(host, port);
  }
}

interface Opened {
  readonly type: ListenerOptions["type"];
  readonly server: Server;
  readonly secure: SecureLayer | undefined;
  readonly web: WebLayer | undefined;
}

/** The open listeners of the broker. A refused or failed connection never raises an error here. */
export class Listeners {
  readonly #opened: Opened[] = [];

  get addresses(): ListenerAddress[] {
    return this.#opened.flatMap(({ server, type }) => {
      const address = server.address();
      if (address === null || typeof address !== "object") return [];
      return [{ host: address.address, port: address.port, ...(type !== "tcp" && { type }) }];
    });
  }

  /**
   * Opens all of them, or none.
   * @throws ConfigError naming the one that cannot be opened, or whose certificate cannot be used.
   */
  async open(options: BrokerOptions, arrivals: Arrivals): Promise<void> {
    try {
      for (const listener of options.listeners) await this.#open(listener, options, arrivals);
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /** Accepts no more. Resolves when every connection it accepted is closed: destroy them. Idempotent. */
  async close(): Promise<void> {
    const closing = this.#opened.splice(0).map(({ server, secure, web }) => {
      secure?.close();
      web?.close();
      return closed(server);
    });
    await Promise.all(closing);
  }

  async #open(listener: ListenerOptions, options: BrokerOptions, arrivals: Arrivals): Promise<void> {
    const { type, host, port } = listener;
    const { limits, users } = options;
    const secure = type === "tls" || type === "wss" ? new SecureLayer(listener, arrivals) : undefined;
    const web = type === "ws" || type === "wss" ? new WebLayer(listener, limits.maxPacket) : undefined;
    await secure?.load();
    const take = (socket: Socket) => arrive(socket, { secure, web, arrivals, timeoutMs: limits.connectTimeout });
    const server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEPALIVE_MS }, take);
    // With room for those that are told to go.
    server.maxConnections = limits.maxConnections + 100;
    server.on("drop", () => arrivals.dropped());
    this.#opened.push({ type, server, secure, web });
    await listen(server, host, port, users.length > 0);
  }
}

interface Layers {
  readonly secure: SecureLayer | undefined;
  readonly web: WebLayer | undefined;
  readonly arrivals: Arrivals;
  readonly timeoutMs: number;
}

/** From the TCP connection to a stream of MQTT, all of it within the time for CONNECT. */
function arrive(socket: Socket, { secure, web, arrivals, timeoutMs }: Layers): void {
  socket.on("error", () => {});
  const address = addressOf(socket);
  if (!arrivals.enter(socket)) {
    socket.destroy();
    return;
  }
  const deadline = arrivals.monoMs() + timeoutMs;
  let isOver = false;
  const end = () => {
    isOver = true;
    clearTimeout(timer);
  };
  const fail = (fault: ArrivalFault, message: string) => {
    if (isOver) return;
    end();
    arrivals.failed(address, fault, message);
    // What was answered leaves first.
    if (fault === "web" && !socket.destroyed) socket.destroySoon();
    else socket.destroy();
  };
  const timer = setTimeout(() => fail("connect-timeout", "no complete CONNECT in time"), timeoutMs);
  socket.once("close", end);
  const accept = (stream: Duplex, certificateUser: string | undefined) => {
    if (isOver) {
      stream.destroy();
      return;
    }
    end();
    const admitted = () => arrivals.admitted(socket);
    arrivals.accept(stream, { address, certificateUser, admitted }, Math.max(1, deadline - arrivals.monoMs()));
  };
  const upgrade = (stream: Duplex, certificateUser?: string) => {
    if (!web) accept(stream, certificateUser);
    else
      web.take(
        stream,
        (made) => accept(made, certificateUser),
        (message) => fail("web", message),
      );
  };
  if (secure) secure.take(socket, upgrade, (message) => fail("tls", message));
  else upgrade(socket);
}

/** IPv4 as such, IPv6 by its network: whoever has one address of it has them all. */
export function addressOf({ remoteAddress }: Socket): string {
  if (remoteAddress === undefined) return "unknown";
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(remoteAddress)?.[1];
  if (mapped !== undefined) return mapped;
  if (isIP(remoteAddress) !== 6 || isLoopback(remoteAddress)) return remoteAddress;
  return networkOf(remoteAddress);
}

function networkOf(address: string): string {
  const [head = "", tail] = (address.split("%")[0] ?? "").split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = tail === undefined ? 0 : 8 - left.length - right.length;
  const groups = [...left, ...Array.from({ length: Math.max(0, zeros) }, () => "0"), ...right];
  return `${groups.slice(0, 4).join(":")}::/64`;
}

async function listen(server: Server, host: string, port: number, hasUsers: boolean): Promise<void> {
  try {
    server.listen({ host, port, backlog: BACKLOG });
    await once(server, "listening");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    const cure = code === "EADDRINUSE" ? "another program listens there; stop it or choose another port" : "check it";
    throw new ConfigError(`broker.listeners: cannot listen on ${host} port ${port} (${messageOf(error)}): ${cure}`, {
      cause: error,
    });
  }
  // Later errors (out of file descriptors at accept) cost one connection, not the process.
  server.on("error", () => {});
  const address = server.address();
  const isOpen = address !== null && typeof address === "object" && !isLoopback(address.address);
  if (isOpen && !hasUsers) throw notLoopback(host, port);
}

function notLoopback(host: string, port: number): ConfigError {
  return new ConfigError(
    `broker.listeners: ${host} port ${port} can be reached from other machines, and without broker.users every client ` +
      "would be anonymous; add users, or set host to 127.0.0.1 or ::1",
  );
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    if (server.listening) server.close(() => resolve());
    else resolve();
  });
}
