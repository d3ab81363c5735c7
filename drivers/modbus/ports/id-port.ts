import { randomInt } from "node:crypto";
import type { NotConnectedError } from "../../../gateway/core/errors.ts";
import type { OpenChannel } from "./channel.ts";
import { HEADER, lengthIn, withHeader } from "./mbap.ts";
import { type Confusion, type CountFrame, match, StrictPort } from "./port.ts";

/** So many given up ids are kept from being used again: those of hours, on a line with dead units. */
const MAX_RETIRED = 16_384;
const NOTHING = Buffer.alloc(0);
const SURE: Confusion = { closedMs: 0, waryMs: 0 };

export interface IdPortOptions {
  /** Whether the channel gives a stream, in which frames may be cut anywhere; else each chunk is a datagram. */
  readonly stream: boolean;
  /** Questions at once. */
  readonly slots: number;
}

/**
 * Modbus over TCP or UDP. Every question has its own transaction id of 16 bits, which is not used again while its answer
 * may still come; an answer is taken only with the id, unit, function and length of the question. In a stream a header
 * that cannot be right means the place is lost: the connection is closed.
 */
export class IdPort extends StrictPort {
  readonly confusable = false;
  readonly #stream: boolean;
  #received: Buffer = NOTHING;
  #id = randomInt(0x10000);
  readonly #slotOf = new Map<number, number>();
  readonly #idOf = new Map<number, number>();
  readonly #retired = new Set<number>();

  constructor(openChannel: OpenChannel, { stream, slots }: IdPortOptions, count: CountFrame) {
    super(openChannel, slots, count);
    this.#stream = stream;
  }

  protected send(slot: number, body: Buffer): void {
    do this.#id = (this.#id + 1) & 0xffff;
    while (this.#retired.has(this.#id) || this.#slotOf.has(this.#id));
    this.#slotOf.set(this.#id, slot);
    this.#idOf.set(slot, this.#id);
    this.channel?.write(withHeader(this.#id, body));
  }

  forget(slot: number): undefined {
    if (!this.asked.delete(slot)) return;
    const id = this.#release(slot);
    if (id !== undefined) this.#retired.add(id);
    if (this.#retired.size > MAX_RETIRED) for (const oldest of this.#retired) return void this.#retired.delete(oldest);
  }

  confusion(): Confusion {
    return SURE;
  }

  protected take(chunk: Buffer): void {
    if (!this.#stream) {
      this.#takeDatagram(chunk);
      return;
    }
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    while (this.isOpen && this.#received.length >= HEADER) {
      const length = lengthIn(this.#received, 0);
      if (length === undefined) {
        this.#received = NOTHING;
        this.count("framing");
        this.give("the far side does not send Modbus TCP frames");
        return;
      }
      if (this.#received.length < HEADER + length) return;
      const end = HEADER + length;
      const isAll = this.#received.length === end;
      const frame = isAll ? this.#received : this.#received.subarray(0, end);
      this.#received = isAll ? NOTHING : this.#received.subarray(end);
      this.#sort(frame);
    }
  }

  protected override ended(reason: NotConnectedError): void {
    if (this.#received.length > 0) this.count("truncated");
    this.#received = NOTHING;
    super.ended(reason);
  }

  #takeDatagram(datagram: Buffer): void {
    if (!this.isOpen) return;
    const length = datagram.length < HEADER ? undefined : lengthIn(datagram, 0);
    if (length === undefined) this.count("noise");
    else if (datagram.length !== HEADER + length) this.count("truncated");
    else this.#sort(datagram);
  }

  #sort(frame: Buffer): void {
    const id = frame.readUInt16BE(0);
    if (this.#retired.delete(id)) {
      this.count("late");
      return;
    }
    const slot = this.#slotOf.get(id);
    const ask = slot === undefined ? undefined : this.asked.get(slot);
    if (slot === undefined || !ask) {
      this.count("foreign");
      return;
    }
    const body = frame.subarray(HEADER);
    const found = match(ask, body);
    if (found === "foreign") {
      this.count("foreign");
      return;
    }
    this.#release(slot);
    if (found === "malformed") this.fail(slot, "the answer is not one to what was asked");
    else this.settle(slot, body, found);
  }

  #release(slot: number): number | undefined {
    const id = this.#idOf.get(slot);
    this.#idOf.delete(slot);
    if (id !== undefined) this.#slotOf.delete(id);
    return id;
  }
}
