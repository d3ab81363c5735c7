import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { ModbusServer, type SimulatedUnit } from "./server.ts";
import { mbapWire } from "./wires.ts";

/** A Modbus UDP server. Datagrams that are not one whole question are not answered. */
export class SimulatedUdpServer extends ModbusServer {
  readonly #host: string;
  readonly #port: number;
  #socket: Socket | undefined;
  #bound = 0;

  /** @param port 0 takes a free one. */
  constructor(host: string, port: number, units: readonly SimulatedUnit[]) {
    super(units);
    this.#host = host;
    this.#port = port;
  }

  /** @throws what binding throws, such as EADDRINUSE. */
  async start(): Promise<void> {
    const socket = createSocket(this.#host.includes(":") ? "udp6" : "udp4");
    this.#socket = socket;
    socket.bind(this.#port, this.#host);
    await once(socket, "listening");
    this.#bound = socket.address().port;
    socket.on("error", () => {});
    socket.on("message", (datagram, from) => {
      const { questions, rest } = mbapWire.cut(datagram);
      const [question] = questions;
      if (!question || questions.length > 1 || rest.length > 0) return;
      const frame = (body: Buffer) => mbapWire.frame(question, body);
      this.handle(question, mbapWire.bodyOf(question), frame, (chunk) => {
        this.#socket?.send(chunk, from.port, from.address, () => {});
      });
    });
  }

  get address(): { readonly host: string; readonly port: number } {
    return { host: this.#host, port: this.#bound };
  }

  /** Idempotent, never rejects. */
  async stop(): Promise<void> {
    this.dropLater();
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket) await new Promise<void>((resolve) => socket.close(() => resolve()));
  }
}
