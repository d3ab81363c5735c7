import { createServer, type Server, type Socket } from "node:net";
import { Aedes } from "aedes";
import type { Logger } from "../../core/log.ts";

/**
 * The broker that stands for the cloud: MQTT 3.1.1 on loopback. `down` is an outage of the way to it: nobody can
 * connect and who was connected is cut off, while its sessions live on.
 */
export class Upstream {
  readonly #log: Logger;
  readonly #sockets = new Set<Socket>();
  #broker: Aedes | undefined;
  #server: Server | undefined;
  #port = 0;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** The same over its whole life, once it was up. */
  get port(): number {
    return this.#port;
  }
  get isUp(): boolean {
    return this.#server !== undefined;
  }

  async up(): Promise<void> {
    if (this.#server) return;
    this.#broker ??= await this.#makeBroker();
    const broker = this.#broker;
    const server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      socket.on("error", () => {});
      socket.on("close", () => this.#sockets.delete(socket));
      broker.handle(socket);
    });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host: "127.0.0.1", port: this.#port }, resolve);
    });
    server.on("error", (error) => this.#log.warn({ error: error.message }, "upstream broker error"));
    const address = server.address();
    if (typeof address === "object" && address !== null) this.#port = address.port;
    this.#server = server;
  }

  /** Idempotent, never rejects. */
  async down(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (!server) return;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  /** For good. Idempotent, never rejects. */
  async stop(): Promise<void> {
    await this.down();
    const broker = this.#broker;
    this.#broker = undefined;
    if (broker) await new Promise<void>((resolve) => broker.close(() => resolve()));
  }

  async #makeBroker(): Promise<Aedes> {
    const broker = await Aedes.createBroker({ concurrency: 10_000, queueLimit: 1_000 });
    for (const event of ["clientError", "connectionError"] as const) broker.on(event, () => {});
    return broker;
  }
}
