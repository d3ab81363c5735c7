import { Buffer } from "node:buffer";
import type { Duplex } from "node:stream";
import { generate, type IPubackPacket } from "mqtt-packet";
import { messageOf, NotConnectedError } from "../../core/errors.ts";
import type { Logger } from "../../core/log.ts";
import type { Downlink, Outgoing, Verdict } from "../../core/uplink.ts";
import { monotonicMs } from "../pause.ts";
import { Summary } from "../summary.ts";
import { Flights } from "./flights.ts";
import { FrameReader, MalformedError } from "./frames.ts";
import { MAX_ACCEPTED_BYTES, MAX_INBOUND_BYTES } from "./handshake.ts";
import { Inbound, type Subscription } from "./inbound.ts";
import { PublishWriter } from "./publish.ts";
import { disconnectError, isAlarm, pubackVerdict, reasonText } from "./reasons.ts";
import type { SessionTerms } from "./session.ts";
import { disconnectPacket, PacketReader } from "./wire.ts";

export interface ConnectionSettings {
  readonly terms: SessionTerms;
  readonly ackTimeoutMs: number;
  /** Whether record id and the rest travel as user properties. */
  readonly properties: boolean;
  /** Seconds after which the server may drop a message (MQTT 5). */
  readonly expiryS?: number;
  /** Topic aliases that the server takes (MQTT 5). */
  readonly aliases: number;
  /** What comes down, and where it goes. */
  readonly inbound?: { readonly subscriptions: readonly Subscription[]; readonly downlink: Downlink };
  readonly log: Logger;
  /** Called once when the connection ends, after every message in flight got `retry`; not after `close`. */
  readonly onLost: (error: Error) => void;
}

const PUBACK = 0x40;
const PINGREQ = Buffer.from([0xc0, 0x00]);
/** At the end: how long missing answers are waited for, and how long the socket may take to send what it holds. */
const LAST_ANSWERS_MS = 200;
const GOODBYE_MS = 500;
const SOON_MS = 30_000;
const LOST: Verdict = { kind: "retry", reason: "the connection was lost", unanswered: "sent" };
const UNSENT: Verdict = { kind: "retry", reason: "the connection was lost", unanswered: "unsent" };
const ACK: Verdict = { kind: "ack" };

/** An MQTT session after CONNACK: publishes with QoS 1, matches PUBACKs, keeps the line alive. Never connects again. */
export class Connection {
  readonly #socket: Duplex;
  readonly #settings: ConnectionSettings;
  readonly #terms: SessionTerms;
  readonly #writer: PublishWriter;
  readonly #packets: PacketReader;
  readonly #frames: FrameReader;
  readonly #flights = new Flights();
  readonly #inbound: Inbound | undefined;
  /** How often a message got a reason code that is final in the end. */
  readonly #refused = new WeakMap<Outgoing, number>();
  readonly #refusals: Summary;
  #waiting: (() => void)[] = [];
  #timer: NodeJS.Timeout | undefined;
  #ended = false;
  #closing: Promise<void> | undefined;
  #startedMs = 0;
  #heardMs = 0;
  #saidMs = 0;
  #pingMs = 0;

  constructor(socket: Duplex, settings: ConnectionSettings) {
    this.#socket = socket;
    this.#settings = settings;
    this.#terms = settings.terms;
    const { version, maxBytes, retain } = settings.terms;
    const { properties, expiryS, aliases } = settings;
    this.#writer = new PublishWriter({
      ...{ version, maxBytes, retain, aliases },
      properties: properties && version === 5,
      ...(expiryS === undefined ? {} : { expiryS }),
    });
    this.#packets = new PacketReader(version);
    this.#inbound = settings.inbound && this.#inboundOf(settings.inbound);
    const { frames, inbound } = { frames: (frame: Buffer) => this.#onFrame(frame), inbound: this.#inbound };
    this.#frames =
      inbound === undefined
        ? new FrameReader(MAX_INBOUND_BYTES, frames)
        : new FrameReader(MAX_ACCEPTED_BYTES, frames, (head, bytes) => inbound.onHuge(head, bytes));
    this.#refusals = new Summary(settings.log);
  }

  /** Takes the socket over. */
  start(): void {
    const now = monotonicMs();
    this.#startedMs = now;
    this.#heardMs = now;
    this.#saidMs = now;
    const socket = this.#socket;
    socket.on("data", (chunk: Buffer) => this.#onData(chunk));
    socket.on("drain", () => this.#wake());
    socket.on("error", (error) => this.#lose(new NotConnectedError(`the connection broke: ${error.message}`)));
    socket.on("end", () => this.#lose(new NotConnectedError(this.#closedByServer())));
    socket.on("close", () => this.#lose(new NotConnectedError("the connection was closed")));
    const everyMs = Math.min(this.#terms.keepaliveMs / 10, this.#settings.ackTimeoutMs / 10);
    this.#timer = setInterval(() => this.#tick(), Math.max(5, everyMs));
    this.#inbound?.subscribe(this.#flights.freeId());
    socket.resume();
  }

  /** What only a person can cure. */
  get alarm(): string | undefined {
    return this.#inbound?.alarm;
  }

  /** As `Uplink.send`. */
  async send(
    batch: readonly Outgoing[],
    verdict: (index: number, v: Verdict) => void,
    signal: AbortSignal,
  ): Promise<void> {
    let at = 0;
    try {
      while (at < batch.length || this.#socket.writableNeedDrain) {
        if (this.#ended) throw new NotConnectedError("the connection was lost");
        signal.throwIfAborted();
        at = this.#write(batch, at, verdict);
        if (at < batch.length || this.#socket.writableNeedDrain) await this.#change(signal);
      }
    } catch (error) {
      for (; at < batch.length; at++) verdict(at, UNSENT);
      throw error;
    }
  }

  /**
   * Waits briefly for what is in flight, says DISCONNECT and frees the socket. Where messages stay without an answer the
   * server is asked to publish our will: nobody told it that we are fine. Idempotent, never rejects.
   */
  close(): Promise<void> {
    this.#closing ??= this.#goodbye();
    return this.#closing;
  }

  async #goodbye(): Promise<void> {
    const deadline = AbortSignal.timeout(LAST_ANSWERS_MS);
    await this.#inbound?.finish(deadline);
    while (!this.#ended && this.#flights.size > 0 && !deadline.aborted) await this.#change(deadline);
    if (!this.#ended) {
      const pending = this.#flights.size > 0;
      const { version } = this.#terms;
      this.#end();
      const closed = new Promise<void>((resolve) => this.#socket.once("close", () => resolve()));
      if (version === 4 && pending) this.#socket.destroy();
      else this.#socket.end(generate(disconnectPacket(pending), { protocolVersion: version }));
      const late = setTimeout(() => this.#socket.destroy(), GOODBYE_MS);
      await closed;
      clearTimeout(late);
    }
    this.#socket.destroy();
  }

  /** Writes as much of the batch as the window takes, in one write to the socket. @returns the next index. */
  #write(batch: readonly Outgoing[], from: number, verdict: (index: number, v: Verdict) => void): number {
    const sentMs = monotonicMs();
    const rejected: [number, string][] = [];
    let at = from;
    for (; at < batch.length && this.#flights.size < this.#terms.inFlight; at++) {
      const message = batch[at];
      if (message === undefined) continue;
      const id = this.#flights.freeId();
      const fault = this.#writer.append(message, id);
      if (fault === undefined) this.#flights.add(id, { message, index: at, verdict, sentMs });
      else rejected.push([at, fault]);
    }
    if (this.#writer.size > 0) {
      this.#socket.write(this.#writer.take());
      this.#saidMs = sentMs;
    }
    for (const [index, reason] of rejected) {
      verdict(index, batch[index]?.optional === true ? ACK : { kind: "reject", reason });
    }
    return at;
  }

  #onData(chunk: Buffer): void {
    if (this.#ended) return;
    this.#heardMs = monotonicMs();
    try {
      this.#frames.push(chunk);
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error;
      this.#lose(new NotConnectedError(`the server sent ${messageOf(error)}`, { cause: error }));
    }
    this.#wake();
  }

  #onFrame(frame: Buffer): void {
    if (this.#ended) return;
    if (frame[0] === PUBACK && frame.length < 4) throw new MalformedError("a PUBACK without an identifier");
    if (frame[0] === PUBACK && (frame[4] ?? 0) < 0x80) {
      // The way of nearly every packet: no reason code, or a good one.
      // One for an identifier that is not in flight is a duplicate, or the server's mistake: it settles nothing.
      const flight = this.#flights.take(frame.readUInt16BE(2));
      flight?.verdict(flight.index, ACK);
    } else this.#onPacket(frame);
  }

  #onPacket(frame: Buffer): void {
    const packet = this.#packets.read(frame);
    if (packet.cmd === "puback") this.#onRefused(packet);
    else if (packet.cmd === "publish" && this.#inbound) this.#inbound.onPublish(packet);
    else if (packet.cmd === "suback") this.#inbound?.onSuback(packet);
    else if (packet.cmd === "disconnect") {
      const { clientId } = this.#terms;
      this.#lose(disconnectError(packet.reasonCode ?? 0, packet.properties?.reasonString, clientId));
    } else if (packet.cmd !== "pingresp") {
      this.#settings.log.debug({ packet: packet.cmd }, "a packet that nobody asked for");
    }
  }

  #onRefused(packet: IPubackPacket): void {
    const flight = this.#flights.take(packet.messageId ?? 0);
    if (flight === undefined) return;
    const code = packet.reasonCode ?? 0;
    const tries = (this.#refused.get(flight.message) ?? 0) + 1;
    this.#refused.set(flight.message, tries);
    const outcome = pubackVerdict(code, tries);
    if (isAlarm(code) && flight.message.optional !== true) {
      const reason = reasonText(code, packet.properties?.reasonString);
      this.#refusals.report("error", reason, { reason, topic: flight.message.topic }, "uplink may not publish");
    }
    if (flight.message.optional === true && outcome !== "reconnect") {
      const reason = reasonText(code, packet.properties?.reasonString);
      this.#refusals.report(
        "warn",
        "answer",
        { reason, topic: flight.message.topic },
        "an answer was refused upstream",
      );
      flight.verdict(flight.index, ACK);
      return;
    }
    flight.verdict(flight.index, outcome === "reconnect" ? LOST : outcome);
    if (outcome === "reconnect") this.#lose(new NotConnectedError(`a message was refused: ${reasonText(code)}`));
  }

  #tick(): void {
    const now = monotonicMs();
    const { keepaliveMs } = this.#terms;
    if (this.#inbound?.deaf === true) this.#heardMs = now;
    const silentMs = now - this.#heardMs;
    // Seen at the latest one tick later, which is one and a half times the keepalive.
    if (silentMs >= 1.4 * keepaliveMs) {
      this.#lose(new NotConnectedError(`no sign of life from the server for ${Math.round(silentMs)} ms`));
      return;
    }
    const oldest = this.#flights.oldestMs();
    if (oldest !== undefined && now - oldest >= this.#settings.ackTimeoutMs) {
      this.#lose(new NotConnectedError(`a PUBACK is missing for ${Math.round(now - oldest)} ms`));
      return;
    }
    if (this.#inbound?.isAsking === true && now - this.#startedMs >= this.#settings.ackTimeoutMs) {
      this.#lose(new NotConnectedError(`a SUBACK is missing for ${Math.round(now - this.#startedMs)} ms`));
      return;
    }
    const quietMs = Math.max(silentMs, now - this.#saidMs);
    if (quietMs < 0.7 * keepaliveMs || now - this.#pingMs < 0.5 * keepaliveMs) return;
    this.#pingMs = now;
    this.#saidMs = now;
    this.#socket.write(PINGREQ);
  }

  /** Servers of 3.1.1, and some of 5, give no reason; soon after the start it is mostly one of two. */
  #closedByServer(): string {
    const lastedMs = monotonicMs() - this.#startedMs;
    if (lastedMs > SOON_MS) return "the server closed the connection";
    const { clientId } = this.#terms;
    return `the server closed a new connection; is the client id ${clientId} used twice, or may it not publish here?`;
  }

  #inboundOf(inbound: NonNullable<ConnectionSettings["inbound"]>): Inbound {
    const { terms, log } = this.#settings;
    const write = (bytes: Buffer) => {
      if (this.#ended) return;
      this.#socket.write(bytes);
      this.#saidMs = monotonicMs();
    };
    const read = (on: boolean) => {
      if (on) this.#socket.resume();
      else this.#socket.pause();
    };
    return new Inbound({ ...inbound, version: terms.version, log }, { write, read });
  }

  #lose(error: Error): void {
    if (this.#ended) return;
    this.#end();
    this.#socket.destroy();
    if (this.#closing === undefined) this.#settings.onLost(error);
  }

  #end(): void {
    this.#ended = true;
    clearInterval(this.#timer);
    this.#inbound?.end();
    for (const { verdict, index } of this.#flights.takeAll()) verdict(index, LOST);
    this.#wake();
  }

  /** Resolves at the next sign that something may go on: an answer, room in the socket, the end, the signal. */
  #change(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        signal.removeEventListener("abort", done);
        resolve();
      };
      this.#waiting.push(done);
      signal.addEventListener("abort", done, { once: true });
    });
  }

  #wake(): void {
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const done of waiting) done();
  }
}
