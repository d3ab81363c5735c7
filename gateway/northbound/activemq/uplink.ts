import type { ConnectionOptions, EventContext, Sender } from "rhea";
import { ConfigError, messageOf, NotConnectedError } from "../../core/errors.ts";
import type { UplinkContext } from "../../core/uplink.ts";
import { ListedUplink } from "../listed-uplink.ts";
import type { ServerList } from "../mqtt/servers.ts";
import { tlsTerms } from "../tls-files.ts";
import { Connection, conditionOf } from "./connection.ts";
import { Inbound } from "./inbound.ts";
import { type ActivemqOptions, placeOf } from "./options.ts";
import { faultOf } from "./reasons.ts";

const AGAIN_MS = 1000;
const QUEUE_AGAIN_MS = 30_000;

/**
 * ActiveMQ Classic, Artemis, or any other broker, by AMQP 1.0 (rhea, loaded when it is first needed): durable messages on one link,
 * each with its own acknowledgement. The library's own reconnection is off: that is the forwarder's.
 */
export class ActivemqUplink extends ListedUplink<Connection> {
  readonly #options: ActivemqOptions;
  readonly #context: UplinkContext;

  constructor(options: ActivemqOptions, context: UplinkContext, servers: ServerList) {
    super(options, servers);
    this.#options = options;
    this.#context = context;
  }

  notice(): string | undefined {
    return this.carrier?.trouble;
  }

  protected async open(url: string, onEnd: (error: Error) => void, signal: AbortSignal): Promise<Connection> {
    const { inFlight, maxMessage, ackTimeout, duplicateDetection, address } = this.#options;
    const library = await loadLibrary();
    signal.throwIfAborted();
    const sender = await this.#dial(library, url, signal);
    const settings = {
      about: address,
      inFlight,
      ackTimeoutMs: ackTimeout,
      maxMessage,
      duplicateDetection,
      inbound: this.#inbound(),
      body: (bytes: Buffer): unknown => library.message.data_section(bytes),
    };
    return new Connection(sender.connection, sender, settings, onEnd);
  }

  #inbound(): Inbound | undefined {
    const { accept, prefetch } = this.#options;
    const { downlink, log } = this.#context;
    if (accept.length === 0 || downlink === undefined) return undefined;
    const addresses = [...new Set(accept.map(({ address }) => address))];
    return new Inbound({ addresses, prefetch, downlink, log, againMs: AGAIN_MS, queueAgainMs: QUEUE_AGAIN_MS });
  }

  /** Resolves with a link that the broker has opened too. */
  #dial(library: Library, url: string, signal: AbortSignal): Promise<Sender> {
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
    if (!secure) return { ...common, transport: "tcp" };
    return { ...common, transport: "tls", ...tlsTerms(this.#options.tls, host, (file) => this.#context.path(file)) };
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
