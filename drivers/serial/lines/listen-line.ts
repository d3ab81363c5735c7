import { BlockList, createServer, isIPv6, type Server, type Socket } from "node:net";
import { messageOf, NotConnectedError } from "../../../gateway/core/errors.ts";
import type { ListenTransport } from "../options.ts";
import type { Line, LineEvents } from "./line.ts";

const MAX_PEERS = 16;
const KEEP_ALIVE_MS = 10_000;

/** A TCP port that devices connect to by themselves. Whoever is not allowed is hung up on at once. */
export class ListenLine implements Line {
  readonly #transport: ListenTransport;
  readonly #events: LineEvents;
  readonly #refused: () => void;
  readonly #allowed: BlockList;
  readonly #sockets = new Map<number, Socket>();
  #server: Server | undefined;
  #peers = 0;
  #closed = false;

  /** `refused` is told of each connection that was not taken. */
  constructor(transport: ListenTransport, events: LineEvents, refused: () => void) {
    this.#transport = transport;
    this.#events = events;
    this.#refused = refused;
    this.#allowed = allowList(transport.allow);
  }

  /** Host and port it listens on, once it is open. */
  get address(): { readonly host: string; readonly port: number } {
    const address = this.#server?.address();
    const { host, port } = this.#transport;
    return { host, port: typeof address === "object" && address ? address.port : port };
  }

  open(): Promise<void> {
    if (this.#closed) return Promise.reject(new NotConnectedError("closed"));
    const server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS }, (socket) =>
      this.#greet(socket),
    );
    this.#server = server;
    const { host, port } = this.#transport;
    return new Promise((resolve, reject) => {
      server.once("error", (error) => reject(new NotConnectedError(messageOf(error), { cause: error })));
      server.listen(port, host, () => {
        server.on("error", () => {});
        server.once("close", () => this.#events.closed(new NotConnectedError("the port was closed")));
        resolve();
      });
    });
  }

  /** Says the same to everybody who is connected, or to `peer` alone. */
  write(bytes: Buffer, peer?: number): void {
    if (peer !== undefined) this.#sockets.get(peer)?.write(bytes);
    else for (const socket of this.#sockets.values()) socket.write(bytes);
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const socket of this.#sockets.values()) socket.destroy();
    const server = this.#server;
    if (!server?.listening) return;
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }

  #greet(socket: Socket): void {
    socket.on("error", () => {});
    if (this.#sockets.size >= MAX_PEERS || !this.#isAllowed(socket.remoteAddress)) {
      this.#refused();
      socket.destroy();
      return;
    }
    const peer = this.#peers++;
    this.#sockets.set(peer, socket);
    this.#events.joined?.(peer);
    socket.on("data", (chunk) => this.#events.data(chunk, peer));
    socket.once("end", () => socket.destroy());
    socket.once("close", () => {
      this.#sockets.delete(peer);
      this.#events.left(peer);
    });
  }

  #isAllowed(address: string | undefined): boolean {
    if (address === undefined) return false;
    const plain = address.replace(/^::ffff:(?=\d+\.)/, "");
    return this.#allowed.check(plain, isIPv6(plain) ? "ipv6" : "ipv4");
  }
}

function allowList(addresses: readonly string[]): BlockList {
  const list = new BlockList();
  list.addSubnet("127.0.0.0", 8, "ipv4");
  list.addAddress("::1", "ipv6");
  for (const address of addresses) list.addAddress(address, isIPv6(address) ? "ipv6" : "ipv4");
  return list;
}
