import { Buffer } from "node:buffer";
import type { Channel, ChannelModel, ConsumeMessage } from "amqplib";
import { messageOf } from "../../core/errors.ts";
import type { Logger } from "../../core/log.ts";
import type { Downlink, Incoming } from "../../core/uplink.ts";
import { InOrder } from "../in-order.ts";
import { Summary } from "../summary.ts";
import { topicOf } from "./routing-key.ts";

export interface InboundSettings {
  readonly queues: readonly string[];
  /** Messages of a queue that are not acknowledged at once. */
  readonly prefetch: number;
  readonly downlink: Downlink;
  readonly log: Logger;
  /** What a message that could not be kept waits before it is tried again. */
  readonly againMs: number;
  /** The same of a queue that cannot be read. */
  readonly queueAgainMs: number;
}

/** Longer than any plan or recipe; what comes down is held in memory until it is kept. */
export const MOST_BYTES = 1024 * 1024;

/**
 * What comes down from the queues of one connection: each queue over a channel of its own, so that one that is missing does not end
 * the others, nor what goes up. A message is acknowledged once it is kept; one that is refused for good is rejected, and goes where
 * the queue sends its dead letters. What is not answered the server gives again.
 */
export class Inbound {
  readonly #model: Pick<ChannelModel, "createChannel">;
  readonly #settings: InboundSettings;
  readonly #summary: Summary;
  readonly #order: InOrder;
  readonly #channels = new Set<Channel>();
  readonly #timers = new Set<NodeJS.Timeout>();
  /** By queue: why nothing comes from there. */
  readonly #faults = new Map<string, string>();
  #begun = 0;
  #ended = false;
  #idle: (() => void) | undefined;

  constructor(model: Pick<ChannelModel, "createChannel">, settings: InboundSettings) {
    this.#model = model;
    this.#settings = settings;
    this.#summary = new Summary(settings.log);
    this.#order = new InOrder(settings.downlink, settings.againMs, (message, error) => this.#failed(message, error));
  }

  start(): void {
    for (const queue of this.#settings.queues) void this.#consume(queue);
  }

  /** What only a person can cure. */
  get alarm(): string | undefined {
    const [fault] = this.#faults.values();
    return fault;
  }

  /** Takes nothing more; resolves when what was begun is answered, after `withinMs` at the latest. */
  async finish(withinMs: number): Promise<void> {
    this.#ended = true;
    this.#order.end();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, withinMs);
    });
    await Promise.race([late, this.#farewell()]);
    clearTimeout(timer);
    this.end();
  }

  /** The library would send the end of the connection before the last answers; after the end of their channels it does not. */
  async #farewell(): Promise<void> {
    if (this.#begun > 0) {
      await new Promise<void>((resolve) => {
        this.#idle = resolve;
      });
    }
    await Promise.all([...this.#channels].map((channel) => channel.close().catch(() => {})));
  }

  /** The connection is gone. */
  end(): void {
    this.#ended = true;
    this.#order.end();
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    this.#channels.clear();
    this.#idle?.();
  }

  /** Never rejects. */
  async #consume(queue: string): Promise<void> {
    let channel: Channel;
    try {
      channel = await this.#model.createChannel();
    } catch (error) {
      // Mostly the end of the connection, which tells so itself.
      this.#again(queue, messageOf(error));
      return;
    }
    this.#channels.add(channel);
    let cause = "the server closed its channel";
    const closed = () => {
      if (this.#channels.delete(channel)) this.#again(queue, cause);
    };
    channel.on("error", (error) => {
      cause = messageOf(error);
    });
    channel.on("close", closed);
    const removed = () => {
      cause = "NOT_FOUND - the queue was removed";
      closed();
      channel.close().catch(() => {});
    };
    try {
      await channel.prefetch(this.#settings.prefetch);
      await channel.consume(queue, (message) => {
        if (message) this.#deliver(channel, queue, message);
        else removed();
      });
      this.#faults.delete(queue);
      if (!this.#ended) this.#settings.log.info({ queue }, "accepting what comes down");
    } catch {
      // The channel is closed, and tells why.
    }
  }

  #again(queue: string, cause: string): void {
    if (this.#ended) return;
    const fault = `nothing comes down from queue "${queue}": ${cause}${cureOf(cause)}`;
    if (this.#faults.get(queue) !== fault) this.#settings.log.error({ queue, reason: cause }, "a queue cannot be read");
    this.#faults.set(queue, fault);
    this.#later(this.#settings.queueAgainMs, () => void this.#consume(queue));
  }

  #deliver(channel: Channel, queue: string, message: ConsumeMessage): void {
    if (this.#ended) return;
    const { content } = message;
    if (content.byteLength > MOST_BYTES) {
      const fields = { queue, key: message.fields.routingKey, bytes: content.byteLength };
      this.#summary.report("error", "huge", fields, "a message from upstream is too long, and was refused");
      this.#answer(channel, () => channel.reject(message, false));
      return;
    }
    this.#begun++;
    this.#take(channel, message, incomingOf(message));
  }

  #take(channel: Channel, message: ConsumeMessage, incoming: Incoming): void {
    this.#order.take(incoming, (became) => {
      this.#answer(channel, () => {
        if (became === "refused") channel.reject(message, false);
        else if (became === "kept") channel.ack(message);
      });
      this.#finished();
    });
  }

  #failed({ topic }: Incoming, error: unknown): void {
    const reason = messageOf(error);
    const fields = { topic: topic.slice(0, 200), reason };
    this.#summary.report("warn", reason, fields, "a message from upstream cannot be kept yet");
  }

  /** A channel that is gone takes no answers: the server gives the message again. */
  #answer(channel: Channel, say: () => void): void {
    if (!this.#channels.has(channel)) return;
    try {
      say();
    } catch (error) {
      this.#settings.log.debug({ reason: messageOf(error) }, "a message from upstream could not be answered");
    }
  }

  #finished(): void {
    this.#begun--;
    if (this.#begun === 0) this.#idle?.();
  }

  #later(ms: number, action: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      action();
    }, ms);
    this.#timers.add(timer);
  }
}

function cureOf(cause: string): string {
  if (/NOT_FOUND|404/.test(cause)) return "; make the queue there, or correct accept";
  if (/ACCESS_REFUSED|403/.test(cause)) return "; let this user read from it";
  if (/RESOURCE_LOCKED|405/.test(cause)) return "; somebody else has it for himself";
  return "";
}

function incomingOf({ content, fields, properties }: ConsumeMessage): Incoming {
  const { headers = {}, replyTo, correlationId } = properties;
  const pairs = Object.entries(headers).flatMap(([name, value]): [string, string][] =>
    typeof value === "string" ? [[name, value]] : [],
  );
  return {
    topic: topicOf(fields.routingKey),
    payload: Buffer.from(content),
    qos: 1,
    retain: false,
    properties: pairs,
    ...(typeof replyTo === "string" ? { responseTopic: topicOf(replyTo) } : {}),
    ...(typeof correlationId === "string" ? { correlation: Buffer.from(correlationId) } : {}),
  };
}
