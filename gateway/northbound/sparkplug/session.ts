import { Buffer } from "node:buffer";
import type { Duplex } from "node:stream";
import { generate, type IPublishPacket, type ISubackPacket } from "mqtt-packet";
import { ConfigError, messageOf, NotConnectedError } from "../../core/errors.ts";
import type { Logger } from "../../core/log.ts";
import type { Verdict } from "../../core/uplink.ts";
import { FrameReader, MalformedError } from "../mqtt/frames.ts";
import { MAX_INBOUND_BYTES } from "../mqtt/handshake.ts";
import { disconnectError, pubackVerdict, reasonText } from "../mqtt/reasons.ts";
import type { SessionTerms } from "../mqtt/session.ts";
import { disconnectPacket, PacketReader } from "../mqtt/wire.ts";
import { monotonicMs } from "../pause.ts";
import { Confirmations, type Held } from "./confirmations.ts";
import type { NodePublish, Subscription } from "./edge-node.ts";

/** A message that came down. */
export interface Inbound {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly retain: boolean;
}

export interface SessionSettings {
  readonly terms: SessionTerms;
  readonly ackTimeoutMs: number;
  /** Between a birth and the data behind it, at least. */
  readonly afterBirthMs: number;
  readonly log: Logger;
  /** Acknowledged when it resolves; never rejects. */
  readonly onMessage: (message: Inbound) => Promise<void>;
  /** Called once when the connection ends, after everything unconfirmed got `retry`; not after `close`. */
  readonly onLost: (error: Error) => void;
  /** Something was confirmed, or there is room again. */
  readonly onChange: () => void;
}

interface Queued {
  readonly bytes: Buffer;
  readonly type: NodePublish["type"];
  /** Of QoS 1. */
  readonly counts: boolean;
  /** What is confirmed with it. */
  readonly last: Held | undefined;
}

/** Of a PUBLISH: fixed header, length of the topic, identifier, no properties (3.3). */
const HEADER_BYTES = 5 + 2 + 2 + 1;
const DATA: ReadonlySet<string> = new Set(["NDATA", "DDATA"]);
const PINGREQ = Buffer.from([0xc0, 0x00]);
/** Between two questions whether the server has read everything, unless much is unconfirmed. */
const ASK_EVERY_MS = 50;
const LAST_ANSWERS_MS = 200;
const GOODBYE_MS = 500;
const SOON_MS = 30_000;
const ACK: Verdict = { kind: "ack" };
const UNSENT: Verdict = { kind: "retry", reason: "the connection was lost", unanswered: "unsent" };
const LOST: Verdict = { kind: "retry", reason: "the connection was lost", unanswered: "sent" };

/**
 * An MQTT session after CONNACK, for a Sparkplug edge node: subscribes, publishes strictly in order, and tells when the server has
 * what was published. With QoS 0 that is the PINGRESP to a PINGREQ that was sent behind it: servers take the packets of a connection
 * in their order. Never connects again.
 */
export class Session {
  readonly #socket: Duplex;
  readonly #settings: SessionSettings;
  readonly #packets: PacketReader;
  readonly #frames: FrameReader;
  readonly #held = new Confirmations();
  /** Not yet on the wire, in order: data soon after a birth, or beyond the server's Receive Maximum; and all that comes behind. */
  #queue: Queued[] = [];
  #bornMs = Number.NEGATIVE_INFINITY;
  #flushing: NodeJS.Timeout | undefined;
  #unacked = 0;
  #suback: { id: number; resolve: (packet: ISubackPacket) => void; reject: (error: Error) => void } | undefined;
  #timer: NodeJS.Timeout | undefined;
  #asking: NodeJS.Timeout | undefined;
  #askNow: NodeJS.Immediate | undefined;
  #ended = false;
  #closing: Promise<void> | undefined;
  #startedMs = 0;
  #heardMs = 0;
  #saidMs = 0;
  #pingMs = 0;
  #pingOut = false;
  /** Refusals in a row. */
  #refusals = 0;
  #answers: Promise<void> = Promise.resolve();

  constructor(socket: Duplex, settings: SessionSettings) {
    this.#socket = socket;
    this.#settings = settings;
    this.#packets = new PacketReader(settings.terms.version);
    this.#frames = new FrameReader(MAX_INBOUND_BYTES, (frame) => this.#onFrame(frame));
  }

  get ended(): boolean {
    return this.#ended;
  }
  /** Whether more may be published now. */
  get room(): boolean {
    return (
      this.#queue.length === 0 && !this.#socket.writableNeedDrain && this.#held.size < this.#settings.terms.inFlight
    );
  }
  /** Everything that was published is confirmed. */
  get quiet(): boolean {
    return this.#held.size === 0 && this.#queue.length === 0;
  }

  /** Takes the socket over. */
  start(): void {
    const now = monotonicMs();
    this.#startedMs = now;
    this.#heardMs = now;
    this.#saidMs = now;
    const socket = this.#socket;
    socket.on("data", (chunk: Buffer) => this.#onData(chunk));
    socket.on("drain", () => this.#settings.onChange());
    socket.on("error", (error) => this.lose(new NotConnectedError(`the connection broke: ${error.message}`)));
    socket.on("end", () => this.lose(new NotConnectedError(this.#closedByServer())));
    socket.on("close", () => this.lose(new NotConnectedError("the connection was closed")));
    const everyMs = Math.min(this.#settings.terms.keepaliveMs / 10, this.#settings.ackTimeoutMs / 10);
    this.#timer = setInterval(() => this.#tick(), Math.max(5, everyMs));
    socket.resume();
  }

  /** @throws ConfigError when the server refuses one; NotConnectedError; the signal's reason. */
  async subscribe(subscriptions: readonly Subscription[], signal: AbortSignal): Promise<void> {
    if (this.#ended) throw new NotConnectedError("the connection was lost");
    const { version } = this.#settings.terms;
    const id = 1;
    const answer = new Promise<ISubackPacket>((resolve, reject) => {
      this.#suback = { id, resolve, reject };
    });
    const abort = () => this.#suback?.reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    const list = subscriptions.map(({ filter, qos }) => ({ topic: filter, qos }));
    this.#write(generate({ cmd: "subscribe", messageId: id, subscriptions: list }, { protocolVersion: version }));
    try {
      if (signal.aborted) abort();
      const { granted } = await answer;
      for (const [index, code] of granted.entries()) {
        const reason = typeof code === "number" ? code : 0x80;
        if (reason < 0x80) continue;
        throw new ConfigError(`the server refused the subscription to ${list[index]?.topic}: ${reasonText(reason)}`);
      }
    } finally {
      signal.removeEventListener("abort", abort);
      this.#suback = undefined;
    }
  }

  /**
   * Publishes in order. `settled` is called once: when the server has all of it, or it is known that it has not. A refusal comes
   * only with QoS 1.
   */
  publish(messages: readonly NodePublish[], qos: 0 | 1, settled?: (verdict: Verdict) => void): void {
    if (this.#ended) {
      settled?.(LOST);
      return;
    }
    if (messages.length === 0) {
      settled?.(ACK);
      return;
    }
    const held: Held = { left: 0, sentMs: monotonicMs(), settled };
    for (const [index, message] of messages.entries()) {
      const isLast = index === messages.length - 1;
      const id = qos === 1 && isData(message) ? this.#held.number(held) : undefined;
      const last = isLast && settled !== undefined ? held : undefined;
      this.#queue.push({ bytes: this.#bytesOf(message, id), counts: id !== undefined, type: message.type, last });
    }
    this.#flush();
  }

  /** How many bytes a message takes on the wire, at most. */
  sizeOf({ topic, payload }: NodePublish): number {
    return HEADER_BYTES + Buffer.byteLength(topic) + payload.byteLength;
  }

  /** Gives the connection up, at once. */
  lose(error: Error): void {
    if (this.#ended) return;
    this.#end(error);
    this.#socket.destroy();
    if (this.#closing === undefined) this.#settings.onLost(error);
  }

  /**
   * Waits briefly for confirmations, publishes `last`, says DISCONNECT (with MQTT 5 so that the server publishes our will, as
   * [tck-id-payloads-ndeath-will-message-publisher-disconnect-mqtt50] demands) and frees the socket. Idempotent, never rejects.
   */
  close(last: () => readonly NodePublish[]): Promise<void> {
    this.#closing ??= this.#goodbye(last);
    return this.#closing;
  }

  async #goodbye(last: () => readonly NodePublish[]): Promise<void> {
    if (!this.#ended && this.#held.size > 0) {
      this.#ask();
      await this.#held.untilEmpty(LAST_ANSWERS_MS);
    }
    if (!this.#ended) {
      const { version } = this.#settings.terms;
      for (const message of last()) this.#write(this.#bytesOf(message, undefined));
      this.#end(new NotConnectedError("the uplink is closed"));
      const closed = new Promise<void>((resolve) => this.#socket.once("close", () => resolve()));
      this.#socket.end(generate(disconnectPacket(true), { protocolVersion: version }));
      const late = setTimeout(() => this.#socket.destroy(), GOODBYE_MS);
      await closed;
      clearTimeout(late);
    }
    this.#socket.destroy();
  }

  /** @param id of QoS 1. */
  #bytesOf({ topic, payload }: NodePublish, id: number | undefined): Buffer {
    const body = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
    const qos = id === undefined ? 0 : 1;
    const packet: IPublishPacket = { cmd: "publish", topic, payload: body, qos, retain: false, dup: false };
    if (id !== undefined) packet.messageId = id;
    return generate(packet, { protocolVersion: this.#settings.terms.version });
  }

  /** Writes what may go, in order. */
  #flush(): void {
    clearTimeout(this.#flushing);
    const ready: Buffer[] = [];
    for (let next = this.#queue[0]; next !== undefined && this.#mayGo(next); next = this.#queue[0]) {
      this.#queue.shift();
      ready.push(next.bytes);
      if (next.counts) this.#unacked++;
      if (next.type === "NBIRTH" || next.type === "DBIRTH") this.#bornMs = monotonicMs();
      if (next.last !== undefined && next.last.left === 0) this.#held.add(next.last);
    }
    if (ready.length > 0) this.#write(ready.length === 1 ? (ready[0] ?? PINGREQ) : Buffer.concat(ready));
    if (this.#held.unasked > 0) this.#askSoon();
  }

  /** Some hosts read births more slowly than the data behind them. */
  #mayGo({ counts, type }: Queued): boolean {
    const waitMs = DATA.has(type) ? this.#bornMs + this.#settings.afterBirthMs - monotonicMs() : 0;
    if (waitMs > 0) {
      this.#flushing = setTimeout(() => {
        this.#flush();
        this.#settings.onChange();
      }, waitMs);
      return false;
    }
    return !counts || this.#unacked < this.#settings.terms.inFlight;
  }

  #write(bytes: Buffer): void {
    this.#socket.write(bytes);
    this.#saidMs = monotonicMs();
  }

  /** Asks the server to show that it has read everything; soon, so that one question does for several messages. */
  #askSoon(): void {
    if (this.#pingOut || this.#ended) return;
    const waitMs =
      this.#held.unasked * 2 >= this.#settings.terms.inFlight ? 0 : this.#pingMs + ASK_EVERY_MS - monotonicMs();
    if (waitMs > 0) this.#asking ??= setTimeout(() => this.#ask(), waitMs);
    // At the end of the turn, so that what else it brings comes along.
    else this.#askNow ??= setImmediate(() => this.#ask());
  }

  #forgetToAsk(): void {
    clearTimeout(this.#asking);
    if (this.#askNow) clearImmediate(this.#askNow);
    this.#asking = undefined;
    this.#askNow = undefined;
  }

  #ask(): void {
    this.#forgetToAsk();
    if (this.#pingOut || this.#ended) return;
    this.#pingOut = true;
    this.#pingMs = monotonicMs();
    this.#held.asked();
    this.#write(PINGREQ);
  }

  #onData(chunk: Buffer): void {
    if (this.#ended) return;
    this.#heardMs = monotonicMs();
    try {
      this.#frames.push(chunk);
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error;
      this.lose(new NotConnectedError(`the server sent ${messageOf(error)}`, { cause: error }));
    }
  }

  #onFrame(frame: Buffer): void {
    if (this.#ended) return;
    const packet = this.#packets.read(frame);
    switch (packet.cmd) {
      case "pingresp":
        this.#pingOut = false;
        for (const { settled } of this.#held.answered()) settled?.(ACK);
        if (this.#held.unasked > 0) this.#askSoon();
        break;
      case "puback":
        this.#onPuback(packet.messageId ?? 0, packet.reasonCode ?? 0);
        break;
      case "suback":
        if (this.#suback !== undefined && packet.messageId === this.#suback.id) this.#suback.resolve(packet);
        break;
      case "publish":
        this.#onPublish(packet);
        break;
      case "disconnect": {
        const { clientId } = this.#settings.terms;
        this.lose(disconnectError(packet.reasonCode ?? 0, packet.properties?.reasonString, clientId));
        break;
      }
      default:
        this.#settings.log.debug({ packet: packet.cmd }, "a packet that nobody asked for");
    }
    this.#settings.onChange();
  }

  #onPuback(id: number, code: number): void {
    const held = this.#held.take(id);
    if (held === undefined) return;
    this.#unacked--;
    const verdict = pubackVerdict(code, ++this.#refusals);
    if (verdict === "reconnect") {
      this.lose(new NotConnectedError(`a message was refused: ${reasonText(code)}`));
      return;
    }
    if (verdict.kind !== "retry") this.#refusals = 0;
    if (held.verdict === undefined || held.verdict.kind === "ack") held.verdict = verdict;
    if (--held.left === 0) held.settled?.(held.verdict);
    this.#flush();
  }

  #onPublish({ topic, payload, retain, qos, messageId }: IPublishPacket): void {
    const body = typeof payload === "string" ? Buffer.from(payload) : Buffer.from(payload);
    const answer = () => {
      if (qos === 0 || this.#ended || messageId === undefined) return;
      this.#write(generate({ cmd: "puback", messageId }, { protocolVersion: this.#settings.terms.version }));
    };
    // In the order in which they came [MQTT-4.6.0-2].
    const done = this.#settings.onMessage({ topic, payload: body, retain });
    this.#answers = this.#answers.then(() => done).then(answer);
  }

  #tick(): void {
    const now = monotonicMs();
    const { keepaliveMs } = this.#settings.terms;
    const silentMs = now - this.#heardMs;
    if (silentMs >= 1.4 * keepaliveMs) {
      this.lose(new NotConnectedError(`no sign of life from the server for ${Math.round(silentMs)} ms`));
      return;
    }
    const oldest = this.#held.oldestMs();
    if (oldest !== undefined && now - oldest >= this.#settings.ackTimeoutMs) {
      this.lose(new NotConnectedError(`no sign for ${Math.round(now - oldest)} ms that the server has what was sent`));
      return;
    }
    const quietMs = Math.max(silentMs, now - this.#saidMs);
    if (quietMs >= 0.7 * keepaliveMs && now - this.#pingMs >= 0.5 * keepaliveMs) this.#ask();
  }

  /** Servers of 3.1.1, and some of 5, give no reason; soon after the start it is mostly one of two. */
  #closedByServer(): string {
    if (monotonicMs() - this.#startedMs > SOON_MS) return "the server closed the connection";
    const { clientId } = this.#settings.terms;
    return `the server closed a new connection; is the client id ${clientId} used twice, or may it not publish here?`;
  }

  #end(error: Error): void {
    this.#ended = true;
    clearInterval(this.#timer);
    this.#forgetToAsk();
    clearTimeout(this.#flushing);
    for (const { last } of this.#queue) if (last?.left === 0) last.settled?.(UNSENT);
    this.#queue = [];
    this.#suback?.reject(error);
    for (const { settled } of this.#held.takeAll()) settled?.(LOST);
    this.#settings.onChange();
  }
}

function isData({ type }: NodePublish): boolean {
  return DATA.has(type);
}
