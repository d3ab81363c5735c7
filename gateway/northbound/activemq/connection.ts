import { Buffer } from "node:buffer";
import type { Connection as Amqp, Delivery, EventContext, Message, Sender } from "rhea";
import { messageOf, NotConnectedError } from "../../core/errors.ts";
import { formatDuration } from "../../core/options/units.ts";
import type { Outgoing, Verdict } from "../../core/uplink.ts";
import { monotonicMs } from "../pause.ts";
import type { Inbound } from "./inbound.ts";
import { type Condition, faultOf, refusal, textOf } from "./reasons.ts";

export interface ConnectionSettings {
  readonly about: string;
  readonly inFlight: number;
  readonly ackTimeoutMs: number;
  readonly maxMessage: number;
  readonly duplicateDetection: boolean;
  readonly inbound: Inbound | undefined;
  /** The body of a message, as the library wants it. */
  readonly body: (bytes: Buffer) => unknown;
}

type Tell = (verdict: Verdict) => void;

const CLOSE_MS = 1000;
/** Without credit for so long, and with something to send: the broker holds us back. */
const HELD_MS = 2000;

/**
 * One connection with one link. The library forgets what is not settled when a connection ends, and tells nobody: here it is known,
 * and given back.
 */
export class Connection {
  readonly #amqp: Amqp;
  readonly #sender: Sender;
  readonly #settings: ConnectionSettings;
  readonly #onLost: (error: Error) => void;
  readonly #flights = new Map<Delivery, Tell>();
  readonly #watch: NodeJS.Timeout;
  #lost: Error | undefined;
  #closing = false;
  #progressMs = monotonicMs();
  #heldMs: number | undefined;
  /** Of the link's credit, what is left for this turn: the library counts what it was given only when it writes it. */
  #credit = 0;
  #counting = false;
  #wake: (() => void) | undefined;

  constructor(amqp: Amqp, sender: Sender, settings: ConnectionSettings, onLost: (error: Error) => void) {
    this.#amqp = amqp;
    this.#sender = sender;
    this.#settings = settings;
    this.#onLost = onLost;
    const { about } = settings;
    const ended = (what: string) => (context: EventContext) => this.#end(faultOf(conditionOf(context), what));
    sender.on("sendable", () => this.#count());
    sender.on("accepted", (context: EventContext) => this.#settled(context, { kind: "ack" }));
    sender.on("rejected", (context: EventContext) => this.#settled(context, refusal(refusalOf(context.delivery))));
    const again: Verdict = { kind: "retry", reason: "the broker gave it back" };
    sender.on("released", (context: EventContext) => this.#settled(context, again));
    sender.on("modified", (context: EventContext) => this.#settled(context, again));
    sender.on("sender_error", ended(about));
    sender.on("sender_close", ended(`${about}: the broker closed the link`));
    amqp.on("connection_error", ended(about));
    amqp.on("connection_close", ended("the broker closed the connection"));
    amqp.on("disconnected", ended("the connection was lost"));
    settings.inbound?.start(amqp);
    this.#count();
    this.#watch = setInterval(() => this.#look(), Math.max(10, settings.ackTimeoutMs / 4));
  }

  /** As `Uplink.send` says. */
  async send(
    batch: readonly Outgoing[],
    verdict: (index: number, v: Verdict) => void,
    signal: AbortSignal,
  ): Promise<void> {
    for (const [index, message] of batch.entries()) {
      while (!signal.aborted && !this.#lost && !this.#hasRoom) await this.#room(signal);
      const error = signal.aborted ? signal.reason : this.#lost && new NotConnectedError(this.#lost.message);
      if (error !== undefined) {
        const reason = messageOf(error);
        for (let left = index; left < batch.length; left++)
          verdict(left, { kind: "retry", reason, unanswered: "unsent" });
        throw error;
      }
      this.#publish(message, (v) => verdict(index, v));
    }
  }

  /** Why nothing goes on. */
  get trouble(): string | undefined {
    if (this.#wake !== undefined && this.#heldMs !== undefined && monotonicMs() - this.#heldMs > HELD_MS)
      return `the broker gives no credit for ${this.#settings.about}: it is full, or short of memory`;
    return this.#settings.inbound?.alarm;
  }

  async close(): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    await this.#settings.inbound?.finish(CLOSE_MS);
    const open = this.#lost === undefined;
    this.#end(new NotConnectedError("the uplink is closed"));
    if (open) await this.#farewell();
  }

  #farewell(): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(done, CLOSE_MS);
      this.#amqp.once("connection_close", done);
      this.#amqp.once("disconnected", done);
      this.#amqp.close();
    });
  }

  get #hasRoom(): boolean {
    return this.#flights.size < this.#settings.inFlight && this.#credit > 0;
  }

  /** Looks what credit there is once all that was sent is written. */
  #count(): void {
    if (this.#counting) return;
    this.#counting = true;
    setImmediate(() => {
      this.#counting = false;
      const credit: unknown = Reflect.get(this.#sender, "credit");
      this.#credit = typeof credit === "number" ? credit : this.#sender.sendable() ? 1 : 0;
      if (this.#credit > 0) this.#heldMs = undefined;
      else this.#heldMs ??= monotonicMs();
      this.#wake?.();
    });
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

  #publish({ topic, payload, properties, contentType, correlation }: Outgoing, tell: Tell): void {
    const { maxMessage, duplicateDetection, body } = this.#settings;
    if (payload.byteLength > maxMessage) {
      tell({ kind: "reject", reason: `${payload.byteLength} bytes are more than maxMessage (${maxMessage})` });
      return;
    }
    const id = properties.find(([name]) => name === "id")?.[1];
    const application: Record<string, string> = { topic };
    for (const [name, value] of properties) application[name] = value;
    if (duplicateDetection && id !== undefined) application["_AMQ_DUPL_ID"] = uniqueOf(properties, id);
    const message: Message = {
      durable: true,
      body: body(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)),
      application_properties: application,
      creation_time: new Date(),
      subject: topic,
      ...(id === undefined ? {} : { message_id: id }),
      ...(contentType === undefined ? {} : { content_type: contentType }),
      ...(correlation === undefined ? {} : { correlation_id: Buffer.from(correlation).toString() }),
    };
    if (this.#flights.size === 0) this.#progressMs = monotonicMs();
    try {
      this.#flights.set(this.#sender.send(message), tell);
      if (--this.#credit <= 0) this.#count();
    } catch (error) {
      tell({ kind: "reject", reason: `cannot be sent: ${messageOf(error)}` });
    }
  }

  #settled({ delivery }: EventContext, verdict: Verdict): void {
    const tell = delivery && this.#flights.get(delivery);
    if (!delivery || !tell) return;
    this.#flights.delete(delivery);
    this.#progressMs = monotonicMs();
    tell(verdict);
    this.#wake?.();
  }

  #look(): void {
    const { ackTimeoutMs } = this.#settings;
    if (this.#flights.size === 0 || monotonicMs() - this.#progressMs < ackTimeoutMs) return;
    this.#end(new NotConnectedError(`no acknowledgement within ${formatDuration(ackTimeoutMs)}`));
    this.#amqp.close();
  }

  #end(error: Error): void {
    if (this.#lost) return;
    this.#lost = error;
    clearInterval(this.#watch);
    this.#settings.inbound?.end();
    const flights = [...this.#flights.values()];
    this.#flights.clear();
    for (const tell of flights) tell({ kind: "retry", reason: error.message, unanswered: "sent" });
    this.#wake?.();
    if (!this.#closing) this.#onLost(error);
  }
}

/** Each message of a record that is several has one of its own. */
function uniqueOf(properties: Outgoing["properties"], id: string): string {
  const part = properties.find(([name]) => name === "part")?.[1];
  return part === undefined ? id : `${id}#${part}`;
}

/** What an event says is wrong, wherever the library put it. */
export function conditionOf(context: EventContext): Condition {
  const found = context.error ?? context.sender?.error ?? context.receiver?.error ?? context.connection?.error;
  return typeof found === "object" && found !== null ? found : {};
}

function refusalOf(delivery: Delivery | undefined): Condition {
  const state: unknown = delivery?.remote_state;
  const error = typeof state === "object" && state !== null && "error" in state ? state.error : undefined;
  if (typeof error !== "object" || error === null) return { description: textOf({}) };
  const [condition, description] = [Reflect.get(error, "condition"), Reflect.get(error, "description")];
  return {
    ...(condition === undefined || condition === null ? {} : { condition: String(condition) }),
    ...(description === undefined || description === null ? {} : { description: String(description) }),
  };
}
