import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";

/** A link to a server that can be cut: every connection over it ends at once, and none begins while it is down. */
export class Cutter {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #target: number;
  #down = false;
  cuts = 0;

  constructor(target: number) {
    this.#target = target;
    this.#server = createServer((socket) => this.#join(socket));
  }

  async listen(): Promise<number> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    return address.port;
  }

  cut(): void {
    this.#down = true;
    if (this.#sockets.size > 0) this.cuts++;
    for (const socket of this.#sockets) socket.destroy();
  }

  mend(): void {
    this.#down = false;
  }

  async stop(): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, "close");
  }

  #join(socket: Socket): void {
    this.#keep(socket);
    if (this.#down) {
      socket.destroy();
      return;
    }
    const far = connect(this.#target, "127.0.0.1");
    this.#keep(far);
    socket.pipe(far);
    far.pipe(socket);
    socket.on("close", () => far.destroy());
    far.on("close", () => socket.destroy());
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.setNoDelay(true);
    socket.on("error", () => {});
    socket.on("close", () => this.#sockets.delete(socket));
  }
}
