import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { ConfigError, messageOf } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { HttpOptions } from "../core/options/http.ts";
import { isLoopbackHost } from "./host.ts";

/** Whether the process does its work: its queue takes records. An upstream that is away is not ill health. */
export interface Health {
  readonly ok: boolean;
  /** Why not, fit for a person; empty when `ok`. */
  readonly reasons: readonly string[];
}

export interface HttpServerOptions {
  readonly options: HttpOptions;
  readonly log: Logger;
  /** Prometheus' text format 0.0.4. */
  readonly metricsText: () => Promise<string>;
  readonly health: () => Health;
  /** JSON for `millrace status`. */
  readonly status: () => unknown;
}

interface Answer {
  readonly code: number;
  readonly type: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

const JSON_TYPE = "application/json; charset=utf-8";
const TEXT_TYPE = "text/plain; charset=utf-8";
const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";
const IN_USE = new Set(["EADDRINUSE", "EACCES", "EADDRNOTAVAIL", "ENOTFOUND", "EAI_AGAIN"]);
/** Slow and greedy clients: header and request within these times, this many connections, this much header. */
const LIMITS = {
  headersTimeout: 5_000,
  requestTimeout: 10_000,
  keepAliveTimeout: 5_000,
  connectionsCheckingInterval: 1_000,
  maxHeaderSize: 8_192,
} as const;
const MAX_CONNECTIONS = 64;
const MAX_REQUESTS_PER_CONNECTION = 1_000;

/** Health, metrics and status over HTTP, on loopback only and only under a loopback name (DNS rebinding). */
export class HttpServer {
  readonly #given: HttpServerOptions;
  #server: Server | undefined;

  constructor(given: HttpServerOptions) {
    this.#given = given;
  }

  /** @throws ConfigError when the address cannot be used. */
  async start(): Promise<void> {
    const { options, log } = this.#given;
    const server = createServer({ ...LIMITS }, (request, response) => {
      this.#handle(request, response).catch((error: unknown) => {
        log.error({ error: messageOf(error), url: request.url }, "http request failed");
        if (response.headersSent) response.destroy();
        else send(request, response, { code: 500, type: TEXT_TYPE, body: "internal error\n" });
      });
    });
    server.maxConnections = MAX_CONNECTIONS;
    server.maxRequestsPerSocket = MAX_REQUESTS_PER_CONNECTION;
    await new Promise<void>((resolve, reject) => {
      server.once("error", (error) => reject(startError(error, options)));
      server.listen({ host: options.host, port: options.port, exclusive: true }, resolve);
    });
    server.removeAllListeners("error");
    server.on("error", (error) => log.error({ error: messageOf(error) }, "http server error"));
    this.#server = server;
    log.info({ host: options.host, port: this.port }, "http listening");
  }

  /** The port it listens on; 0 before `start`. */
  get port(): number {
    const address: AddressInfo | string | null | undefined = this.#server?.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  /** Ends the connections too. Idempotent, never rejects. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (!server) return;
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    request.resume();
    send(request, response, await this.#answer(request));
  }

  async #answer(request: IncomingMessage): Promise<Answer> {
    if (!isLoopbackHost(request.headers.host)) {
      return { code: 403, type: TEXT_TYPE, body: "only under a loopback name: 127.0.0.1, [::1] or localhost\n" };
    }
    const route = this.#route((request.url ?? "").split("?", 1)[0] ?? "");
    if (!route) return { code: 404, type: TEXT_TYPE, body: "not here; there are /healthz, /metrics and /status\n" };
    if (request.method !== "GET" && request.method !== "HEAD") {
      return { code: 405, type: TEXT_TYPE, body: "only GET\n", headers: { Allow: "GET, HEAD" } };
    }
    return await route();
  }

  #route(path: string): (() => Answer | Promise<Answer>) | undefined {
    const { health, metricsText, status } = this.#given;
    if (path === "/status") return () => ({ code: 200, type: JSON_TYPE, body: json(status()) });
    if (path === "/metrics") return async () => ({ code: 200, type: METRICS_TYPE, body: await metricsText() });
    if (path !== "/healthz") return undefined;
    return () => {
      const now = health();
      return { code: now.ok ? 200 : 503, type: JSON_TYPE, body: json(now) };
    };
  }
}

function send(request: IncomingMessage, response: ServerResponse, answer: Answer): void {
  response.writeHead(answer.code, {
    "Content-Type": answer.type,
    "Content-Length": Buffer.byteLength(answer.body),
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    // A request with a body that nobody reads must not hold its connection.
    ...(request.method === "GET" || request.method === "HEAD" ? {} : { Connection: "close" }),
    ...answer.headers,
  });
  response.end(request.method === "HEAD" ? undefined : answer.body);
}

function json(value: unknown): string {
  return `${JSON.stringify(value, (_key, item: unknown) => (typeof item === "bigint" ? String(item) : item))}\n`;
}

function startError(error: Error, options: HttpOptions): Error {
  const code = "code" in error ? String(error.code) : "";
  if (!IN_USE.has(code)) return error;
  const what = code === "EADDRINUSE" ? "is in use by another program" : `cannot be used (${code})`;
  return new ConfigError(`http: ${options.host}:${options.port} ${what}; choose another http.port`, { cause: error });
}
