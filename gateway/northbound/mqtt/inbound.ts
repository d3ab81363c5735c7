import { Buffer } from "node:buffer";
import { generate, type IPublishPacket, type ISubackPacket } from "mqtt-packet";
import { messageOf } from "../../core/errors.ts";
import type { Logger } from "../../core/log.ts";
import type { Downlink, Incoming } from "../../core/uplink.ts";
import { InOrder } from "../in-order.ts";
import { Summary } from "../summary.ts";
import { MAX_ACCEPTED } from "./handshake.ts";
import { reasonText } from "./reasons.ts";

/** A message that could not be kept is tried again after so long; its acknowledgement waits. */
const AGAIN_MS = 1000;
/** Messages, and their bytes, that may be under way before the socket is not read any more. */
const MAX_OPEN = 2 * MAX_ACCEPTED;
const MAX_OPEN_BYTES = 4 * 1024 * 1024;

export interface Subscription {
  readonly filter: string;
  readonly qos: 0 | 1;
}

export interface InboundSettings {
  readonly version: 4 | 5;
  readonly subscriptions: readonly Subscription[];
  readonly downlink: Downlink;
  readonly log: Logger;
}

/** What inbound messages do to their connection. */
export interface InboundLine {
  write(bytes: Buffer): void;
  /** Whether the socket is to be read. */
  read(on: boolean): void;
}

interface Slot {
  readonly id: number;
  done: boolean;
}

/**
 * What comes down over one connection: subscribes, hands messages over as they come, and acknowledges each of QoS 1 once it is
 * kept, in the order in which they came [MQTT-4.6.0-2]. What is not acknowledged the server sends again over the next connection.
 */
export class Inbound {
  readonly #settings: InboundSettings;
  readonly #line: InboundLine;
  readonly #summary: Summary;
  readonly #slots: Slot[] = [];
  readonly #order: InOrder;
  /** Identifier of the SUBSCRIBE without an answer. */
  #asked: number | undefined;
  #open = 0;
  #openBytes = 0;
  #reading = true;
  #ended = false;
  #refused: string | undefined;
  #idle: (() => void) | undefined;

  constructor(settings: InboundSettings, line: InboundLine) {
    this.#settings = settings;
    this.#line = line;
    this.#summary = new Summary(settings.log);
    this.#order = new InOrder(settings.downlink, AGAIN_MS, (message, error) => this.#failed(message, error));
  }

  /** What the server does not let us subscribe to: only a person can cure it. */
  get alarm(): string | undefined {
    return this.#refused;
  }

  /** While true the server's silence means nothing: it is not listened to. */
  get deaf(): boolean {
    return !this.#reading;
  }

  /** Whether the server has yet to answer SUBSCRIBE. */
  get isAsking(): boolean {
    return this.#asked !== undefined;
  }

  /** Asks for everything that is accepted; a kept session is asked too, it may be an older one. */
  subscribe(id: number): void {
    const { version, subscriptions } = this.#settings;
    this.#asked = id;
    const asked = subscriptions.map(({ filter, qos }) => ({
      topic: filter,
      qos,
      // Never our own messages; the retain flag as it was published; what is retained only with a new subscription.
      ...(version === 5 ? { nl: true, rap: true, rh: 1 } : {}),
    }));
    this.#line.write(generate({ cmd: "subscribe", messageId: id, subscriptions: asked }, { protocolVersion: version }));
  }

  onSuback(packet: ISubackPacket): void {
    if (packet.messageId !== this.#asked) return;
    this.#asked = undefined;
    const { subscriptions, log, version } = this.#settings;
    const refused = subscriptions.flatMap(({ filter }, index) => {
      const granted = packet.granted[index];
      const code = typeof granted === "number" ? granted : 0x80;
      if (code < 0x80) return [];
      return [version === 5 ? `${filter} (${reasonText(code)})` : filter];
    });
    if (refused.length === 0) {
      log.info({ subscriptions: subscriptions.length }, "accepting what comes down");
      return;
    }
    this.#refused = `the server refuses the subscription to ${refused.join(", ")}: nothing comes down from there`;
    log.error({ refused }, "the server refuses a subscription");
  }

  onPublish(packet: IPublishPacket): void {
    if (this.#ended) return;
    const message = incomingOf(packet);
    const slot = message.qos > 0 ? this.#slot(packet.messageId ?? 0) : undefined;
    this.#begin(message.payload.byteLength);
    this.#take(message, slot);
  }

  /** A message that is longer than anybody needs is acknowledged, or it would come for ever. */
  onHuge(head: Buffer, bytes: number): void {
    let at = 1;
    while (((head[at] ?? 0) & 0x80) !== 0) at++;
    const length = head.readUInt16BE(at + 1);
    const topic = head.toString("utf8", at + 3, at + 3 + length);
    this.#summary.report("error", "huge", { topic, bytes }, "a message from upstream is too long, and was refused");
    const qos = ((head[0] ?? 0) >> 1) & 3;
    if (qos > 0) this.#done(this.#slot(head.readUInt16BE(at + 3 + length)));
  }

  /** Takes nothing more; resolves when what was begun is acknowledged, or when `signal` aborts. */
  async finish(signal: AbortSignal): Promise<void> {
    this.#ended = true;
    this.#order.end();
    if (this.#open === 0 || signal.aborted) return;
    await new Promise<void>((resolve) => {
      this.#idle = resolve;
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
  }

  /** The connection is gone: nothing is acknowledged any more. */
  end(): void {
    this.#ended = true;
    this.#slots.length = 0;
    this.#order.end();
    this.#idle?.();
  }

  #slot(id: number): Slot {
    const slot = { id, done: false };
    this.#slots.push(slot);
    return slot;
  }

  #take(message: Incoming, slot: Slot | undefined): void {
    const finished = () => this.#finished(message.payload.byteLength);
    if (slot === undefined) {
      const failed = (error: unknown) => this.#failed(message, error);
      void this.#settings.downlink.take(message).catch(failed).then(finished);
      return;
    }
    this.#order.take(message, (became) => {
      finished();
      if (became !== undefined) this.#done(slot);
    });
  }

  #failed({ topic }: Incoming, error: unknown): void {
    const reason = messageOf(error);
    this.#summary.report("warn", reason, { topic, reason }, "a message from upstream cannot be kept yet");
  }

  #done(slot: Slot): void {
    slot.done = true;
    const { version } = this.#settings;
    for (let first = this.#slots[0]; first?.done === true; first = this.#slots[0]) {
      this.#slots.shift();
      this.#line.write(generate({ cmd: "puback", messageId: first.id, reasonCode: 0 }, { protocolVersion: version }));
    }
  }

  #begin(bytes: number): void {
    this.#open++;
    this.#openBytes += bytes;
    this.#flow();
  }

  #finished(bytes: number): void {
    this.#open--;
    this.#openBytes -= bytes;
    this.#flow();
    if (this.#open === 0) this.#idle?.();
  }

  #flow(): void {
    const reading = this.#open < MAX_OPEN && this.#openBytes < MAX_OPEN_BYTES;
    if (reading === this.#reading) return;
    this.#reading = reading;
    this.#line.read(reading);
  }
}

/** The bytes of the packet are the connection's own: what is kept is copied. */
function incomingOf({ topic, payload, qos, retain, properties }: IPublishPacket): Incoming {
  const { responseTopic, correlationData, userProperties = {} } = properties ?? {};
  const pairs = Object.entries(userProperties).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).map((one): readonly [string, string] => [name, one]),
  );
  return {
    topic,
    payload: Buffer.from(payload),
    qos,
    retain,
    properties: pairs,
    ...(responseTopic === undefined ? {} : { responseTopic }),
    ...(correlationData === undefined ? {} : { correlation: Buffer.from(correlationData) }),
  };
}
