import { Buffer } from "node:buffer";
import type { Duplex } from "node:stream";
import { generate, type IPublishPacket, type Packet } from "mqtt-packet";
import { messageOf, NotConnectedError, RejectedError } from "../../../core/errors.ts";
import type { Logger } from "../../../core/log.ts";
import { monotonicMs } from "../../pause.ts";
import { FrameReader, MalformedError } from "../frames.ts";
import { disconnectError } from "../reasons.ts";
import type { SessionTerms } from "../session.ts";
import { disconnectPacket, PacketReader } from "../wire.ts";
import { Acks } from "./acks.ts";
import type { Arrival, Inbox } from "./inbox.ts";

/** A message that the server has to acknowledge. */
export interface Delivered {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly retain: boolean;
}

/** A message of which only the beginning was looked at: it is longer than may be. */
export interface TooLong {
  readonly topic: string;
  readonly bytes: number;
}

export interface LocalConnectionSettings {
  readonly terms: SessionTerms;
  readonly maxPacket: number;
  readonly ackTimeoutMs: number;
  /** Messages without an answer, and their bytes, at which no more is read. */
  readonly maxHeld: number;
  readonly maxHeldBytes: number;
  readonly inbox: Inbox;
  readonly log: Logger;
  /** A message of QoS 0. */
  readonly onLoose: (arrival: Arrival) => void;
  readonly onTooLong: (message: TooLong) => void;
  /** Called once when the connection ends; not after `close`. */
  readonly onLost: (error: Error) => void;
}

interface PublishOptions {
  readonly qos?: 0 | 1;
  readonly retain?: boolean;
  /** By what the receiver knows it as the answer to its question (MQTT 5). */
  readonly correlation?: Uint8Array | undefined;
}

/** A SUBSCRIBE or UNSUBSCRIBE without an answer; `done` takes the server's code, or LOST. */
interface Asked {
  readonly sentMs: number;
  readonly what: string;
  readonly done: (code: number) => void;
}
const LOST = -1;
/** Codes from here on are refusals (MQTT 5, 2.4). */
const REFUSED = 0x80;

const PINGREQ = Buffer.from([0xc0, 0x00]);
const GOODBYE_MS = 500;
/** Bytes in the socket at which live values are dropped. */
const MAX_UNSENT_BYTES = 1024 * 1024;
const PUBLISH_TYPE = 3;

/**
 * An MQTT session after CONNACK that listens: subscribes, answers each message when it is safe, in the order of arrival
 * [MQTT-4.6.0-2], and publishes what need not be kept. Never connects again.
 */
export class LocalConnection {
  readonly #socket: Duplex;
  readonly #settings: LocalConnectionSettings;
  readonly #terms: SessionTerms;
  readonly #packets: PacketReader;
  readonly #frames: FrameReader;
  readonly #acks: Acks;
  readonly #asked = new Map<number, Asked>();
  #lastId = 0;
  #timer: NodeJS.Timeout | undefined;
  #paused = false;
  #hushed = false;
  #ended = false;
  #closing: Promise<void> | undefined;
  #heardMs = 0;
  #saidMs = 0;
  #pingMs = 0;

  constructor(socket: Duplex, settings: LocalConnectionSettings) {
    this.#socket = socket;
    this.#settings = settings;
    this.#terms = settings.terms;
    this.#packets = new PacketReader(settings.terms.version);
    this.#frames = new FrameReader(
      settings.maxPacket,
      (frame) => this.#onFrame(frame),
      (head, size) => this.#onTooLong(head, size),
    );
    this.#acks = new Acks((bytes) => this.#write(bytes));
  }

  /** Takes the socket over. */
  start(): void {
    const now = monotonicMs();
    this.#heardMs = now;
    this.#saidMs = now;
    const socket = this.#socket;
    socket.on("data", (chunk: Buffer) => this.#onData(chunk));
    socket.on("error", (error) => this.lose(new NotConnectedError(`the connection broke: ${error.message}`)));
    socket.on("end", () => this.lose(new NotConnectedError(this.#closedByServer())));
    socket.on("close", () => this.lose(new NotConnectedError("the connection was closed")));
    this.#timer = setInterval(() => this.#tick(), Math.max(5, this.#terms.keepaliveMs / 10));
    socket.resume();
  }

  /** Asks for the messages of a filter. @returns the server's code: the granted QoS, or 0x80 and more for a refusal. */
  subscribe(filter: string): Promise<number> {
    return this.#ask(`the subscription ${filter}`, (messageId) => ({
      cmd: "subscribe",
      messageId,
      // 3.8.3.1: not what we published ourselves; retained as published; nothing that is older than the subscription.
      subscriptions: [{ topic: filter, qos: 2, ...(this.#terms.version === 5 ? { nl: true, rap: true, rh: 2 } : {}) }],
    }));
  }

  /** @returns the server's code; less than 0x80 where there is no such subscription any more. */
  unsubscribe(filter: string): Promise<number> {
    return this.#ask(`the end of the subscription ${filter}`, (messageId) => ({
      cmd: "unsubscribe",
      messageId,
      unsubscriptions: [filter],
    }));
  }

  /** QoS 0, or 1 without waiting for its answer. False where it was dropped: the server does not read. */
  publish(topic: string, payload: Uint8Array, options: PublishOptions = {}): boolean {
    const { qos = 0, retain = false, correlation } = options;
    if (this.#ended || (qos === 0 && this.#socket.writableLength > MAX_UNSENT_BYTES)) return false;
    const packet: IPublishPacket = {
      cmd: "publish",
      topic,
      payload: Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength),
      qos,
      retain: retain && this.#terms.retain,
      dup: false,
      ...(qos === 0 ? {} : { messageId: this.#freeId() }),
      ...(correlation === undefined || this.#terms.version === 4
        ? {}
        : { properties: { correlationData: Buffer.from(correlation) } }),
    };
    const bytes = generate(packet, { protocolVersion: this.#terms.version });
    if (bytes.length > this.#terms.maxBytes) return false;
    this.#write(bytes);
    return true;
  }

  /** QoS 1; resolves when the server has acknowledged it. @throws NotConnectedError; RejectedError when it refused. */
  async deliver({ topic, payload, retain }: Delivered): Promise<void> {
    const code = await this.#ask(`the message on ${topic}`, (messageId) => ({
      cmd: "publish",
      topic,
      payload: Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength),
      qos: 1,
      retain: retain && this.#terms.retain,
      dup: false,
      messageId,
    }));
    if (code >= REFUSED) throw new RejectedError(`the local broker refused ${topic} with code ${code}`);
  }

  /** Reads no more. */
  hush(): void {
    this.#paused = true;
    this.#hushed = true;
    this.#frames.hold();
    this.#socket.pause();
  }

  /** Gives the connection up: `onLost` is called, unless it has ended. */
  lose(error: Error): void {
    if (this.#ended) return;
    this.#end();
    this.#socket.destroy();
    if (this.#closing === undefined) this.#settings.onLost(error);
  }

  /** Sends what was answered by now, says DISCONNECT and frees the socket; the session stays. Idempotent, never rejects. */
  close(): Promise<void> {
    this.#closing ??= this.#goodbye();
    return this.#closing;
  }

  async #goodbye(): Promise<void> {
    if (!this.#ended) {
      this.#acks.flush();
      const { version } = this.#terms;
      this.#end();
      const closed = new Promise<void>((resolve) => this.#socket.once("close", () => resolve()));
      this.#socket.resume();
      this.#socket.end(generate(disconnectPacket(false), { protocolVersion: version }));
      const late = setTimeout(() => this.#socket.destroy(), GOODBYE_MS);
      await closed;
      clearTimeout(late);
    }
    this.#socket.destroy();
  }

  #ask(what: string, packet: (messageId: number) => Packet): Promise<number> {
    if (this.#ended) return Promise.reject(new NotConnectedError("the connection was lost"));
    const id = this.#freeId();
    return new Promise((resolve, reject) => {
      const done = (code: number) =>
        code === LOST ? reject(new NotConnectedError("the connection was lost")) : resolve(code);
      this.#asked.set(id, { sentMs: monotonicMs(), what, done });
      this.#write(generate(packet(id), { protocolVersion: this.#terms.version }));
    });
  }

  #freeId(): number {
    do {
      this.#lastId = this.#lastId === 65_535 ? 1 : this.#lastId + 1;
    } while (this.#asked.has(this.#lastId));
    return this.#lastId;
  }

  #write(bytes: Uint8Array): void {
    if (this.#ended) return;
    this.#saidMs = monotonicMs();
    this.#socket.write(bytes);
  }

  #onData(chunk: Buffer): void {
    if (this.#ended) return;
    this.#heardMs = monotonicMs();
    this.#read(() => this.#frames.push(chunk));
  }

  #read(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error;
      this.lose(new NotConnectedError(`the server sent ${messageOf(error)}`, { cause: error }));
    }
  }

  #onFrame(frame: Buffer): void {
    if (this.#ended) return;
    const packet = this.#packets.read(frame);
    switch (packet.cmd) {
      case "publish":
        this.#onPublish(packet);
        return;
      case "pubrel":
        this.#settings.inbox.release(packet.messageId ?? 0);
        this.#acks.now("pubcomp", packet.messageId ?? 0);
        return;
      case "suback":
        this.#onAnswer(packet.messageId, packet.granted[0]);
        return;
      case "unsuback":
        this.#onAnswer(packet.messageId, Array.isArray(packet.granted) ? packet.granted[0] : 0);
        return;
      case "disconnect":
        this.lose(disconnectError(packet.reasonCode ?? 0, packet.properties?.reasonString, this.#terms.clientId));
        return;
      case "puback":
        this.#onAnswer(packet.messageId, packet.reasonCode ?? 0);
        return;
      case "pingresp":
        return;
      default:
        this.#settings.log.debug({ packet: packet.cmd }, "a packet that nobody asked for");
    }
  }

  #onPublish({ topic, payload, qos, retain, dup, messageId, properties }: IPublishPacket): void {
    const arrival: Arrival = {
      topic,
      // The bytes are this call's only.
      payload: Buffer.from(payload),
      qos,
      retain,
      dup,
      ...(properties?.contentType === undefined ? {} : { contentType: properties.contentType }),
      ...(properties?.responseTopic === undefined ? {} : { responseTopic: properties.responseTopic }),
      ...(properties?.correlationData === undefined ? {} : { correlation: Buffer.from(properties.correlationData) }),
    };
    if (qos === 0 || messageId === undefined) {
      this.#settings.onLoose(arrival);
      return;
    }
    const answer = this.#acks.ask(qos === 1 ? "puback" : "pubrec", messageId);
    this.#settings.inbox.take(messageId, arrival, () => {
      answer();
      this.#throttle();
    });
    this.#throttle();
  }

  /** It is answered as if it was stored: the server would send it again and again, and nothing behind it. */
  #onTooLong(head: Buffer, bytes: number): void {
    if (this.#ended) return;
    const type = (head[0] ?? 0) >> 4;
    const qos = ((head[0] ?? 0) >> 1) & 3;
    if (type !== PUBLISH_TYPE) throw new MalformedError(`a packet of type ${type} with ${bytes} bytes`);
    let at = 1;
    while (((head[at] ?? 0) & 0x80) !== 0) at++;
    const length = head.readUInt16BE(at + 1);
    const topic = head.toString("utf8", at + 3, at + 3 + length);
    if (qos > 0) this.#acks.ask(qos === 1 ? "puback" : "pubrec", head.readUInt16BE(at + 3 + length))();
    this.#settings.onTooLong({ topic, bytes });
  }

  #onAnswer(id: number | undefined, granted: unknown): void {
    const asked = this.#asked.get(id ?? 0);
    if (asked === undefined) return;
    this.#asked.delete(id ?? 0);
    asked.done(typeof granted === "number" ? granted : REFUSED);
  }

  /** Reads no more while too much waits to be safe, whatever the server thinks it may send: it comes again after a kill. */
  #throttle(): void {
    if (this.#ended || this.#hushed) return;
    const { maxHeld, maxHeldBytes, inbox } = this.#settings;
    const { messages, bytes } = inbox.pending;
    if (!this.#paused && (messages >= maxHeld || bytes >= maxHeldBytes)) {
      this.#paused = true;
      this.#frames.hold();
      this.#socket.pause();
    } else if (this.#paused && messages <= maxHeld / 2 && bytes <= maxHeldBytes / 2) {
      this.#paused = false;
      this.#heardMs = monotonicMs();
      this.#read(() => this.#frames.release());
      if (!this.#paused) this.#socket.resume();
    }
  }

  #tick(): void {
    const now = monotonicMs();
    const { keepaliveMs } = this.#terms;
    const silentMs = this.#paused ? 0 : now - this.#heardMs;
    if (silentMs >= 1.4 * keepaliveMs) {
      this.lose(new NotConnectedError(`no sign of life from the server for ${Math.round(silentMs)} ms`));
      return;
    }
    for (const { sentMs, what } of this.#asked.values()) {
      if (this.#paused || now - sentMs < this.#settings.ackTimeoutMs) continue;
      this.lose(new NotConnectedError(`no answer to ${what} for ${Math.round(now - sentMs)} ms`));
      return;
    }
    const quietMs = Math.max(silentMs, now - this.#saidMs);
    if (quietMs < 0.7 * keepaliveMs || now - this.#pingMs < 0.5 * keepaliveMs) return;
    this.#pingMs = now;
    this.#write(PINGREQ);
  }

  #closedByServer(): string {
    const [asked] = this.#asked.values();
    if (asked) return `the server closed the connection instead of an answer to ${asked.what}; may we subscribe to it?`;
    return `the server closed the connection; if it does so again, is the client id ${this.#terms.clientId} used twice?`;
  }

  #end(): void {
    this.#ended = true;
    clearInterval(this.#timer);
    this.#settings.inbox.lost();
    const asked = [...this.#asked.values()];
    this.#asked.clear();
    for (const { done } of asked) done(LOST);
  }
}
