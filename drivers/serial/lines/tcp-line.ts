import { connect, type Socket } from "node:net";
import { messageOf, NotConnectedError } from "../../../gateway/core/errors.ts";
import type { TcpTransport } from "../options.ts";
import type { Line, LineEvents } from "./line.ts";

/** The far side is asked whether it is there after so long; half a minute later it counts as gone. */
const KEEP_ALIVE_MS = 10_000;
const PEER = 0;

/** The raw TCP socket of a serial device server. */
export class TcpLine implements Line {
  readonly #target: TcpTransport;
  readonly #events: LineEvents;
  #socket: Socket | undefined;
  #closed = false;

  constructor(target: TcpTransport, events: LineEvents) {
    this.#target = target;
    this.#events = events;
  }

  open(): Promise<void> {
    if (this.#closed) return Promise.reject(new NotConnectedError("closed"));
    const { host, port } = this.#target;
    const socket = connect({ host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS });
    this.#socket = socket;
    let failure: Error | undefined;
    let opened = false;
    socket.on("data", (chunk) => this.#events.data(chunk, PEER));
    socket.on("error", (error) => {
      failure = error;
    });
    socket.once("end", () => socket.destroy());
    return new Promise((resolve, reject) => {
      socket.once("connect", () => {
        opened = true;
        resolve();
      });
      socket.once("close", () => {
        const message = failure ? messageOf(failure) : "the connection was closed";
        const reason = new NotConnectedError(message, { cause: failure });
        if (opened) this.#events.closed(reason);
        else reject(reason);
      });
    });
  }

  write(bytes: Buffer): void {
    this.#socket?.write(bytes);
  }

  close(): Promise<void> {
    this.#closed = true;
    const socket = this.#socket;
    if (!socket || socket.closed) return Promise.resolve();
    return new Promise((resolve) => {
      socket.once("close", () => resolve());
      socket.destroy();
    });
  }
}
