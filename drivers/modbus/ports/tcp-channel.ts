import { connect, type Socket } from "node:net";
import { messageOf, NotConnectedError } from "../../../gateway/core/errors.ts";
import type { Ends } from "../../../gateway/core/recording.ts";
import type { Channel, ChannelEvents } from "./channel.ts";

const KEEP_ALIVE_MS = 10_000;
/** More than the answers to all questions that may be out at once. */
const READ_BYTES = 16_384;

export interface TcpTarget {
  readonly host: string;
  readonly port: number;
  /** What is written in one turn of the event loop goes out at once: for several questions one system call. */
  readonly gather?: boolean;
}

/** A TCP connection. */
export class TcpChannel implements Channel {
  readonly #target: TcpTarget;
  readonly #events: ChannelEvents;
  #socket: Socket | undefined;
  #gathering = false;
  #gathered: Buffer[] = [];

  constructor(target: TcpTarget, events: ChannelEvents) {
    this.#target = target;
    this.#events = events;
  }

  open(): Promise<void> {
    return new Promise((resolve, reject) => {
      const { host, port } = this.#target;
      const socket = connect({
        host,
        port,
        noDelay: true,
        keepAlive: true,
        keepAliveInitialDelay: KEEP_ALIVE_MS,
        // Past the stream, which costs more than what it carries; the buffer is used again, so what is handed on is a copy.
        onread: {
          buffer: Buffer.allocUnsafeSlow(READ_BYTES),
          callback: (bytes, buffer) => {
            this.#events.data(Buffer.from(buffer.subarray(0, bytes)));
            return true;
          },
        },
      });
      this.#socket = socket;
      let failure: Error | undefined;
      socket.once("connect", () => resolve());
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
    if (!this.#target.gather) {
      this.#socket?.write(bytes);
      return;
    }
    if (this.#gathering) {
      this.#gathered.push(bytes);
      return;
    }
    // The far side begins with the first while the others are made.
    this.#gathering = true;
    this.#socket?.write(bytes);
    queueMicrotask(() => {
      this.#gathering = false;
      if (this.#gathered.length === 0) return;
      const all = Buffer.concat(this.#gathered);
      this.#gathered = [];
      this.#socket?.write(all);
    });
  }

  ends(): Ends | undefined {
    const { localAddress, localPort, remoteAddress, remotePort } = this.#socket ?? {};
    if (localAddress === undefined || remoteAddress === undefined) return undefined;
    return {
      local: { address: localAddress, port: localPort ?? 0 },
      remote: { address: remoteAddress, port: remotePort ?? 0 },
    };
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
