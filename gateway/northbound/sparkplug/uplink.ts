import { ConfigError, NotConnectedError } from "../../core/errors.ts";
import { formatDuration } from "../../core/options/units.ts";
import type { Outgoing, Uplink, UplinkContext, UplinkLimits, Verdict } from "../../core/uplink.ts";
import type { DialContext } from "../mqtt/dial.ts";
import type { Ask } from "../mqtt/handshake.ts";
import { negotiate, worstOf } from "../mqtt/negotiate.ts";
import { clientIdOf } from "../mqtt/options.ts";
import { ServerList } from "../mqtt/servers.ts";
import { type SessionTerms, sessionTerms } from "../mqtt/session.ts";
import { Watch } from "../mqtt/watch.ts";
import { monotonicMs } from "../pause.ts";
import type { EdgeNode } from "./edge-node.ts";
import type { NodeLife } from "./life.ts";
import { NodeSession } from "./node-session.ts";
import type { SparkplugOptions } from "./options.ts";

const CLOSED = "the uplink is closed";

/**
 * A Sparkplug B 3.0 edge node on its own MQTT connection: a clean session with NDEATH as its will, births, and data made out of
 * records at the moment of sending. What it promises of delivery is in docs/sparkplug.md.
 */
export class SparkplugUplink implements Uplink {
  readonly #options: SparkplugOptions;
  readonly #context: UplinkContext;
  readonly #life: NodeLife;
  #session: NodeSession | undefined;
  #watch: Watch | undefined;
  #attempt: AbortController | undefined;
  #closed = false;

  constructor(options: SparkplugOptions, context: UplinkContext, life: NodeLife) {
    this.#options = options;
    this.#context = context;
    this.#life = life;
  }

  /** Resolves after the births; where there is a primary host, that is once it is online. */
  async connect(onLost: (error: Error) => void, signal: AbortSignal): Promise<UplinkLimits> {
    if (this.#closed) throw new NotConnectedError(CLOSED);
    signal.throwIfAborted();
    const attempt = new AbortController();
    this.#attempt = attempt;
    const cancel = () => attempt.abort(signal.reason);
    signal.addEventListener("abort", cancel, { once: true });
    const failures: Error[] = [];
    try {
      const node = await this.#life.node();
      for (const url of this.#life.servers.order()) {
        try {
          const limits = await this.#connectTo(url, node, onLost, attempt.signal);
          if (failures.length > 0) {
            const reasons = failures.map(({ message }) => message);
            this.#context.log.warn({ server: url, reasons }, "connected to another server than the first");
          }
          return limits;
        } catch (error) {
          node.lost();
          if (attempt.signal.aborted || !(error instanceof Error)) throw error;
          failures.push(error);
        }
      }
      throw worstOf(failures);
    } finally {
      signal.removeEventListener("abort", cancel);
      this.#attempt = undefined;
    }
  }

  async #connectTo(
    url: string,
    node: EdgeNode,
    onLost: (error: Error) => void,
    signal: AbortSignal,
  ): Promise<UplinkLimits> {
    const { connectTimeout, version, tls, inFlight, keepalive, maxPacket, ackTimeout, dataQos, primaryHost } =
      this.#options;
    const patience = new AbortController();
    const late = new NotConnectedError(`no session within ${formatDuration(connectTimeout)}`);
    const timer = setTimeout(() => patience.abort(late), connectTimeout);
    const limit = AbortSignal.any([signal, patience.signal]);
    let opened = false;
    try {
      const options = { url, tls, version, preset: "generic" as const };
      const renew = (ask: Ask) => this.#withWill(ask, node, url);
      const { socket, ask, connack } = await negotiate(options, this.#dialing, this.#ask(), limit, renew);
      let terms: SessionTerms;
      try {
        // Of QoS 0 the server limits nothing.
        terms = sessionTerms(
          ask,
          dataQos === 1 ? connack : { ...connack, properties: unlimited(connack) },
          inFlight,
          keepalive,
        );
      } catch (error) {
        socket.destroy();
        throw error;
      }
      const startedMs = monotonicMs();
      const maxBytes = Math.min(terms.maxBytes, maxPacket ?? terms.maxBytes);
      const session = new NodeSession(socket, {
        node,
        context: this.#context,
        options: this.#options,
        life: this.#life,
        terms: { ...terms, maxBytes },
        onLost: (error) => {
          this.#life.servers.lost(url, node.hostOffline ? 0 : monotonicMs() - startedMs);
          if (opened) onLost(error);
        },
      });
      this.#session = session;
      await session.open(limit);
      clearTimeout(timer);
      if (!node.born) await this.#hostOnline(session, url, signal);
      opened = true;
      this.#watch = new Watch(
        { ...this.#options, url, preset: "generic" },
        this.#dialing,
        this.#watched(url),
        (error) => session.lose(error),
      );
      this.#watch.start(socket);
      this.#context.log.info({ server: url, bdSeq: node.bdSeq, primaryHost }, "sparkplug session began");
      return { inFlight: terms.inFlight, maxBytes, properties: true, ackTimeoutMs: ackTimeout };
    } catch (error) {
      await this.#session?.close();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  send(batch: readonly Outgoing[], verdict: (index: number, v: Verdict) => void, signal: AbortSignal): Promise<void> {
    if (this.#session !== undefined && !this.#closed) return this.#session.send(batch, verdict, signal);
    const reason = this.#closed ? CLOSED : "not connected";
    for (const index of batch.keys()) verdict(index, { kind: "retry", reason, unanswered: "unsent" });
    return Promise.reject(new NotConnectedError(reason));
  }

  /** What will need a person soon. */
  notice(): string | undefined {
    return this.#life.expiry.look(this.#context.clock);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#attempt?.abort(new NotConnectedError(CLOSED));
    await this.#watch?.stop();
    await this.#session?.close();
  }

  /** While the primary host decides where to be, no server is better than another. */
  #watched(url: string): NodeLife {
    return this.#options.primaryHost === undefined ? this.#life : { ...this.#life, servers: new ServerList([url]) };
  }

  /** Waits for the births. With several servers, only so long as the host may still come online here. */
  async #hostOnline(session: NodeSession, url: string, signal: AbortSignal): Promise<void> {
    const { primaryHost, hostTimeout } = this.#options;
    const { servers } = this.#life;
    this.#context.log.info({ server: url, primaryHost }, "waiting for the primary host to come online");
    const patience = new AbortController();
    const late = new NotConnectedError(
      `the primary host ${primaryHost} did not come online within ${formatDuration(hostTimeout)}`,
    );
    const timer = servers.several ? setTimeout(() => patience.abort(late), hostTimeout) : undefined;
    try {
      await session.born(servers.several, AbortSignal.any([signal, patience.signal]));
    } finally {
      clearTimeout(timer);
    }
  }

  get #dialing(): DialContext {
    const { path, clock, log } = this.#context;
    return {
      path,
      log,
      memory: this.#life.tls,
      versions: this.#life.versions,
      ...(clock === undefined ? {} : { clock }),
    };
  }

  /** For every CONNECT packet a bdSeq of its own, on disk before the packet is sent. */
  async #withWill(ask: Ask, node: EdgeNode, url: string): Promise<Ask> {
    if (ask.willQos !== 1) throw new ConfigError("the server takes no will of QoS 1, and Sparkplug needs one");
    const { bdSeq, will } = node.connecting(this.#nowMs, url);
    await this.#life.bdSeq.save(bdSeq);
    return { ...ask, will: { ...will, properties: [] }, willRetain: false };
  }

  get #nowMs(): number {
    return Math.round(this.#context.clock?.now().wallMs ?? Date.now());
  }

  #ask(): Ask {
    const { clientId, username, password, keepalive, version } = this.#options;
    const { name, gatewayId } = this.#context;
    return {
      version: version === 4 ? 4 : 5,
      clientId: clientIdOf({ clientId }, gatewayId, name),
      keepaliveS: Math.min(65_535, Math.max(1, Math.ceil(keepalive / 1000))),
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password: this.#context.secret(password).reveal() }),
      willRetain: false,
      willQos: 1,
    };
  }
}

function unlimited({ properties }: { readonly properties?: object }): object {
  return { ...properties, receiveMaximum: 65_535 };
}
