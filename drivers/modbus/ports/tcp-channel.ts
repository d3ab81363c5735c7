import { connect, type Socket } from "node:net";
import { messageOf, NotConnectedError } from "../../../gateway/core/errors.ts";
import type { Channel, ChannelEvents } from "./channel.ts";

const KEEP_ALIVE_MS = 10_000;

/** A TCP connection. */
export class TcpChannel implements Channel {
  readonly #host: string;
  readonly #port: number;
  readonly #events: ChannelEvents;
  #socket: Socket | undefined;

  constructor(target: { readonly host: string; readonly port: number }, events: ChannelEvents) {
    this.#host = target.host;
    this.#port = target.port;
    this.#events = events;
  }

  open(): Promise<void> {
    return new Promise((resolve, reject) => {
      const socket = connect({
        host: this.#host,
        port: this.#port,
        noDelay: true,
        keepAlive: true,
        keepAliveInitialDelay: KEEP_ALIVE_MS,
      });
      this.#socket = socket;
      let failure: Error | undefined;
      socket.once("connect", () => resolve());
      socket.on("data", (chunk) => this.#events.data(chunk));
      socket.on("error", (error) => {
        failure = error;
      });
      socket.once("close", () => {
        const reason = new NotConnectedError(failure ? messageOf(failure) : "the connection was closed", {
          cause: failure,
        });
        this.#events.closed(reason);
        reject(reason);
      });
      // A far side that says it will send no more will not answer either.
      socket.once("end", () => socket.destroy());
    });
  }

  write(bytes: Buffer): void {
    this.#socket?.write(bytes);
  }

  close(): Promise<void> {
    const socket = this.#socket;
    if (!socket || socket.closed) return Promise.resolve();
    return new Promise((resolve) => {
      socket.once("close", () => resolve());
      socket.destroy();
    });
  }
}
