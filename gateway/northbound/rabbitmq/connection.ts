import type { ChannelModel, ConfirmChannel, Message } from "amqplib";
import { messageOf, NotConnectedError } from "../../core/errors.ts";
import type { Outgoing, Verdict } from "../../core/uplink.ts";
import { monotonicMs } from "../pause.ts";
import type { Inbound } from "./inbound.ts";
import { faultOf } from "./reasons.ts";
import { routingKeyOf } from "./routing-key.ts";

export interface ConnectionSettings {
  readonly exchange: string;
  readonly inFlight: number;
  readonly ackTimeoutMs: number;
  readonly maxMessage: number;
  readonly unroutable: "retry" | "reject";
  /** What comes down over the same connection. */
  readonly inbound?: Inbound | undefined;
  /** Frees the socket at once. */
  readonly destroy: () => void;
  /** Told when the server stops or goes on taking messages. */
  readonly blocked: (reason: string | undefined) => void;
}

type Tell = (verdict: Verdict) => void;
interface Flight {
  readonly tell: Tell;
  readonly routingKey: string;
  returned: boolean;
}

/** Which of our messages a returned one is. */
const NUMBER = "millrace-n";
const CLOSE_MS = 1000;

/** One connection with one channel in confirm mode. A message is delivered when it is confirmed and was not returned. */
export class Connection {
  readonly #model: ChannelModel;
  readonly #channel: ConfirmChannel;
  readonly #settings: ConnectionSettings;
  readonly #onLost: (error: Error) => void;
  readonly #flights = new Map<number, Flight>();
  #next = 0;
  #lost: Error | undefined;
  #closing = false;
  #blocked = false;
  #full = false;
  #progressMs = monotonicMs();
  readonly #watch: NodeJS.Timeout;
  /** Told when there may be room, or no connection any more. */
  #wake: (() => void) | undefined;

  constructor(model: ChannelModel, channel: ConfirmChannel, settings: ConnectionSettings, onLost: (e: Error) => void) {
    this.#model = model;
    this.#channel = channel;
    this.#settings = settings;
    this.#onLost = onLost;
    channel.on("return", (message) => this.#returned(message));
    channel.on("drain", () => {
      this.#full = false;
      this.#wake?.();
    });
    channel.on("error", (error) => this.#end(faultOf(error, `exchange ${settings.exchange}`)));
    channel.on("close", () => this.#end(new NotConnectedError("the server closed the channel")));
    model.on("error", (error) => this.#end(faultOf(error, "the connection was lost")));
    model.on("close", (error?: Error) => this.#end(faultOf(error ?? "closed", "the server closed the connection")));
    model.on("blocked", (reason) => this.#block(reason));
    model.on("unblocked", () => this.#block(undefined));
    settings.inbound?.start();
    this.#watch = setInterval(() => this.#look(), Math.max(10, settings.ackTimeoutMs / 4));
  }

  /** As `Uplink.send` says. */
  async send(
    batch: readonly Outgoing[],
    verdict: (index: number, v: Verdict) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const give = (from: number, error: unknown) => {
      const reason = messageOf(error);
      for (let index = from; index < batch.length; index++)
        verdict(index, { kind: "retry", reason, unanswered: "unsent" });
      throw error;
    };
    for (const [index, message] of batch.entries()) {
      while (!signal.aborted && !this.#lost && !this.#hasRoom) await this.#room(signal);
      if (signal.aborted) give(index, signal.reason);
      if (this.#lost) give(index, new NotConnectedError(this.#lost.message));
      this.#publish(message, (v) => verdict(index, v));
    }
  }

  /** What is in flight gets `retry`; that is no loss. */
  async close(): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    await this.#settings.inbound?.finish(CLOSE_MS);
    this.#end(new NotConnectedError("the uplink is closed"));
    const timer = setTimeout(this.#settings.destroy, CLOSE_MS);
    // It rejects where the connection was lost already.
    await this.#model.close().catch(() => {});
    clearTimeout(timer);
    this.#settings.destroy();
  }

  /** Why nothing comes down from some queue. */
  get alarm(): string | undefined {
    return this.#settings.inbound?.alarm;
  }

  get #hasRoom(): boolean {
    return !this.#blocked && !this.#full && this.#flights.size < this.#settings.inFlight;
  }

  #room(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        signal.removeEventListener("abort", wake);
        this.#wake = undefined;
        resolve();
      };
      signal.addEventListener("abort", wake, { once: true });
      this.#wake = wake;
    });
  }

  #publish(message: Outgoing, tell: Tell): void {
    const { exchange, maxMessage } = this.#settings;
    const { payload, properties, contentType } = message;
    if (payload.byteLength > maxMessage) {
      tell({ kind: "reject", reason: `${payload.byteLength} bytes are more than maxMessage (${maxMessage})` });
      return;
    }
    const number = this.#next++;
    const routingKey = routingKeyOf(message.topic);
    if (this.#flights.size === 0) this.#progressMs = monotonicMs();
    this.#flights.set(number, { tell, routingKey, returned: false });
    const { correlation, optional } = message;
    const id = properties.find(([name]) => name === "id")?.[1];
    const content = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
    const options = {
      persistent: true,
      // Nobody has to want the status, or an answer that was asked for; every record is wanted.
      mandatory: !message.retain && optional !== true,
      headers: headersOf(properties, number),
      timestamp: Math.floor(Date.now() / 1000),
      appId: "millrace",
      ...(id === undefined ? {} : { messageId: id }),
      ...(contentType === undefined ? {} : { contentType }),
      ...(correlation === undefined ? {} : { correlationId: Buffer.from(correlation).toString() }),
    };
    try {
      const confirmed = (error: unknown) => this.#confirmed(number, error);
      this.#full = !this.#channel.publish(exchange, routingKey, content, options, confirmed);
    } catch (error) {
      // The library checks arguments and the state of the channel before anything is sent.
      this.#flights.delete(number);
      tell({ kind: "reject", reason: `cannot be sent: ${messageOf(error)}` });
    }
  }

  /** Comes before the confirm of the same message. */
  #returned({ properties }: Message): void {
    const flight = this.#flights.get(Number(properties.headers?.[NUMBER]));
    if (flight) flight.returned = true;
  }

  #confirmed(number: number, error: unknown): void {
    const flight = this.#flights.get(number);
    if (!flight) return;
    // Anything but a refusal of this message means that the channel is gone, which tells so itself.
    if (error && messageOf(error) !== "message nacked") return;
    this.#flights.delete(number);
    this.#progressMs = monotonicMs();
    flight.tell(error ? REFUSED : flight.returned ? this.#unroutable(flight) : { kind: "ack" });
    this.#wake?.();
  }

  #unroutable({ routingKey }: Flight): Verdict {
    const { exchange, unroutable } = this.#settings;
    const reason = `no queue is bound to ${exchange} for ${routingKey}`;
    return unroutable === "retry" ? { kind: "retry", reason, alarm: true } : { kind: "reject", reason };
  }

  #block(reason: string | undefined): void {
    this.#blocked = reason !== undefined;
    this.#progressMs = monotonicMs();
    this.#settings.blocked(reason);
    this.#wake?.();
  }

  /** A server that says it is blocked is waited for. */
  #look(): void {
    const { ackTimeoutMs } = this.#settings;
    if (this.#blocked || this.#flights.size === 0 || monotonicMs() - this.#progressMs < ackTimeoutMs) return;
    this.#end(new NotConnectedError(`no confirm within ${ackTimeoutMs} ms`));
    this.#settings.destroy();
  }

  #end(error: Error): void {
    if (this.#lost) return;
    this.#lost = error;
    clearInterval(this.#watch);
    this.#settings.inbound?.end();
    const flights = [...this.#flights.values()];
    this.#flights.clear();
    for (const { tell } of flights) tell({ kind: "retry", reason: error.message, unanswered: "sent" });
    this.#wake?.();
    if (this.#closing) return;
    this.#onLost(error);
  }
}

/** One after the other, so that all have one shape: the library is several times slower with objects made from entries. */
function headersOf(properties: Outgoing["properties"], number: number): Record<string, string | number> {
  const headers: Record<string, string | number> = {};
  for (const [name, value] of properties) headers[name] = value;
  headers[NUMBER] = number;
  return headers;
}

/** With reject-publish; it goes on when somebody has taken something out. */
const REFUSED: Verdict = {
  kind: "retry",
  reason: "the server refused it: a queue is full, its consumers are behind or away",
  alarm: true,
};
