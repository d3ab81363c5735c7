import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ErrandDesk } from "../core/errand.ts";
import { ConfigError, messageOf, StorageError } from "../core/errors.ts";
import { exportLines, type Inspector, type RecordQuery, type StoredEntry } from "../core/inspect.ts";
import type { Logger } from "../core/log.ts";
import { STREAMS } from "../core/record.ts";
import type { SupportFile } from "../core/support.ts";
import { answerErrand, ERRANDS } from "./control-errands.ts";
import { answerRecord, type RecordSource } from "./control-record.ts";
import { answerReload, type ReloadSource } from "./control-reload.ts";
import { listenControl, removeControl } from "./control-socket.ts";

export interface ControlServerOptions {
  readonly dataDir: string;
  readonly gatewayId: string;
  readonly inspector: () => Inspector;
  /** A record as one line of JSON. */
  readonly encode: (entry: StoredEntry) => string;
  /** The flight recorder. */
  readonly recorder?: RecordSource;
  readonly log: Logger;
  /** Absent where there are no lines to read from. */
  readonly errands?: ErrandDesk;
  /** JSON of `GET /status` and `GET /plan`, as the HTTP port has them. */
  readonly status?: () => unknown;
  readonly plan?: () => unknown;
  /** Absent where the configuration cannot be applied anew. */
  readonly reloads?: ReloadSource;
  readonly support?: () => Promise<SupportFile>;
}

const MAX_CONNECTIONS = 16;
const JSON_TYPE = "application/json; charset=utf-8";
const LINES_TYPE = "application/x-ndjson; charset=utf-8";

/**
 * The control socket: what `millrace queue`, `read`, `write`, `guess` and `record` ask of a running gateway. HTTP over a Unix socket that only the gateway's own
 * user can open. `GET /queue/stats`, `GET /queue/records`, `POST /queue/forget`, `POST /queue/snapshot`, `GET /record/links`,
 * `GET /record`, `GET /status`, `GET /plan`, `GET /support`, `POST /reload`, `GET /reload`, and `/lines/`; errors are `{"error","code"}`.
 */
export class ControlServer {
  readonly #given: ControlServerOptions;
  readonly #stopped = new AbortController();
  #server: Server | undefined;
  #path = "";

  constructor(given: ControlServerOptions) {
    this.#given = given;
  }

  /** @throws ConfigError when the socket cannot be made. */
  async start(): Promise<void> {
    const { dataDir, log } = this.#given;
    const server = createServer({ headersTimeout: 5_000, requestTimeout: 10_000 }, (request, response) => {
      if (!request.url?.startsWith(ERRANDS)) request.resume();
      this.#answer(request, response).catch((error: unknown) => fail(response, error, log));
    });
    server.maxConnections = MAX_CONNECTIONS;
    this.#path = await listenControl(server, dataDir);
    server.on("error", (error) => log.error({ error: messageOf(error) }, "control socket error"));
    this.#server = server;
    log.info({ path: this.#path }, "control socket listening");
  }

  /** Ends the connections too. Idempotent, never rejects. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (!server) return;
    this.#stopped.abort(new StorageError("the gateway is stopping"));
    await removeControl(this.#given.dataDir, this.#path);
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { errands } = this.#given;
    if (errands && request.url?.startsWith(ERRANDS)) {
      const signal = AbortSignal.any([this.#stopped.signal, closed(response)]);
      const { status, body } = await answerErrand(errands, request, signal);
      send(response, status, body);
      return;
    }
    const url = new URL(request.url ?? "/", "http://control");
    const route = `${request.method} ${url.pathname}`;
    if (route === "GET /queue/stats") return await this.#stats(response);
    if (route === "GET /queue/records") return await this.#records(url.searchParams, response);
    if (route === "POST /queue/forget") return await this.#forget(url.searchParams, response);
    if (route === "POST /queue/snapshot") return await this.#snapshot(response);
    const { recorder, status, plan, reloads, support } = this.#given;
    if (route === "POST /reload" && reloads) return send(response, 200, await answerReload(reloads, url.searchParams));
    if (route === "GET /reload" && reloads) return send(response, 200, reloads.state);
    if (route === "GET /status" && status) return send(response, 200, status());
    if (route === "GET /plan" && plan) return send(response, 200, plan());
    if (route === "GET /support" && support) return sendFile(response, await support());
    if (route === "GET /record/links" && recorder) return send(response, 200, { links: recorder.status() });
    if (route === "GET /record" && recorder) {
      const signal = AbortSignal.any([this.#stopped.signal, closed(response)]);
      return await answerRecord(recorder, url.searchParams, response, signal);
    }
    send(response, 404, { error: `there is no ${route}`, code: "MILLRACE_USAGE" });
  }

  async #stats(response: ServerResponse): Promise<void> {
    const { inspector, gatewayId } = this.#given;
    send(response, 200, { gateway: gatewayId, ...(await inspector().stats()) });
  }

  async #records(params: URLSearchParams, response: ServerResponse): Promise<void> {
    const { inspector, encode } = this.#given;
    const query = queryOf(params);
    const look = inspector();
    // An unknown uplink is an answer, not a broken stream.
    look.count(query);
    const signal = AbortSignal.any([this.#stopped.signal, closed(response)]);
    response.writeHead(200, { "Content-Type": LINES_TYPE });
    const lines = Readable.from(exportLines(look, query, encode, signal), { objectMode: true, highWaterMark: 1 });
    await pipeline(lines, response);
  }

  async #forget(params: URLSearchParams, response: ServerResponse): Promise<void> {
    const { inspector, log } = this.#given;
    const done = await inspector().forget(params.get("uplink") ?? "", params.get("yes") === "1");
    log.warn({ ...done }, "uplink forgotten");
    send(response, 200, done);
  }

  /** The snapshot lives for as long as the connection does. */
  async #snapshot(response: ServerResponse): Promise<void> {
    const { close, ...snapshot } = await this.#given.inspector().snapshot();
    const gone = AbortSignal.any([this.#stopped.signal, closed(response)]);
    try {
      response.writeHead(200, { "Content-Type": LINES_TYPE });
      response.write(`${JSON.stringify(snapshot)}\n`);
      await aborted(gone);
    } finally {
      await close();
      response.end();
    }
  }
}

/** @throws ConfigError. */
function queryOf(params: URLSearchParams): RecordQuery {
  const stream = STREAMS.find((name) => name === params.get("stream"));
  if (params.has("stream") && stream === undefined) throw new ConfigError("stream is events or telemetry");
  const uplink = params.get("uplink") ?? undefined;
  return {
    ...(uplink === undefined ? {} : { uplink }),
    ...(stream === undefined ? {} : { stream }),
    ...numberOf(params, "from"),
    ...numberOf(params, "to"),
    ...numberOf(params, "limit"),
  };
}

function numberOf<K extends string>(params: URLSearchParams, name: K): Partial<Record<K, number>> {
  const text = params.get(name);
  if (text === null) return {};
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new ConfigError(`${name} is a whole number from 1`);
  const found: Partial<Record<K, number>> = {};
  found[name] = value;
  return found;
}

function send(response: ServerResponse, code: number, body: unknown): void {
  const text = `${JSON.stringify(body, (_key, item: unknown) => (typeof item === "bigint" ? String(item) : item))}\n`;
  response.writeHead(code, { "Content-Type": JSON_TYPE, "Content-Length": Buffer.byteLength(text) });
  response.end(text);
}

function sendFile(response: ServerResponse, { name, bytes }: SupportFile): void {
  response.writeHead(200, {
    "Content-Type": "application/gzip",
    "Content-Length": bytes.length,
    "Content-Disposition": `attachment; filename="${name}"`,
  });
  response.end(bytes);
}

function fail(response: ServerResponse, error: unknown, log: Logger): void {
  if (response.headersSent) {
    // Whoever reads it misses the end, and knows.
    response.destroy();
    return;
  }
  const code = error instanceof ConfigError || error instanceof StorageError ? error.code : "MILLRACE_BUG";
  if (code === "MILLRACE_BUG") log.error({ error: messageOf(error) }, "control request failed");
  send(response, code === "MILLRACE_CONFIG" ? 409 : code === "MILLRACE_STORAGE" ? 503 : 500, {
    error: messageOf(error),
    code,
  });
}

/** Aborted when the other side has gone. */
function closed(response: ServerResponse): AbortSignal {
  const controller = new AbortController();
  response.once("close", () => controller.abort(new StorageError("the connection is closed")));
  return controller.signal;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
