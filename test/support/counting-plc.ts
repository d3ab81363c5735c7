import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";

/** A Modbus TCP device that holds 100 holding registers and counts what is written to register 0 and 1 (a uint32). */
export class CountingPlc {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly registers = new Uint16Array(100);
  /** How often each number was written. */
  readonly written = new Map<number, number>();
  /** Connections there have been. */
  connections = 0;
  /** Milliseconds before an answer leaves. */
  delayMs: () => number = () => 0;

  constructor() {
    this.#server = createServer((socket) => this.#serve(socket));
  }

  async listen(): Promise<number> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    return address.port;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    this.connections++;
    socket.on("error", () => {});
    socket.on("close", () => this.#sockets.delete(socket));
    let rest = Buffer.alloc(0);
    socket.on("data", (chunk) => {
      rest = Buffer.concat([rest, chunk]);
      while (rest.length >= 6 && rest.length >= 6 + rest.readUInt16BE(4)) {
        const length = 6 + rest.readUInt16BE(4);
        const answer = this.#answer(rest.subarray(0, length));
        rest = rest.subarray(length);
        setTimeout(() => socket.writable && socket.write(answer), this.delayMs());
      }
    });
  }

  #answer(frame: Buffer): Buffer {
    const code = frame.readUInt8(7);
    const address = frame.length < 10 ? 0 : frame.readUInt16BE(8);
    const count = frame.length < 12 ? 0 : frame.readUInt16BE(10);
    if (code === 3 && address + count <= this.registers.length) {
      const pdu = Buffer.alloc(2 + count * 2);
      pdu.writeUInt8(3, 0);
      pdu.writeUInt8(count * 2, 1);
      for (let n = 0; n < count; n++) pdu.writeUInt16BE(this.registers[address + n] ?? 0, 2 + n * 2);
      return framed(frame, pdu);
    }
    if (code === 16 && address + count <= this.registers.length) {
      for (let n = 0; n < count; n++) this.registers[address + n] = frame.readUInt16BE(13 + n * 2);
      if (address === 0 && count >= 2) {
        const number = frame.readUInt32BE(13);
        this.written.set(number, (this.written.get(number) ?? 0) + 1);
      }
      return framed(frame, frame.subarray(7, 12));
    }
    if (code === 6 && address < this.registers.length) {
      this.registers[address] = count;
      return framed(frame, frame.subarray(7, 12));
    }
    return framed(frame, Buffer.of(code | 0x80, 2));
  }
}

function framed(question: Buffer, pdu: Buffer): Buffer {
  const head = Buffer.alloc(7);
  question.copy(head, 0, 0, 4);
  head.writeUInt16BE(pdu.length + 1, 4);
  head.writeUInt8(question.readUInt8(6), 6);
  return Buffer.concat([head, pdu]);
}
