import { createServer, type IncomingMessage, type Server } from "node:http";
import type { Duplex } from "node:stream";
import { createWebSocketStream, WebSocketServer } from "ws";
import type { ListenerOptions } from "../core/options/broker.ts";

const DEFAULT_PATH = "/mqtt";
const MAX_HEADER_BYTES = 8192;
/** Subprotocols by which MQTT 3.1.1 and 3.1 go [MQTT-6.0.0-3]. */
const PROTOCOLS = ["mqtt", "mqttv3.1"];

interface Waiting {
  done(stream: Duplex): void;
  failed(why: string): void;
}

/** Makes streams of the WebSockets that are opened on sockets that were let in. */
export class WebLayer {
  readonly #path: string;
  readonly #origins: ReadonlySet<string>;
  readonly #waiting = new WeakMap<Duplex, Waiting>();
  readonly #http: Server;
  readonly #sockets: WebSocketServer;

  constructor({ path = DEFAULT_PATH, origins }: Pick<ListenerOptions, "path" | "origins">, maxPacket: number) {
    this.#path = path;
    this.#origins = new Set(origins.map((origin) => origin.toLowerCase()));
    // It listens nowhere; time is kept by whoever gives it sockets.
    this.#http = createServer({ maxHeaderSize: MAX_HEADER_BYTES }, (request, response) => {
      response.writeHead(426, { connection: "close", "content-type": "text/plain" });
      response.end(`MQTT over WebSocket is at ${this.#path}\n`);
      this.#fail(request.socket, "an HTTP request that opens no WebSocket");
    });
    this.#http.on("upgrade", (request, socket, head) => this.#upgrade(request, socket, head));
    this.#http.on("clientError", (error, socket) => this.#fail(socket, error.message));
    this.#sockets = new WebSocketServer({
      noServer: true,
      perMessageDeflate: false,
      // One message may hold several packets, and they come out as they are.
      maxPayload: 2 * maxPacket,
      handleProtocols: (offered) => PROTOCOLS.find((one) => offered.has(one)) ?? false,
    });
    this.#sockets.on("wsClientError", (error, socket) => this.#fail(socket, error.message));
  }

  close(): void {
    this.#http.closeAllConnections();
  }

  /** Calls one of both, at most once. */
  take(socket: Duplex, done: Waiting["done"], failed: Waiting["failed"]): void {
    this.#waiting.set(socket, { done, failed });
    this.#http.emit("connection", socket);
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const refusal = this.#refusal(request);
    if (refusal) {
      socket.end(`HTTP/1.1 ${refusal.status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
      this.#fail(socket, refusal.why);
      return;
    }
    this.#sockets.handleUpgrade(request, socket, head, (opened) => {
      const stream = createWebSocketStream(opened);
      stream.on("error", () => {});
      const waiting = this.#waiting.get(socket);
      if (waiting) waiting.done(stream);
      else stream.destroy();
    });
  }

  /** Pages of other sites run in browsers that reach this machine, too. */
  #refusal({ url = "", headers }: IncomingMessage): { status: string; why: string } | undefined {
    const { origin } = headers;
    if (url.split("?")[0] !== this.#path) return { status: "404 Not Found", why: "another path" };
    if (origin !== undefined && !this.#origins.has(origin.toLowerCase())) {
      const why = `a page of ${origin.slice(0, 100)}; add it to origins of the listener if it may`;
      return { status: "403 Forbidden", why };
    }
    const offered = (headers["sec-websocket-protocol"] ?? "").split(",").map((one) => one.trim());
    if (PROTOCOLS.some((one) => offered.includes(one))) return undefined;
    return { status: "400 Bad Request", why: "it does not offer the subprotocol mqtt" };
  }

  #fail(socket: Duplex, why: string): void {
    this.#waiting.get(socket)?.failed(why);
  }
}
