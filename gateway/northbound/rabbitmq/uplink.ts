import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import type { ChannelModel, ConfirmChannel } from "amqplib";
import { ConfigError, messageOf, NotConnectedError } from "../../core/errors.ts";
import { formatDuration } from "../../core/options/units.ts";
import type { Outgoing, Uplink, UplinkContext, UplinkLimits, Verdict } from "../../core/uplink.ts";
import type { ServerList } from "../mqtt/servers.ts";
import { monotonicMs } from "../pause.ts";
import { Connection } from "./connection.ts";
import { Inbound } from "./inbound.ts";
import { placeOf, type RabbitOptions } from "./options.ts";
import { faultOf } from "./reasons.ts";

const CLOSED = "the uplink is closed";
/** The connection watches for itself, because it does not count the time in which the server is blocked. */
const NEVER_MS = 86_400_000;
const AGAIN_MS = 1000;
const QUEUE_AGAIN_MS = 30_000;
/** With `declare`: what the queue is bound to. */
const EVERYTHING = "#";

/**
 * RabbitMQ by AMQP 0-9-1 (amqplib, loaded when it is first needed): persistent, mandatory messages on a channel in confirm
 * mode. The server's own reconnection is not used: that is the forwarder's.
 */
export class RabbitUplink implements Uplink {
  readonly #options: RabbitOptions;
  readonly #context: UplinkContext;
  readonly #servers: ServerList;
  #connection: Connection | undefined;
  #attempt: AbortController | undefined;
  #closed = false;
  #notice: string | undefined;

  constructor(options: RabbitOptions, context: UplinkContext, servers: ServerList) {
    this.#options = options;
    this.#context = context;
    this.#servers = servers;
  }

  async connect(onLost: (error: Error) => void, signal: AbortSignal): Promise<UplinkLimits> {
    if (this.#closed) throw new NotConnectedError(CLOSED);
    signal.throwIfAborted();
    const failures: Error[] = [];
    for (const url of this.#servers.order()) {
      try {
        return await this.#connectTo(url, onLost, signal);
      } catch (error) {
        if (signal.aborted || this.#closed || !(error instanceof Error)) throw error;
        failures.push(error);
      }
    }
    throw failures.find((error) => error instanceof NotConnectedError) ?? failures[0] ?? new NotConnectedError(CLOSED);
  }

  send(batch: readonly Outgoing[], verdict: (index: number, v: Verdict) => void, signal: AbortSignal): Promise<void> {
    if (this.#connection !== undefined && !this.#closed) return this.#connection.send(batch, verdict, signal);
    const reason = this.#closed ? CLOSED : "not connected";
    for (const index of batch.keys()) verdict(index, { kind: "retry", reason, unanswered: "unsent" });
    return Promise.reject(new NotConnectedError(reason));
  }

  notice(): string | undefined {
    return this.#notice ?? this.#connection?.alarm;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#attempt?.abort(new NotConnectedError(CLOSED));
    await this.#connection?.close();
  }

  async #connectTo(url: string, onLost: (error: Error) => void, signal: AbortSignal): Promise<UplinkLimits> {
    const { connectTimeout, inFlight, maxMessage } = this.#options;
    const attempt = new AbortController();
    this.#attempt = attempt;
    const cancel = () => attempt.abort(signal.reason);
    signal.addEventListener("abort", cancel, { once: true });
    const late = new NotConnectedError(`no connection within ${formatDuration(connectTimeout)}`);
    const timer = setTimeout(() => attempt.abort(late), connectTimeout);
    const socket = new AbortController();
    try {
      const { model, channel } = await this.#open(url, socket, attempt.signal);
      const startedMs = monotonicMs();
      const inbound = this.#inboundOf(model);
      const settings = { ...this.#settings, inbound, destroy: () => socket.abort() };
      this.#connection = new Connection(model, channel, settings, (error) => {
        this.#servers.lost(url, monotonicMs() - startedMs);
        onLost(error);
      });
      return { inFlight, maxBytes: maxMessage, properties: true, ackTimeoutMs: NEVER_MS };
    } catch (error) {
      socket.abort();
      if (attempt.signal.aborted) throw attempt.signal.reason;
      throw faultOf(error, new URL(url).host);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", cancel);
      this.#attempt = undefined;
    }
  }

  #inboundOf(model: ChannelModel): Inbound | undefined {
    const { accept, prefetch } = this.#options;
    const { downlink, log } = this.#context;
    if (accept.length === 0 || downlink === undefined) return undefined;
    const queues = [...new Set(accept.map(({ queue }) => queue))];
    return new Inbound(model, { queues, prefetch, downlink, log, againMs: AGAIN_MS, queueAgainMs: QUEUE_AGAIN_MS });
  }

  get #settings() {
    const { exchange, inFlight, ackTimeout, maxMessage, unroutable } = this.#options;
    const blocked = (reason: string | undefined) => {
      this.#notice = reason === undefined ? undefined : `the server takes no messages for now: ${reason}`;
      const { log } = this.#context;
      if (reason === undefined) log.info({}, "the server takes messages again");
      else log.warn({ reason }, "the server takes no messages for now");
    };
    return { exchange, inFlight, ackTimeoutMs: ackTimeout, maxMessage, unroutable, blocked };
  }

  /** A connection with a channel and its exchange. Whatever ends it early frees the socket. */
  async #open(
    url: string,
    socket: AbortController,
    signal: AbortSignal,
  ): Promise<{ model: ChannelModel; channel: ConfirmChannel }> {
    const { connect } = await loadLibrary();
    const { secure, host, port, vhost } = placeOf(url);
    const { username = "guest", password, heartbeat, connectTimeout } = this.#options;
    const user = { username, password: password ? this.#context.secret(password).reveal() : "guest" };
    const place = {
      protocol: secure ? "amqps" : "amqp",
      hostname: host,
      port,
      vhost: encodeURIComponent(vhost),
      ...user,
    };
    const clientProperties = { connection_name: `millrace ${this.#context.gatewayId} ${this.#context.name}` };
    const options = {
      signal: socket.signal,
      noDelay: true,
      keepAlive: true,
      timeout: connectTimeout,
      clientProperties,
      ...(secure ? this.#tls(host) : {}),
    };
    const opening = connect({ ...place, heartbeat: Math.max(1, Math.round(heartbeat / 1000)) }, options);
    return await abortable(signal, socket, async () => {
      const model = await opening;
      // Until the connection has its own listeners.
      model.on("error", () => {});
      const channel = await model.createConfirmChannel();
      channel.on("error", () => {});
      await this.#topology(channel);
      return { model, channel };
    });
  }

  async #topology(channel: ConfirmChannel): Promise<void> {
    const { exchange, queue = exchange, declare, maxLength } = this.#options;
    if (!declare) {
      await channel.checkExchange(exchange);
      return;
    }
    await channel.assertExchange(exchange, "topic", { durable: true });
    const limit = maxLength === undefined ? {} : { "x-max-length": maxLength };
    const args = { "x-queue-type": "quorum", "x-overflow": "reject-publish", ...limit };
    await channel.assertQueue(queue, { durable: true, arguments: args });
    await channel.bindQueue(queue, exchange, EVERYTHING);
  }

  #tls(host: string) {
    const { ca, cert, key, servername } = this.#options.tls ?? {};
    const pem = (name: string, file: string | undefined) => {
      if (file === undefined) return {};
      try {
        return { [name]: readFileSync(this.#context.path(file)) };
      } catch (error) {
        throw new ConfigError(`tls.${name}: ${messageOf(error)}`, { cause: error });
      }
    };
    const name = servername ?? (isIP(host) ? undefined : host);
    return {
      minVersion: "TLSv1.2" as const,
      ...pem("ca", ca),
      ...pem("cert", cert),
      ...pem("key", key),
      ...(name === undefined ? {} : { servername: name }),
    };
  }
}

/** Settles as `action` does, or with the signal's reason; then the socket goes, and whatever comes later is not heard. */
function abortable<T>(signal: AbortSignal, socket: AbortController, action: () => Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      socket.abort();
      reject(signal.reason);
    };
    signal.addEventListener("abort", onAbort, { once: true });
    action()
      .then(resolve, reject)
      .finally(() => signal.removeEventListener("abort", onAbort));
    if (signal.aborted) onAbort();
  });
}

async function loadLibrary() {
  try {
    const { default: library } = await import("amqplib");
    return library;
  } catch (error) {
    throw new ConfigError(`RabbitMQ needs the package amqplib: ${messageOf(error)}`, { cause: error });
  }
}
