import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";
import { NotConnectedError } from "../../core/errors.ts";
import { type DialContext, dial } from "./dial.ts";
import type { ExpiryWatch } from "./expiry.ts";
import type { MqttOptions } from "./options.ts";
import { Renewal } from "./renewal.ts";
import { FailBack, type ServerList } from "./servers.ts";
import { endOf, type TlsMemory } from "./tls-files.ts";

/** What outlives connections to the same server or servers. */
export interface ConnectionLife {
  readonly tls: TlsMemory;
  /** What each server speaks, as far as it is known. */
  readonly versions: Map<string, 4 | 5>;
  readonly servers: ServerList;
  readonly expiry: ExpiryWatch;
}

type WatchOptions = Pick<MqttOptions, "url" | "tls" | "preset" | "connectTimeout" | "failBack">;

/** While connected: looks for renewed TLS files, for certificates that end, and for a better server that is back. */
export class Watch {
  readonly #options: WatchOptions;
  readonly #context: DialContext;
  readonly #life: ConnectionLife;
  readonly #lose: (error: Error) => void;
  readonly #stopping = new AbortController();
  #renewal: Renewal | undefined;
  #failBack: FailBack | undefined;

  /** @param options with the `url` that is connected to. `lose` gives the connection up, for a better one. */
  constructor(options: WatchOptions, context: DialContext, life: ConnectionLife, lose: (error: Error) => void) {
    this.#options = options;
    this.#context = context;
    this.#life = life;
    this.#lose = lose;
  }

  start(socket: Duplex): void {
    if (/^(mqtts|wss):/.test(this.#options.url)) this.#watchTls(socket);
    if (this.#life.servers.several) this.#watchServers();
  }

  /** Idempotent, never rejects. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#renewal?.stop();
    await this.#failBack?.stop();
  }

  /** Notes when certificates end, and looks for renewed files from now on. */
  #watchTls(socket: Duplex): void {
    const { tls, expiry } = this.#life;
    const serverMs = socket instanceof TLSSocket ? Date.parse(socket.getPeerCertificate().valid_to) : Number.NaN;
    if (!Number.isNaN(serverMs)) expiry.set("server", serverMs);
    expiry.set("client", endOf(tls.good?.cert));
    expiry.set("ca", endOf(tls.good?.ca));
    expiry.look(this.#context.clock);
    const renewed = () => this.#lose(new NotConnectedError("the TLS files were renewed"));
    this.#renewal = new Renewal(this.#options, this.#context, expiry, renewed);
    this.#renewal.start();
  }

  /** Goes back to a better server once it can be reached; what is in flight is answered first, or sent again there. */
  #watchServers(): void {
    const { url: present, connectTimeout, failBack } = this.#options;
    const tryOne = async (url: string) => {
      const timeout = AbortSignal.timeout(connectTimeout);
      const signal = AbortSignal.any([timeout, this.#stopping.signal]);
      const { socket } = await dial({ ...this.#options, url }, this.#context, signal);
      socket.on("error", () => {});
      socket.destroy();
    };
    const back = (url: string) => this.#lose(new NotConnectedError(`going back to ${url}, which can be reached again`));
    this.#failBack = new FailBack(() => this.#life.servers.betterThan(present), tryOne, back);
    this.#failBack.start(failBack);
  }
}
