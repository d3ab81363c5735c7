import { setTimeout as pause } from "node:timers/promises";
import { NotConnectedError } from "../../../gateway/core/errors.ts";
import { isSerial, type LinkOptions, type Transport } from "../options.ts";
import type { Channel, OpenChannel } from "../ports/channel.ts";
import { TcpChannel } from "../ports/tcp-channel.ts";
import { UdpChannel } from "../ports/udp-channel.ts";
import { charMs, silenceMs } from "../wire.ts";
import { asciiInquiry, type Heard, type InquiryWire, mbapInquiry, rtuInquiry } from "./inquiry.ts";

/** What came of a question: a well-formed answer, bytes that are none, silence, or the far side hung up. */
export type Outcome =
  | { readonly kind: "answer"; readonly body: Buffer }
  | { readonly kind: "broken" | "silent" | "hung up" };

/** How long a unit has before its answer begins, where nobody says it: most need less, gateways in front of lines more. */
const PATIENCE_MS = { serial: 250, net: 500 };
const EMPTY = Buffer.alloc(0);

/**
 * Asks single units single questions of any function, beside the driver: whatever is well-formed counts, from whomever it
 * comes, because here the question is who is there.
 */
export class Prober {
  readonly #transport: Transport;
  readonly #wire: InquiryWire;
  readonly #patienceMs: number;
  readonly #connectMs: number;
  /** Called for what came from another unit than the one that is asked: late, but there. */
  readonly #stray: (unit: number, body: Buffer) => void;
  #channel: Channel | undefined;
  #received: Buffer = EMPTY;
  #sent: Buffer = EMPTY;
  #id = 0;
  #askedById = new Map<number, number>();
  #broken = false;
  #lost: NotConnectedError | undefined;
  #hear: (heard: Heard | "lost") => void = (heard) => this.#overhear(heard);

  constructor(
    link: Pick<LinkOptions, "transport" | "connectTimeout">,
    patienceMs: number | undefined,
    stray: (unit: number, body: Buffer) => void,
  ) {
    this.#transport = link.transport;
    this.#connectMs = link.connectTimeout;
    this.#wire = wireOf(link.transport);
    this.#patienceMs = patienceMs ?? (isSerial(link.transport) ? PATIENCE_MS.serial : PATIENCE_MS.net);
    this.#stray = stray;
  }

  /** Milliseconds that a unit which is not there costs. */
  get silentMs(): number {
    return this.#patienceMs + this.#wireMs(8, 7);
  }

  /** @throws NotConnectedError naming who has the port. */
  async open(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#lost = undefined;
    this.#received = EMPTY;
    this.#askedById = new Map();
    const open = await opener(this.#transport);
    const channel = open({ data: (chunk) => this.#take(chunk), closed: (reason) => this.#closed(channel, reason) });
    this.#channel = channel;
    const cancel = new AbortController();
    try {
      await Promise.race([channel.open(), this.#tooLate(cancel.signal, signal)]);
    } catch (error) {
      await channel.close();
      throw error;
    } finally {
      cancel.abort();
    }
  }

  /** @throws signal.reason; NotConnectedError where the connection was lost before the question. */
  async ask(unit: number, pdu: Buffer, signal: AbortSignal): Promise<Outcome> {
    signal.throwIfAborted();
    const channel = this.#channel;
    if (!channel || this.#lost) throw this.#lost ?? new NotConnectedError("not connected");
    if (isSerial(this.#transport)) await pause(Math.ceil(silenceMs(this.#transport)));
    await channel.flush?.();
    const body = Buffer.concat([Buffer.of(unit), pdu]);
    this.#id = (this.#id + 1) & 0xffff;
    this.#askedById.set(this.#id, unit);
    this.#received = EMPTY;
    this.#broken = false;
    this.#sent = this.#wire.wrap(body, this.#id);
    const limitMs = this.#patienceMs + this.#wireMs(this.#sent.length, ANSWER_BYTES[pdu[0] ?? 0] ?? 7);
    const heard = this.#wait(unit, pdu[0] ?? 0, limitMs, signal);
    channel.write(this.#sent);
    return await heard;
  }

  /** Idempotent, never rejects. */
  async close(): Promise<void> {
    await this.#channel?.close();
  }

  #wait(unit: number, code: number, limitMs: number, signal: AbortSignal): Promise<Outcome> {
    const id = this.#id;
    return new Promise((resolve, reject) => {
      const end = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", onAbort);
        this.#hear = (heard) => this.#overhear(heard);
      };
      const onAbort = () => {
        end();
        reject(signal.reason);
      };
      const timer = setTimeout(() => {
        end();
        resolve({ kind: this.#broken ? "broken" : "silent" });
      }, limitMs);
      signal.addEventListener("abort", onAbort, { once: true });
      this.#hear = (heard) => {
        if (heard === "lost") {
          end();
          resolve({ kind: "hung up" });
          return;
        }
        const { body } = heard;
        if (this.#unitOf(heard) !== unit || (heard.id !== undefined && heard.id !== id)) {
          this.#overhear(heard);
          return;
        }
        if (((body[1] ?? 0) & 0x7f) !== code) return;
        end();
        resolve({ kind: "answer", body });
      };
    });
  }

  #unitOf({ body, id }: Heard): number | undefined {
    return id === undefined ? body[0] : this.#askedById.get(id);
  }

  /** An answer that nobody waits for any more still shows that somebody is there. */
  #overhear(heard: Heard | "lost"): void {
    const unit = heard === "lost" ? undefined : this.#unitOf(heard);
    if (heard !== "lost" && unit !== undefined && isThere(heard.body)) this.#stray(unit, heard.body);
  }

  #take(chunk: Buffer): void {
    this.#received = Buffer.concat([this.#received, chunk]);
    // A line may hear itself: then the question comes back first.
    if (this.#wire !== mbapInquiry) {
      if (
        this.#received.length < this.#sent.length &&
        this.#sent.subarray(0, this.#received.length).equals(this.#received)
      )
        return;
      if (this.#sent.length > 0 && this.#received.subarray(0, this.#sent.length).equals(this.#sent)) {
        this.#received = this.#received.subarray(this.#sent.length);
        this.#sent = EMPTY;
      }
    }
    const { heard, rest, broken } = this.#wire.cut(this.#received);
    this.#received = rest;
    if (broken || rest.length > 0) this.#broken = true;
    for (const each of heard) this.#hear(each);
  }

  #closed(channel: Channel, reason: NotConnectedError): void {
    if (channel !== this.#channel) return;
    this.#lost = reason;
    this.#hear("lost");
  }

  #wireMs(asked: number, answered: number): number {
    if (!isSerial(this.#transport)) return 0;
    const chars = asked + answered;
    return (this.#transport.type === "ascii" ? 2 * chars + 6 : chars) * charMs(this.#transport);
  }

  async #tooLate(done: AbortSignal, signal: AbortSignal): Promise<never> {
    try {
      await pause(this.#connectMs, undefined, { signal: AbortSignal.any([done, signal]) });
    } catch {
      signal.throwIfAborted();
    }
    throw new NotConnectedError(`no connection within ${this.#connectMs} ms`);
  }
}

/** Longest usual answers: what a person wrote about a device, in 43/14 and 17. */
const ANSWER_BYTES: Readonly<Record<number, number>> = { 43: 120, 17: 80 };

/** A gateway that says it cannot reach a unit says nothing about the unit (V1.1b3, 7: exceptions 10 and 11). */
export function isThere(body: Buffer): boolean {
  const isException = ((body[1] ?? 0) & 0x80) !== 0;
  return !(isException && (body[2] === 10 || body[2] === 11));
}

function wireOf({ type }: Transport): InquiryWire {
  if (type === "tcp" || type === "udp") return mbapInquiry;
  return type === "ascii" || type === "ascii-over-tcp" ? asciiInquiry : rtuInquiry;
}

async function opener(transport: Transport): Promise<OpenChannel> {
  if (isSerial(transport)) {
    const { SerialLine } = await import("../ports/serial-line.ts");
    return (events) => new SerialLine(transport, events);
  }
  return (events) => (transport.type === "udp" ? new UdpChannel(transport, events) : new TcpChannel(transport, events));
}
