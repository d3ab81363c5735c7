import type { RtuTransport } from "../options.ts";
import { SerialLine } from "../ports/serial-line.ts";
import { crcFits, silenceMs, withCrc } from "../wire.ts";
import { ModbusServer, type SimulatedUnit } from "./server.ts";

const MAX_FRAME = 256;
/** An operating system does not deliver silences of milliseconds; what is older than this is another frame. */
const LEAST_IDLE_MS = 20;

/** A Modbus RTU server on a serial port. Answers only what has a right CRC. */
export class SimulatedRtuServer extends ModbusServer {
  readonly #transport: RtuTransport;
  #line: SerialLine | undefined;
  #received: Buffer = Buffer.alloc(0);
  #idle: NodeJS.Timeout | undefined;

  constructor(transport: RtuTransport, units: readonly SimulatedUnit[]) {
    super(units);
    this.#transport = transport;
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
    this.#received = Buffer.concat([this.#received, chunk]).subarray(-2 * MAX_FRAME);
    let at = 0;
    while (at < this.#received.length) {
      const length = lengthOf(this.#received.subarray(at));
      const frame = this.#received.subarray(at, at + length);
      if (frame.length === length && crcFits(frame)) {
        this.#received = this.#received.subarray(at + length);
        this.#answer(Buffer.from(frame));
        at = 0;
      } else {
        at++;
      }
    }
    if (this.#received.length > 0) {
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
    this.handle(question, question.subarray(0, -2), withCrc, (chunk) => this.#line?.write(chunk));
  }
}

/** Length of a question that begins here; more than there can be where that is not known. */
function lengthOf(bytes: Buffer): number {
  const code = bytes[1] ?? 0;
  if (code >= 1 && code <= 6) return 8;
  return code === 15 || code === 16 ? 9 + (bytes[6] ?? MAX_FRAME) : MAX_FRAME + 1;
}
