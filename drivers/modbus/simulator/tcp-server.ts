import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import { ModbusServer, type SimulatedUnit } from "./server.ts";
import { mbapWire, type ServerWire } from "./wires.ts";

/** A Modbus server behind TCP: Modbus TCP, or what a serial device server makes of RTU and ASCII. */
export class SimulatedTcpServer extends ModbusServer {
  readonly #host: string;
  readonly #port: number;
  readonly #wire: ServerWire;
  #server: Server | undefined;
  readonly #sockets = new Set<Socket>();

  /** @param port 0 takes a free one. */
  constructor(host: string, port: number, units: readonly SimulatedUnit[], wire: ServerWire = mbapWire) {
    super(units);
    this.#wire = wire;
    this.#host = host;
    this.#port = port;
  }

  /** @throws what listening throws, such as EADDRINUSE. */
  async start(): Promise<void> {
    const server = createServer({ noDelay: true }, (socket) => this.#serve(socket));
    this.#server = server;
    server.listen(this.#port, this.#host);
    await once(server, "listening");
    server.on("error", () => {});
  }

  /** Host and port it listens on. */
  get address(): { readonly host: string; readonly port: number } {
    const address = this.#server?.address();
    const port = typeof address === "object" && address ? address.port : this.#port;
    return { host: this.#host, port };
  }

  get connections(): number {
    return this.#sockets.size;
  }

  /** Ends every connection, as a device does that restarts. */
  dropConnections(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Idempotent, never rejects. */
  async stop(): Promise<void> {
    this.dropLater();
    this.dropConnections();
    const server = this.#server;
    if (!server?.listening) return;
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }

  #serve(socket: Socket): void {
    let received: Buffer = Buffer.alloc(0);
    this.#sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("data", (chunk) => {
      const { questions, rest, broken } = this.#wire.cut(Buffer.concat([received, chunk]));
      received = rest;
      for (const question of questions) this.#answer(socket, question);
      if (broken) socket.destroy();
    });
  }

  #answer(socket: Socket, question: Buffer): void {
    const frame = (body: Buffer) => this.#wire.frame(question, body);
    this.handle(question, this.#wire.bodyOf(question), frame, (chunk) => {
      if (socket.writable) socket.write(chunk);
    });
  }
}
