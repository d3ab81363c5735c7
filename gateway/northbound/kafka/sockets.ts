import { isIP, type Socket, connect as tcpConnect } from "node:net";
import { type ConnectionOptions, connect as tlsConnect } from "node:tls";
import type { ISocketFactory } from "kafkajs";

const KEEP_ALIVE_MS = 30_000;

/** Every socket of one client, so that they can be ended at once: the library itself waits for answers first. */
export class Sockets {
  readonly #tls: ConnectionOptions | undefined;
  readonly #open = new Set<Socket>();
  #closed: Error | undefined;

  /** @param tls options of TLS; absent: without. */
  constructor(tls: ConnectionOptions | undefined) {
    this.#tls = tls;
  }

  get factory(): ISocketFactory {
    return ({ host, port, onConnect }) => {
      if (this.#closed) throw this.#closed;
      const socket =
        this.#tls === undefined
          ? tcpConnect({ host, port })
          : tlsConnect({ ...this.#tls, ...named(this.#tls, host), host, port });
      socket.once(this.#tls === undefined ? "connect" : "secureConnect", onConnect);
      socket.setKeepAlive(true, KEEP_ALIVE_MS);
      socket.setNoDelay(true);
      this.#open.add(socket);
      socket.on("error", () => {});
      socket.once("close", () => this.#open.delete(socket));
      return socket;
    };
  }

  /** What waits for an answer fails with `error`, and no new one is opened. */
  destroy(error: Error): void {
    this.#closed ??= error;
    for (const socket of this.#open) socket.destroy(error);
  }
}

function named({ servername }: ConnectionOptions, host: string): { servername?: string } {
  if (servername !== undefined) return { servername };
  return isIP(host) ? {} : { servername: host };
}
