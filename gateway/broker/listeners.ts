import { once } from "node:events";
import { BlockList, createServer, isIP, type Server, type Socket } from "node:net";
import { ConfigError, messageOf } from "../core/errors.ts";
import type { BrokerOptions } from "../core/options/broker.ts";

export interface ListenerAddress {
  readonly host: string;
  readonly port: number;
}

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet("127.0.0.0", 8, "ipv4");
LOOPBACK.addAddress("::1", "ipv6");

const KEEPALIVE_MS = 60_000;

export function isLoopback(host: string): boolean {
  if (host.toLowerCase() === "localhost") return true;
  const family = isIP(host);
  return family !== 0 && LOOPBACK.check(host, family === 4 ? "ipv4" : "ipv6");
}

/** @throws ConfigError naming a listener that others than this machine could reach: clients are anonymous. */
export function checkListeners(options: BrokerOptions): void {
  for (const { host, port } of options.listeners) {
    if (!isLoopback(host)) throw notLoopback(host, port);
  }
}

/** The open TCP listeners of the broker. A refused or failed connection never raises an error here. */
export class Listeners {
  readonly #servers: Server[] = [];

  get addresses(): ListenerAddress[] {
    return this.#servers.flatMap((server) => {
      const address = server.address();
      return address !== null && typeof address === "object" ? [{ host: address.address, port: address.port }] : [];
    });
  }

  /**
   * Opens all of them, or none.
   * @throws ConfigError naming the one that cannot be opened.
   */
  async open(options: BrokerOptions, accept: (socket: Socket) => void, onDrop: () => void): Promise<void> {
    try {
      for (const { host, port } of options.listeners) {
        const server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEPALIVE_MS }, accept);
        server.maxConnections = options.limits.maxConnections;
        server.on("drop", onDrop);
        this.#servers.push(server);
        await listen(server, host, port);
      }
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /** Accepts no more. Resolves when every connection it accepted is closed: destroy them. Idempotent. */
  async close(): Promise<void> {
    const closing = this.#servers.splice(0).map((server) => closed(server));
    await Promise.all(closing);
  }
}

async function listen(server: Server, host: string, port: number): Promise<void> {
  try {
    server.listen({ host, port });
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
  if (address !== null && typeof address === "object" && !isLoopback(address.address)) throw notLoopback(host, port);
}

function notLoopback(host: string, port: number): ConfigError {
  return new ConfigError(
    `broker.listeners: ${host} port ${port} can be reached from other machines, and without users (not in this ` +
      "version) every client would be anonymous; set host to 127.0.0.1 or ::1",
  );
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    if (server.listening) server.close(() => resolve());
    else resolve();
  });
}
