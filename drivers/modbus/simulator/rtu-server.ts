import type { SerialTransport } from "../options.ts";
import { SerialLine } from "../ports/serial-line.ts";
import { crcFits, silenceMs } from "../wire.ts";
import { ModbusServer, type SimulatedUnit } from "./server.ts";
import { asciiWire, rtuWire, type ServerWire } from "./wires.ts";

/** An operating system does not deliver silences of milliseconds; what is older than this is another frame. */
const LEAST_IDLE_MS = 20;

/** A Modbus RTU or ASCII server on a serial port. Answers only what has a right checksum. */
export class SimulatedRtuServer extends ModbusServer {
  readonly #transport: SerialTransport;
  readonly #wire: ServerWire;
  #line: SerialLine | undefined;
  #received: Buffer = Buffer.alloc(0);
  #idle: NodeJS.Timeout | undefined;

  constructor(transport: SerialTransport, units: readonly SimulatedUnit[]) {
    super(units);
    this.#transport = transport;
    this.#wire = transport.type === "ascii" ? asciiWire : rtuWire;
  }

  get address(): string {
    return this.#transport.path;
  }

  /** @throws NotConnectedError when the port cannot be opened. */
  async start(): Promise<void> {
    this.#line = new SerialLine(this.#transport, { data: (chunk) => this.#take(chunk), closed: () => {} });
    await this.#line.open();
  }

  /** Idempotent, never rejects. */
  async stop(): Promise<void> {
    this.dropLater();
    clearTimeout(this.#idle);
    await this.#line?.close();
  }

  /** Puts bytes on the line that nobody asked for. */
  say(bytes: Buffer): void {
    this.#line?.write(bytes);
  }

  #take(chunk: Buffer): void {
    clearTimeout(this.#idle);
    const { questions, rest } = this.#wire.cut(Buffer.concat([this.#received, chunk]));
    this.#received = rest;
    for (const question of questions) this.#answer(question);
    if (rest.length > 0 && this.#wire === rtuWire) {
      this.#idle = setTimeout(() => this.#silence(), Math.max(LEAST_IDLE_MS, silenceMs(this.#transport)));
    }
  }

  /** A frame of a function that is not known here ends with the silence. */
  #silence(): void {
    const frame = this.#received;
    this.#received = Buffer.alloc(0);
    if (frame.length >= 4 && crcFits(frame)) this.#answer(frame);
  }

  #answer(question: Buffer): void {
    const frame = (body: Buffer) => this.#wire.frame(question, body);
    this.handle(question, this.#wire.bodyOf(question), frame, (chunk) => this.#line?.write(chunk));
  }
}
