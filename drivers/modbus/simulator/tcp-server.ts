import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import { ModbusServer, type SimulatedUnit } from "./server.ts";

const HEADER = 6;
const MOST = 254;

/** A Modbus TCP server. */
export class SimulatedTcpServer extends ModbusServer {
  readonly #host: string;
  readonly #port: number;
  #server: Server | undefined;
  readonly #sockets = new Set<Socket>();

  /** @param port 0 takes a free one. */
  constructor(host: string, port: number, units: readonly SimulatedUnit[]) {
    super(units);
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
    let received = Buffer.alloc(0);
    this.#sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("data", (chunk) => {
      received = Buffer.concat([received, chunk]);
      while (received.length >= HEADER) {
        const length = received.readUInt16BE(4);
        if (received.readUInt16BE(2) !== 0 || length < 2 || length > MOST) {
          socket.destroy();
          return;
        }
        if (received.length < HEADER + length) return;
        const question = received.subarray(0, HEADER + length);
        received = received.subarray(HEADER + length);
        this.#answer(socket, question);
      }
    });
  }

  #answer(socket: Socket, question: Buffer): void {
    const frame = (body: Buffer) => {
      const header = Buffer.from(question.subarray(0, HEADER));
      header.writeUInt16BE(body.length, 4);
      return Buffer.concat([header, body]);
    };
    this.handle(question, question.subarray(HEADER), frame, (chunk) => {
      if (socket.writable) socket.write(chunk);
    });
  }
}
