import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";

/** A far side that does with each question whatever a test says; questions are whole Modbus TCP frames. */
export class ScriptedServer {
  readonly questions: Buffer[] = [];
  connections = 0;
  #script: (question: Buffer, socket: Socket, index: number) => void;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(script: (question: Buffer, socket: Socket, index: number) => void) {
    this.#script = script;
    this.#server = createServer({ noDelay: true }, (socket) => {
      this.connections++;
      this.#sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => this.#sockets.delete(socket));
      socket.on("data", (chunk) => {
        for (let at = 0; at < chunk.length; at += 12) {
          const question = Buffer.from(chunk.subarray(at, at + 12));
          this.#script(question, socket, this.questions.push(question) - 1);
        }
      });
    });
  }
  async start(): Promise<number> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return this.port;
  }
  get port(): number {
    const address = this.#server.address();
    return typeof address === "object" && address ? address.port : 0;
  }
  get open(): number {
    return this.#sockets.size;
  }
  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** The right answer to a question for registers: each holds its own address. */
export function answerTo(question: Buffer): Buffer {
  const address = question.readUInt16BE(8);
  const count = question.readUInt16BE(10);
  const answer = Buffer.alloc(9 + 2 * count);
  question.copy(answer, 0, 0, 8);
  answer.writeUInt16BE(3 + 2 * count, 4);
  answer[8] = 2 * count;
  for (let index = 0; index < count; index++) answer.writeUInt16BE(address + index, 9 + 2 * index);
  return answer;
}

/** The same frame with a few bytes changed. */
export function changed(frame: Buffer, bytes: Readonly<Record<number, number>>): Buffer {
  const copy = Buffer.from(frame);
  for (const [at, byte] of Object.entries(bytes)) copy[Number(at)] = byte;
  return copy;
}
