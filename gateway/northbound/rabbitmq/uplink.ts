import type { ChannelModel, ConfirmChannel } from "amqplib";
import { ConfigError, messageOf } from "../../core/errors.ts";
import type { UplinkContext } from "../../core/uplink.ts";
import { ListedUplink } from "../listed-uplink.ts";
import type { ServerList } from "../mqtt/servers.ts";
import { tlsTerms } from "../tls-files.ts";
import { Connection } from "./connection.ts";
import { Inbound } from "./inbound.ts";
import { placeOf, type RabbitOptions } from "./options.ts";
import { faultOf } from "./reasons.ts";

const AGAIN_MS = 1000;
const QUEUE_AGAIN_MS = 30_000;
/** With `declare`: what the queue is bound to. */
const EVERYTHING = "#";

/**
 * RabbitMQ by AMQP 0-9-1 (amqplib, loaded when it is first needed): persistent, mandatory messages on a channel in confirm
 * mode. The server's own reconnection is not used: that is the forwarder's.
 */
export class RabbitUplink extends ListedUplink<Connection> {
  readonly #options: RabbitOptions;
  readonly #context: UplinkContext;
  #notice: string | undefined;

  constructor(options: RabbitOptions, context: UplinkContext, servers: ServerList) {
    super(options, servers);
    this.#options = options;
    this.#context = context;
  }

  notice(): string | undefined {
    return this.#notice ?? this.carrier?.alarm;
  }

  protected async open(url: string, onEnd: (error: Error) => void, signal: AbortSignal): Promise<Connection> {
    const socket = new AbortController();
    try {
      const { model, channel } = await this.#dial(url, socket, signal);
      const inbound = this.#inboundOf(model);
      return new Connection(model, channel, { ...this.#settings, inbound, destroy: () => socket.abort() }, onEnd);
    } catch (error) {
      socket.abort();
      throw faultOf(error, new URL(url).host);
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
  async #dial(
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
      ...(secure ? tlsTerms(this.#options.tls, host, (file) => this.#context.path(file)) : {}),
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
