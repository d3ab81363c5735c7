import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import type { ConnectionOptions, EventContext, Sender } from "rhea";
import { ConfigError, messageOf, NotConnectedError } from "../../core/errors.ts";
import { formatDuration } from "../../core/options/units.ts";
import type { Outgoing, Uplink, UplinkContext, UplinkLimits, Verdict } from "../../core/uplink.ts";
import type { ServerList } from "../mqtt/servers.ts";
import { monotonicMs } from "../pause.ts";
import { Connection, conditionOf } from "./connection.ts";
import { Inbound } from "./inbound.ts";
import { type ActivemqOptions, placeOf } from "./options.ts";
import { faultOf } from "./reasons.ts";

const CLOSED = "the uplink is closed";
/** The connection watches for itself, because it does not count the time without credit. */
const NEVER_MS = 86_400_000;
const AGAIN_MS = 1000;
const QUEUE_AGAIN_MS = 30_000;

/**
 * ActiveMQ Classic, Artemis, or any other broker, by AMQP 1.0 (rhea, loaded when it is first needed): durable messages on one link,
 * each with its own acknowledgement. The library's own reconnection is off: that is the forwarder's.
 */
export class ActivemqUplink implements Uplink {
  readonly #options: ActivemqOptions;
  readonly #context: UplinkContext;
  readonly #servers: ServerList;
  #connection: Connection | undefined;
  #attempt: AbortController | undefined;
  #closed = false;

  constructor(options: ActivemqOptions, context: UplinkContext, servers: ServerList) {
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
    return this.#connection?.trouble;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#attempt?.abort(new NotConnectedError(CLOSED));
    await this.#connection?.close();
  }

  async #connectTo(url: string, onLost: (error: Error) => void, signal: AbortSignal): Promise<UplinkLimits> {
    const { connectTimeout, inFlight, maxMessage, ackTimeout, duplicateDetection, address } = this.#options;
    const attempt = new AbortController();
    this.#attempt = attempt;
    const cancel = () => attempt.abort(signal.reason);
    signal.addEventListener("abort", cancel, { once: true });
    const late = new NotConnectedError(`no connection within ${formatDuration(connectTimeout)}`);
    const timer = setTimeout(() => attempt.abort(late), connectTimeout);
    try {
      const library = await loadLibrary();
      const sender = await this.#open(library, url, attempt.signal);
      const startedMs = monotonicMs();
      const settings = {
        about: address,
        inFlight,
        ackTimeoutMs: ackTimeout,
        maxMessage,
        duplicateDetection,
        inbound: this.#inbound(),
        body: (bytes: Buffer): unknown => library.message.data_section(bytes),
      };
      this.#connection = new Connection(sender.connection, sender, settings, (error) => {
        this.#servers.lost(url, monotonicMs() - startedMs);
        onLost(error);
      });
      return { inFlight, maxBytes: maxMessage, properties: true, ackTimeoutMs: NEVER_MS };
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", cancel);
      this.#attempt = undefined;
    }
  }

  #inbound(): Inbound | undefined {
    const { accept, prefetch } = this.#options;
    const { downlink, log } = this.#context;
    if (accept.length === 0 || downlink === undefined) return undefined;
    const addresses = [...new Set(accept.map(({ address }) => address))];
    return new Inbound({ addresses, prefetch, downlink, log, againMs: AGAIN_MS, queueAgainMs: QUEUE_AGAIN_MS });
  }

  /** Resolves with a link that the broker has opened too. */
  #open(library: Library, url: string, signal: AbortSignal): Promise<Sender> {
    const { address, kind } = this.#options;
    const connection = library.create_container().connect(this.#terms(url));
    const sender = connection.open_sender({
      target: { address, ...(kind === undefined ? {} : { capabilities: [kind] }) },
      snd_settle_mode: 0,
      rcv_settle_mode: 0,
      autosettle: true,
    });
    return new Promise((resolve, reject) => {
      const about = new URL(url).host;
      let done = false;
      const settle = (action: () => void) => {
        if (done) return;
        done = true;
        signal.removeEventListener("abort", onAbort);
        action();
      };
      const fail = (error: Error) =>
        settle(() => {
          connection.close();
          reject(error);
        });
      const onAbort = () => fail(signal.reason);
      const failed = (what: string) => (context: EventContext) => fail(faultOf(conditionOf(context), what));
      signal.addEventListener("abort", onAbort, { once: true });
      // A broker that refuses a link opens it first, without a target, and closes it at once.
      sender.once("sendable", () => settle(() => resolve(sender)));
      sender.once("sender_open", () => {
        if (sender.target?.address !== undefined && sender.target.address !== null)
          setImmediate(() => settle(() => resolve(sender)));
      });
      sender.once("sender_error", failed(`${about}, ${address}`));
      connection.once("connection_error", failed(about));
      connection.once("connection_close", failed(about));
      connection.on("disconnected", failed(about));
      // Anything else that the library finds wrong; without a listener it would throw.
      connection.on("protocol_error", (error: Error) => fail(new NotConnectedError(`${about}: ${messageOf(error)}`)));
      connection.on("error", (error: Error) => fail(new NotConnectedError(`${about}: ${messageOf(error)}`)));
    });
  }

  #terms(url: string): ConnectionOptions {
    const { secure, host, port } = placeOf(url);
    const { username, password, idleTimeout } = this.#options;
    const common = {
      host,
      port,
      hostname: host,
      container_id: `millrace-${this.#context.gatewayId}-${this.#context.name}`,
      idle_time_out: idleTimeout,
      reconnect: false,
      ...(username === undefined ? { username: "anonymous" } : { username }),
      ...(username === undefined ? {} : { password: password ? this.#context.secret(password).reveal() : "" }),
    };
    return secure ? { ...common, transport: "tls", ...this.#tls(host) } : { ...common, transport: "tcp" };
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
      rejectUnauthorized: true,
      ...pem("ca", ca),
      ...pem("cert", cert),
      ...pem("key", key),
      ...(name === undefined ? {} : { servername: name }),
    };
  }
}

type Library = Awaited<ReturnType<typeof loadLibrary>>;

async function loadLibrary() {
  try {
    const { default: library } = await import("rhea");
    return library;
  } catch (error) {
    throw new ConfigError(`ActiveMQ needs the package rhea: ${messageOf(error)}`, { cause: error });
  }
}
