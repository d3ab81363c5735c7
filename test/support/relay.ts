import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";

/** A TCP relay on loopback that can be cut, as a cable is, and that may look at what the client says. */
export class Relay {
  readonly #to: number;
  readonly #look: ((chunk: Buffer, connection: number) => void) | undefined;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  #server: Server | undefined;
  #port = 0;
  #connections = 0;

  constructor(to: number, look?: (chunk: Buffer, connection: number) => void) {
    this.#to = to;
    this.#look = look;
  }

  get port(): number {
    return this.#port;
  }
  get connections(): number {
    return this.#connections;
  }

  /** Takes connections, on the same port as before. */
  async open(): Promise<this> {
    const server = createServer((socket) => this.#relay(socket));
    this.#server = server;
    server.listen(this.#port, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    this.#port = address.port;
    return this;
  }

  /** Resets what is open. */
  cut(): void {
    for (const pair of this.#pairs) for (const socket of pair) socket.resetAndDestroy();
  }

  /** Cuts, and takes nobody any more. */
  async close(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    const closed = once(server, "close");
    server.close();
    this.cut();
    await closed;
  }

  #relay(near: Socket): void {
    const mine = ++this.#connections;
    const far = connect(this.#to, "127.0.0.1");
    const pair = [near, far] as const;
    this.#pairs.add(pair);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.setNoDelay(true);
      from.on("error", () => {});
      from.on("close", () => {
        to.destroy();
        this.#pairs.delete(pair);
      });
      from.pipe(to);
    }
    if (this.#look !== undefined) near.on("data", (chunk: Buffer) => this.#look?.(chunk, mine));
  }
}
