import { randomInt } from "node:crypto";
import { connect, type Socket } from "node:net";
import { messageOf, NotConnectedError } from "../../../gateway/core/errors.ts";
import type { TcpTransport } from "../options.ts";
import { withCrc } from "../wire.ts";
import { type CountFrame, match, StrictPort } from "./port.ts";

/** Transaction, protocol, length (MODBUS Messaging on TCP/IP V1.0b, 3.1.3); the unit follows and counts as content. */
const HEADER = 6;
/** Unit, function and one byte; unit and the largest PDU of 253 bytes. */
const LEAST = 3;
const MOST = 254;
const KEEP_ALIVE_MS = 10_000;
/** So many answers may be owed before the far side counts as mad. */
const MAX_RETIRED = 256;

/**
 * Modbus TCP. Every question has its own transaction id of 16 bits, which is not used again while its answer may still
 * come; an answer is taken only with the id, unit, function and length of the question. A header that cannot be right
 * means the place in the stream is lost: the connection is closed.
 */
export class TcpPort extends StrictPort {
  readonly #target: TcpTransport;
  #socket: Socket | undefined;
  #received: Buffer = Buffer.alloc(0);
  #id = randomInt(0x10000);
  readonly #retired = new Set<number>();

  constructor(target: TcpTransport, count: CountFrame) {
    super(count);
    this.#target = target;
  }

  open(callback: (error?: Error | null) => void): void {
    const { host, port } = this.#target;
    const socket = connect({ host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS });
    this.#socket = socket;
    let failure: Error | undefined;
    let opened = false;
    socket.once("connect", () => {
      opened = true;
      this.isOpen = true;
      callback();
    });
    socket.on("data", (chunk) => this.#take(chunk));
    socket.on("error", (error) => {
      failure = error;
    });
    socket.once("close", () => {
      const reason = new NotConnectedError(failure ? messageOf(failure) : "the connection was closed", {
        cause: failure,
      });
      if (this.#received.length > 0) this.count("truncated");
      this.ended(reason);
      if (!opened) callback(reason);
    });
    // A far side that says it will send no more will not answer either.
    socket.once("end", () => socket.destroy());
  }

  close(callback: () => void): void {
    const socket = this.#socket;
    this.isOpen = false;
    if (!socket || socket.closed) {
      this.ended(new NotConnectedError("closed"));
      callback();
      return;
    }
    socket.once("close", () => callback());
    socket.destroy();
  }

  write(frame: Buffer): void {
    do this.#id = (this.#id + 1) & 0xffff;
    while (this.#retired.has(this.#id));
    const body = frame.subarray(0, -2);
    const header = Buffer.alloc(HEADER);
    header.writeUInt16BE(this.#id, 0);
    header.writeUInt16BE(body.length, 4);
    this.#socket?.write(Buffer.concat([header, body]));
  }

  forget(): undefined {
    if (!this.question) return;
    this.question = undefined;
    this.#retired.add(this.#id);
    if (this.#retired.size > MAX_RETIRED) this.#give("too many questions without an answer");
  }

  confusedMs(): number {
    return 0;
  }

  #take(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    while (this.isOpen && this.#received.length >= HEADER) {
      const length = this.#received.readUInt16BE(4);
      if (this.#received.readUInt16BE(2) !== 0 || length < LEAST || length > MOST) {
        this.#received = Buffer.alloc(0);
        this.count("framing");
        this.#give("the far side does not send Modbus TCP frames");
        return;
      }
      if (this.#received.length < HEADER + length) return;
      const id = this.#received.readUInt16BE(0);
      const body = this.#received.subarray(HEADER, HEADER + length);
      this.#received = this.#received.subarray(HEADER + length);
      this.#sort(id, body);
    }
  }

  #sort(id: number, body: Buffer): void {
    if (this.#retired.delete(id)) {
      this.count("late");
      return;
    }
    if (!this.question || id !== this.#id) {
      this.count("foreign");
      return;
    }
    const found = match(this.question, body);
    if (found === "foreign") this.count("foreign");
    else if (found === "malformed") this.fail("the answer does not have the length of what was asked");
    else this.settle(withCrc(body), found);
  }

  #give(reason: string): void {
    this.ended(new NotConnectedError(reason));
    this.#socket?.destroy();
  }
}
