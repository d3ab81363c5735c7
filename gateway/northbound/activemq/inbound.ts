import { Buffer } from "node:buffer";
import type { Connection as Amqp, Delivery, EventContext, Message, Receiver } from "rhea";
import { messageOf } from "../../core/errors.ts";
import type { Logger } from "../../core/log.ts";
import type { Downlink, Incoming } from "../../core/uplink.ts";
import { InOrder } from "../in-order.ts";
import { Summary } from "../summary.ts";
import { conditionOf } from "./connection.ts";
import { textOf } from "./reasons.ts";

export interface InboundSettings {
  readonly addresses: readonly string[];
  readonly prefetch: number;
  readonly downlink: Downlink;
  readonly log: Logger;
  /** What a message that could not be kept waits before it is tried again. */
  readonly againMs: number;
  /** The same of a queue that cannot be read. */
  readonly queueAgainMs: number;
}

/** Longer than any plan or recipe. */
const MOST_BYTES = 1024 * 1024;

/**
 * What comes down over one connection, from each queue by a link of its own: accepted when it is kept, rejected when it is refused for
 * good. Credit is given for each that was answered, so that never more are under way than `prefetch`.
 */
export class Inbound {
  readonly #settings: InboundSettings;
  readonly #summary: Summary;
  readonly #order: InOrder;
  readonly #timers = new Set<NodeJS.Timeout>();
  /** By queue: why nothing comes from there. */
  readonly #faults = new Map<string, string>();
  /** What is answered in this turn. */
  #turn: "accepted" | "rejected" | undefined;
  #begun = 0;
  #ended = false;
  #idle: (() => void) | undefined;

  constructor(settings: InboundSettings) {
    this.#settings = settings;
    this.#summary = new Summary(settings.log);
    this.#order = new InOrder(settings.downlink, settings.againMs, (message, error) => this.#failed(message, error));
  }

  start(amqp: Amqp): void {
    for (const address of this.#settings.addresses) this.#open(amqp, address);
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
    if (this.#begun > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, withinMs);
        this.#idle = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.end();
  }

  /** The connection is gone. */
  end(): void {
    this.#ended = true;
    this.#order.end();
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    this.#idle?.();
  }

  #open(amqp: Amqp, address: string): void {
    if (this.#ended) return;
    const { prefetch, queueAgainMs, log } = this.#settings;
    const receiver = amqp.open_receiver({ source: { address }, credit_window: 0, autoaccept: false });
    let cause: string | undefined;
    receiver.on("receiver_open", () => {
      if (cause !== undefined || this.#ended) return;
      this.#faults.delete(address);
      log.info({ queue: address }, "accepting what comes down");
    });
    receiver.on("receiver_error", (context: EventContext) => {
      cause = textOf(conditionOf(context));
    });
    receiver.on("receiver_close", () => {
      if (this.#ended) return;
      const reason = cause ?? "the broker closed the link";
      const fault = `nothing comes down from "${address}": ${reason}; make the queue there, let this user read it, or correct accept`;
      if (this.#faults.get(address) !== fault) log.error({ queue: address, reason }, "a queue cannot be read");
      this.#faults.set(address, fault);
      this.#later(queueAgainMs, () => this.#open(amqp, address));
    });
    receiver.on("message", ({ message, delivery }: EventContext) => {
      if (message && delivery) this.#deliver(receiver, delivery, address, message);
    });
    receiver.add_credit(prefetch);
  }

  #deliver(receiver: Receiver, delivery: Delivery, address: string, message: Message): void {
    if (this.#ended) return;
    const payload = bodyOf(message.body);
    if (payload === undefined || payload.byteLength > MOST_BYTES) {
      const reason =
        payload === undefined ? "its body is not text or bytes" : `its ${payload.byteLength} bytes are too many`;
      this.#summary.report("error", reason, { queue: address, reason }, "a message from upstream was refused");
      this.#answer(receiver, "rejected", () =>
        delivery.reject({ condition: "amqp:decode-error", description: reason }),
      );
      return;
    }
    this.#begun++;
    this.#take(receiver, delivery, incomingOf(address, message, payload));
  }

  #take(receiver: Receiver, delivery: Delivery, incoming: Incoming): void {
    this.#order.take(incoming, (became) => {
      if (became === "refused") {
        const why = { condition: "amqp:not-allowed", description: "no entry of accept takes it" };
        this.#answer(receiver, "rejected", () => delivery.reject(why));
      } else if (became === "kept") this.#answer(receiver, "accepted", () => delivery.accept());
      this.#finished();
    });
  }

  #failed({ topic }: Incoming, error: unknown): void {
    const reason = messageOf(error);
    const fields = { topic: topic.slice(0, 200), reason };
    this.#summary.report("warn", reason, fields, "a message from upstream cannot be kept yet");
  }

  /**
   * A link that is gone takes no answers: the broker gives the message again. Different answers of one turn are given in different
   * turns: the library (3.0.5) makes one of two that follow each other, and the second becomes what the first is.
   */
  #answer(receiver: Receiver, kind: "accepted" | "rejected", say: () => void): void {
    if (this.#turn !== undefined && this.#turn !== kind) {
      setImmediate(() => this.#answer(receiver, kind, say));
      return;
    }
    if (this.#turn === undefined) {
      setImmediate(() => {
        this.#turn = undefined;
      });
    }
    this.#turn = kind;
    try {
      say();
      if (!this.#ended) receiver.add_credit(1);
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

/** Data sections, or a value that is text or binary; undefined for anything else. */
function bodyOf(body: unknown): Buffer | undefined {
  if (typeof body === "string") return Buffer.from(body);
  if (Buffer.isBuffer(body)) return Buffer.from(body);
  if (typeof body !== "object" || body === null || !("content" in body)) return undefined;
  const { content } = body;
  if (Array.isArray(content)) {
    const parts: unknown[] = content;
    return parts.every((part) => Buffer.isBuffer(part)) ? Buffer.concat(parts) : undefined;
  }
  return bodyOf(content);
}

function incomingOf(address: string, message: Message, payload: Buffer): Incoming {
  const { application_properties = {}, subject, reply_to, correlation_id } = message;
  const pairs = Object.entries(application_properties).flatMap(([name, value]): [string, string][] =>
    typeof value === "string" ? [[name, value]] : [],
  );
  const named = application_properties["topic"];
  return {
    topic: typeof named === "string" ? named : topicOf(subject ?? address),
    payload,
    qos: 1,
    retain: false,
    properties: pairs,
    ...(reply_to === undefined || reply_to === null ? {} : { responseTopic: topicOf(reply_to) }),
    ...(typeof correlation_id === "string" ? { correlation: Buffer.from(correlation_id) } : {}),
  };
}

/** Words as levels; what Classic puts before a name says only its kind. */
function topicOf(name: string): string {
  return name.replace(/^(?:queue|topic):\/\//, "").replaceAll(".", "/");
}
