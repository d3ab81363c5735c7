import type { Duplex } from "node:stream";
import type { IConnackPacket } from "mqtt-packet";
import { NotConnectedError } from "../../core/errors.ts";
import { formatDuration } from "../../core/options/units.ts";
import type { Outgoing, Uplink, UplinkContext, UplinkLimits, Verdict } from "../../core/uplink.ts";
import { acceptRules } from "../accept.ts";
import { monotonicMs } from "../pause.ts";
import { Connection, type ConnectionSettings } from "./connection.ts";
import type { DialContext } from "./dial.ts";
import { type Ask, MAX_ACCEPTED, MAX_ACCEPTED_BYTES } from "./handshake.ts";
import { negotiate, worstOf } from "./negotiate.ts";
import { clientIdOf, type EffectiveOptions } from "./options.ts";
import { sessionTerms } from "./session.ts";
import { type ConnectionLife, Watch } from "./watch.ts";

/** What outlives the connections of an uplink. */
export interface UplinkLife extends ConnectionLife {
  /** Servers where we have a session that is to be kept. */
  readonly sessions: Set<string>;
}

const CLOSED = "the uplink is closed";

/**
 * MQTT 5 with MQTT 3.1.1 as fallback. Every message goes with QoS 1: less would not be at least once. Sessions end with the
 * connection, unless something is accepted from upstream; publishes only while connected; what the server announces in CONNACK is kept to.
 */
export class MqttUplink implements Uplink {
  readonly #options: EffectiveOptions;
  readonly #context: UplinkContext;
  readonly #life: UplinkLife;
  #connection: Connection | undefined;
  #watch: Watch | undefined;
  /** The server that is connected to, or tried. */
  #url = "";
  #startedMs = 0;
  #attempt: AbortController | undefined;
  #closed = false;

  constructor(options: EffectiveOptions, context: UplinkContext, life: UplinkLife) {
    this.#life = life;
    this.#options = options;
    this.#context = context;
  }

  async connect(onLost: (error: Error) => void, signal: AbortSignal): Promise<UplinkLimits> {
    if (this.#closed) throw new NotConnectedError(CLOSED);
    signal.throwIfAborted();
    const failures: Error[] = [];
    for (const url of this.#life.servers.order()) {
      this.#url = url;
      try {
        const limits = await this.#connectTo(onLost, signal);
        if (failures.length > 0) {
          const reasons = failures.map(({ message }) => message);
          this.#context.log.warn({ server: url, reasons }, "connected to another server than the first");
        }
        return limits;
      } catch (error) {
        if (signal.aborted || this.#closed || !(error instanceof Error)) throw error;
        failures.push(error);
      }
    }
    throw worstOf(failures);
  }

  async #connectTo(onLost: (error: Error) => void, signal: AbortSignal): Promise<UplinkLimits> {
    const { connectTimeout } = this.#options;
    const attempt = new AbortController();
    this.#attempt = attempt;
    const cancel = () => attempt.abort(signal.reason);
    signal.addEventListener("abort", cancel, { once: true });
    const timer = setTimeout(
      () => attempt.abort(new NotConnectedError(`no session within ${formatDuration(connectTimeout)}`)),
      connectTimeout,
    );
    try {
      const options = { ...this.#options, url: this.#url };
      const { socket, ask, connack } = await negotiate(options, this.#dialing, this.#firstAsk(), attempt.signal);
      if (attempt.signal.aborted) {
        socket.destroy();
        throw attempt.signal.reason;
      }
      return this.#begin(socket, ask, connack, onLost);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", cancel);
      this.#attempt = undefined;
    }
  }

  send(batch: readonly Outgoing[], verdict: (index: number, v: Verdict) => void, signal: AbortSignal): Promise<void> {
    if (this.#connection !== undefined) return this.#connection.send(batch, verdict, signal);
    const reason = this.#closed ? CLOSED : "not connected";
    for (const index of batch.keys()) verdict(index, { kind: "retry", reason, unanswered: "unsent" });
    return Promise.reject(new NotConnectedError(reason));
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#attempt?.abort(new NotConnectedError(CLOSED));
    await this.#watch?.stop();
    await this.#connection?.close();
  }

  /** What will need a person soon. */
  notice(): string | undefined {
    return this.#life.expiry.look(this.#context.clock) ?? this.#connection?.alarm;
  }

  /** What is subscribed to, and where it goes; undefined where nothing comes down. */
  get #inbound(): ConnectionSettings["inbound"] {
    const { downlink, gatewayId } = this.#context;
    const { accept } = this.#options;
    if (downlink === undefined || accept.length === 0) return undefined;
    return { downlink, subscriptions: acceptRules(accept, gatewayId).map(({ from, qos }) => ({ filter: from, qos })) };
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

  #watchSession({ sessionPresent }: IConnackPacket): void {
    const { sessions } = this.#life;
    if (!sessionPresent && sessions.has(this.#url)) {
      const fields = { server: this.#url };
      this.#context.log.warn(fields, "the server did not keep our session; what was sent down meanwhile is lost there");
    }
    sessions.add(this.#url);
  }

  #begin(socket: Duplex, ask: Ask, connack: IConnackPacket, onLost: (error: Error) => void): UplinkLimits {
    const { inFlight, keepalive, ackTimeout, retain, envelope, maxPacket, expiry, topicAlias } = this.#options;
    const inbound = this.#inbound;
    try {
      const given = sessionTerms(ask, connack, inFlight, keepalive);
      const terms = { ...given, maxBytes: Math.min(given.maxBytes, maxPacket ?? given.maxBytes) };
      const properties = envelope === "auto" ? terms.version === 5 : !envelope;
      this.#connection = new Connection(socket, {
        terms: { ...terms, retain: terms.retain && retain === "keep" },
        ackTimeoutMs: ackTimeout,
        properties,
        ...(expiry === undefined ? {} : { expiryS: Math.max(1, Math.ceil(expiry / 1000)) }),
        aliases: topicAlias ? (connack.properties?.topicAliasMaximum ?? 0) : 0,
        log: this.#context.log,
        ...(inbound === undefined ? {} : { inbound }),
        onLost: (error) => {
          this.#life.servers.lost(this.#url, monotonicMs() - this.#startedMs);
          onLost(error);
        },
      });
      this.#connection.start();
      this.#startedMs = monotonicMs();
      if (inbound) this.#watchSession(connack);
      this.#watch = new Watch({ ...this.#options, url: this.#url }, this.#dialing, this.#life, onLost);
      this.#watch.start(socket);
      return { inFlight: terms.inFlight, maxBytes: terms.maxBytes, properties, ackTimeoutMs: ackTimeout };
    } catch (error) {
      socket.destroy();
      throw error;
    }
  }

  #firstAsk(): Ask {
    const { clientId, username, password, keepalive, version, retain } = this.#options;
    const { name, gatewayId, will } = this.#context;
    const expiryS = Math.min(0xfffffffe, Math.ceil(this.#options.sessionExpiry / 1000));
    const session = { expiryS, receiveMaximum: MAX_ACCEPTED, maxBytes: MAX_ACCEPTED_BYTES };
    return {
      ...(this.#inbound === undefined ? {} : { session }),
      version: version === 4 ? 4 : 5,
      clientId: clientIdOf({ clientId }, gatewayId, name),
      keepaliveS: Math.min(65_535, Math.max(1, Math.ceil(keepalive / 1000))),
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password: this.#context.secret(password).reveal() }),
      ...(will === undefined ? {} : { will }),
      willRetain: will?.retain === true && retain === "keep",
      willQos: 1,
    };
  }
}
