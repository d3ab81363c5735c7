import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo } from "node:net";
import { resolve as resolvePath } from "node:path";
import { ConfigError, messageOf } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import { type Counter, type Metrics, noMetrics } from "../core/metrics.ts";
import type { HttpOptions } from "../core/options/http.ts";
import { type Asset, readAssets } from "./assets.ts";
import { isKnownHost, isLocal, securityHeaders } from "./security.ts";

/** Whether the process does its work: its queue takes records. An upstream that is away is not ill health. */
export interface Health {
  readonly ok: boolean;
  /** Why not, fit for a person; empty when `ok`. */
  readonly reasons: readonly string[];
}

export interface HttpServerOptions {
  readonly options: HttpOptions;
  /** What file names of the options are relative to. */
  readonly folder?: string;
  readonly log: Logger;
  /** Prometheus' text format 0.0.4. */
  readonly metricsText: () => Promise<string>;
  readonly health: () => Health;
  /** JSON for `millrace status`. */
  readonly status: () => unknown;
  /** JSON for `millrace requests`: what is asked of each device, how long it takes, and what was learnt. */
  readonly plan: () => unknown;
  readonly metrics?: Metrics;
  /** Whether every part has started. */
  readonly ready?: () => Health;
  /** Everything under /api/v1; never rejects. */
  readonly api?: {
    answer(request: IncomingMessage, response: ServerResponse, signal: AbortSignal): Promise<void>;
  };
  /** Whether whoever asks from elsewhere may see health, metrics, status and plan. */
  readonly mayRead?: (request: IncomingMessage) => Promise<boolean>;
  /** Folder of the dashboard. */
  readonly assets?: string;
  /** Times in milliseconds, where they are others than the usual ones. */
  readonly times?: Partial<Pick<typeof LIMITS, "headersTimeout" | "requestTimeout" | "connectionsCheckingInterval">>;
}

interface Answer {
  readonly code: number;
  readonly type: string;
  readonly body: string | Buffer;
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
};
const MAX_CONNECTIONS = 64;
const MAX_REQUESTS_PER_CONNECTION = 1_000;

/** A connection on which nothing moves for so long is ended, in the middle of an answer too. */
const IDLE_MS = 60_000;
const API = "/api/";

/**
 * The dashboard, its API, health, metrics and status. Plain on loopback, TLS elsewhere; only under names that are its own (DNS
 * rebinding). Health, metrics, status and plan are for whoever is on this machine, and otherwise for who is logged in.
 */
export class HttpServer {
  readonly #given: HttpServerOptions;
  #server: Server | undefined;
  #assets: ReadonlyMap<string, Asset> = new Map();
  #stopped = new AbortController();
  readonly #requests: Counter;

  constructor(given: HttpServerOptions) {
    this.#given = given;
    const { metrics = noMetrics } = given;
    this.#requests = metrics.counter("millrace_http_requests_total", "HTTP requests answered, by class of status.", [
      "status",
    ]);
  }

  /** @throws ConfigError when the address cannot be used. */
  async start(): Promise<void> {
    const { options, log, assets } = this.#given;
    if (assets !== undefined) this.#assets = await readAssets(assets);
    this.#stopped = new AbortController();
    const server = await this.#create((request, response) => {
      response.once("finish", () => this.#requests.inc({ status: `${Math.floor(response.statusCode / 100)}xx` }));
      this.#handle(request, response).catch((error: unknown) => {
        log.error({ error: messageOf(error), url: request.url }, "http request failed");
        if (response.headersSent) response.destroy();
        else send(request, response, { code: 500, type: TEXT_TYPE, body: "internal error\n" });
      });
    });
    server.timeout = IDLE_MS;
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
    this.#stopped.abort(new DOMException("the gateway is stopping", "AbortError"));
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  }

  /** @throws ConfigError: the certificate cannot be used. */
  async #create(listener: (request: IncomingMessage, response: ServerResponse) => void): Promise<Server> {
    const { options, folder = ".", times } = this.#given;
    const limits = { ...LIMITS, ...times };
    if (!options.tls) return createServer(limits, listener);
    try {
      const cert = await readFile(resolvePath(folder, options.tls.cert));
      const key = await readFile(resolvePath(folder, options.tls.key));
      return createSecureServer({ ...limits, cert, key, minVersion: "TLSv1.2" }, listener);
    } catch (error) {
      throw new ConfigError(`http.tls: ${messageOf(error)}; name the PEM files of the certificate and its key`, {
        cause: error,
      });
    }
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { options, api } = this.#given;
    for (const [name, value] of Object.entries(securityHeaders(options.tls !== undefined)))
      response.setHeader(name, value);
    response.setHeader("Cache-Control", "no-store");
    if (api && request.url?.startsWith(API) && isKnownHost(request, options.hosts ?? [])) {
      const gone = new AbortController();
      response.once("close", () => gone.abort(new DOMException("whoever asked is gone", "AbortError")));
      return await api.answer(request, response, AbortSignal.any([gone.signal, this.#stopped.signal]));
    }
    request.resume();
    send(request, response, await this.#answer(request));
  }

  async #answer(request: IncomingMessage): Promise<Answer> {
    const { options, mayRead } = this.#given;
    if (!isKnownHost(request, options.hosts ?? [])) {
      const names = "127.0.0.1, [::1] or localhost, or one of http.hosts";
      return { code: 403, type: TEXT_TYPE, body: `only under its own name: ${names}\n` };
    }
    const path = (request.url ?? "").split("?", 1)[0] ?? "";
    const asset = this.#assets.get(path);
    const route = asset ? () => page(request, asset) : this.#route(path);
    if (!route) return { code: 404, type: TEXT_TYPE, body: NOT_HERE };
    if (request.method !== "GET" && request.method !== "HEAD") {
      return { code: 405, type: TEXT_TYPE, body: "only GET\n", headers: { Allow: "GET, HEAD" } };
    }
    if (!asset && !isLocal(request) && !((await mayRead?.(request)) ?? false)) {
      return { code: 401, type: TEXT_TYPE, body: "from elsewhere only with a token that has the scope read\n" };
    }
    return await route();
  }

  #route(path: string): (() => Answer | Promise<Answer>) | undefined {
    const { health, metricsText, status, plan, ready } = this.#given;
    if (path === "/plan") return () => ({ code: 200, type: JSON_TYPE, body: json(plan()) });
    if (path === "/status") return () => ({ code: 200, type: JSON_TYPE, body: json(status()) });
    if (path === "/metrics") return async () => ({ code: 200, type: METRICS_TYPE, body: await metricsText() });
    if (path === "/healthz") return () => healthAnswer(health());
    if (path === "/readyz" && ready) return () => healthAnswer(ready());
    return undefined;
  }
}

const NOT_HERE = "not here; there are /healthz, /readyz, /metrics, /status, /plan and /api/v1\n";

function healthAnswer(now: Health): Answer {
  return { code: now.ok ? 200 : 503, type: JSON_TYPE, body: json(now) };
}

function page(request: IncomingMessage, { type, body, tag }: Asset): Answer {
  const headers = { ETag: tag, "Cache-Control": "no-cache" };
  if (request.headers["if-none-match"] === tag) return { code: 304, type, body: "", headers };
  return { code: 200, type, body, headers };
}

function send(request: IncomingMessage, response: ServerResponse, answer: Answer): void {
  response.writeHead(answer.code, {
    "Content-Type": answer.type,
    "Content-Length": Buffer.byteLength(answer.body),
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
