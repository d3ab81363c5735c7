import { createSocket, type Socket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { messageOf, NotConnectedError } from "../../../gateway/core/errors.ts";
import type { Ends } from "../../../gateway/core/recording.ts";
import type { Channel, ChannelEvents } from "./channel.ts";

/** A UDP socket that hears one far side only. `data` gives whole datagrams. */
export class UdpChannel implements Channel {
  readonly #host: string;
  readonly #port: number;
  readonly #events: ChannelEvents;
  #socket: Socket | undefined;
  #failure: Error | undefined;
  #closing: Promise<void> | undefined;

  constructor(target: { readonly host: string; readonly port: number }, events: ChannelEvents) {
    this.#host = target.host;
    this.#port = target.port;
    this.#events = events;
  }

  async open(): Promise<void> {
    const { address, family } = await this.#lookUp();
    if (this.#closing !== undefined) throw new NotConnectedError("closed");
    const socket = createSocket(family === 6 ? "udp6" : "udp4");
    this.#socket = socket;
    socket.on("message", (datagram) => this.#events.data(datagram));
    return await new Promise((resolve, reject) => {
      socket.once("connect", () => resolve());
      socket.on("error", (error) => this.#fail(error));
      socket.once("close", () => {
        const cause = this.#failure;
        const reason = new NotConnectedError(cause ? messageOf(cause) : "the socket was closed", { cause });
        this.#events.closed(reason);
        reject(reason);
      });
      socket.connect(this.#port, address);
    });
  }

  write(bytes: Buffer): void {
    // The error of a far side that is not there comes with the next datagram.
    if (this.#closing === undefined) this.#socket?.send(bytes, (error) => error && this.#fail(error));
  }

  ends(): Ends | undefined {
    if (!this.#socket || this.#closing !== undefined) return undefined;
    return { local: this.#socket.address(), remote: this.#socket.remoteAddress() };
  }

  close(): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      if (!this.#socket) {
        resolve();
        return;
      }
      this.#socket.once("close", () => resolve());
      this.#socket.close();
    });
    return this.#closing;
  }

  async #lookUp(): Promise<{ readonly address: string; readonly family: number }> {
    try {
      return await lookup(this.#host);
    } catch (error) {
      throw new NotConnectedError(messageOf(error), { cause: error });
    }
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    void this.close();
  }
}
