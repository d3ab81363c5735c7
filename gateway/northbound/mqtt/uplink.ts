import type { Socket } from "node:net";
import type { IConnackPacket } from "mqtt-packet";
import { NotConnectedError } from "../../core/errors.ts";
import { formatDuration } from "../../core/options/units.ts";
import type { Outgoing, Uplink, UplinkContext, UplinkLimits, Verdict } from "../../core/uplink.ts";
import { Connection } from "./connection.ts";
import { dial } from "./dial.ts";
import { type Ask, handshake, NoConnackError } from "./handshake.ts";
import type { MqttOptions } from "./options.ts";
import { refusal, sessionTerms } from "./session.ts";

const CLOSED = "the uplink is closed";

/**
 * MQTT 5 with MQTT 3.1.1 as fallback. Every message goes with QoS 1: less would not be at least once. Clean sessions that end with
 * the connection; publishes only while connected; what the server announces in CONNACK is kept to.
 */
export class MqttUplink implements Uplink {
  readonly #options: MqttOptions;
  readonly #context: UplinkContext;
  #connection: Connection | undefined;
  #attempt: AbortController | undefined;
  #closed = false;

  constructor(options: MqttOptions, context: UplinkContext) {
    this.#options = options;
    this.#context = context;
  }

  async connect(onLost: (error: Error) => void, signal: AbortSignal): Promise<UplinkLimits> {
    if (this.#closed) throw new NotConnectedError(CLOSED);
    signal.throwIfAborted();
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
      const { socket, ask, connack } = await this.#negotiate(attempt.signal);
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
    for (const index of batch.keys()) verdict(index, { kind: "retry", reason });
    return Promise.reject(new NotConnectedError(reason));
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#attempt?.abort(new NotConnectedError(CLOSED));
    await this.#connection?.close();
  }

  /** Asks until the server agrees, each time less: 3.1.1 for 5, a will that is not retained, a will of QoS 0. */
  async #negotiate(signal: AbortSignal): Promise<{ socket: Socket; ask: Ask; connack: IConnackPacket }> {
    let ask = this.#firstAsk();
    for (;;) {
      const socket = await dial(this.#options, this.#context, signal);
      // Until the connection takes over, an error shows in the handshake or in what follows it.
      socket.on("error", () => {});
      const answer = await this.#ask(socket, ask, signal);
      if ("connack" in answer) return { socket, ask, connack: answer.connack };
      ask = answer.next;
      this.#context.log.debug({ version: ask.version, willRetain: ask.willRetain }, "asking the server for less");
    }
  }

  /** @throws what `connect` throws; the socket is destroyed unless the server agreed. */
  async #ask(socket: Socket, ask: Ask, signal: AbortSignal): Promise<{ connack: IConnackPacket } | { next: Ask }> {
    const mayFallBack = this.#options.version === "auto" && ask.version === 5;
    try {
      const connack = await handshake(socket, ask, signal);
      const code = ask.version === 5 ? connack.reasonCode : connack.returnCode;
      if (code === 0) return { connack };
      const next = refusal(ask, connack, mayFallBack);
      if (next instanceof Error) throw next;
      socket.destroy();
      return { next };
    } catch (error) {
      socket.destroy();
      // Some servers of 3.1.1 close on a version they do not know.
      if (error instanceof NoConnackError && mayFallBack) return { next: { ...ask, version: 4 } };
      throw error;
    }
  }

  #begin(socket: Socket, ask: Ask, connack: IConnackPacket, onLost: (error: Error) => void): UplinkLimits {
    const { inFlight, keepalive, ackTimeout, retain, envelope } = this.#options;
    try {
      const terms = sessionTerms(ask, connack, inFlight, keepalive);
      const properties = envelope === "auto" ? terms.version === 5 : !envelope;
      this.#connection = new Connection(socket, {
        terms: { ...terms, retain: terms.retain && retain === "keep" },
        ackTimeoutMs: ackTimeout,
        properties,
        log: this.#context.log,
        onLost,
      });
      this.#connection.start();
      return { inFlight: terms.inFlight, maxBytes: terms.maxBytes, properties, ackTimeoutMs: ackTimeout };
    } catch (error) {
      socket.destroy();
      throw error;
    }
  }

  #firstAsk(): Ask {
    const { clientId, username, password, keepalive, version, retain } = this.#options;
    const { name, gatewayId, will } = this.#context;
    return {
      version: version === 4 ? 4 : 5,
      clientId: clientId ?? `millrace-${gatewayId}-${name}`,
      keepaliveS: Math.min(65_535, Math.max(1, Math.ceil(keepalive / 1000))),
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password: this.#context.secret(password).reveal() }),
      ...(will === undefined ? {} : { will }),
      willRetain: will?.retain === true && retain === "keep",
      willQos: 1,
    };
  }
}
