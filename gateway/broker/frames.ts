/**
 * Reads MQTT 3.1.1 packets out of a byte stream by their fixed headers alone, and refuses one as soon as its header
 * shows that it cannot be taken. Nothing is decoded; only bytes of one incomplete packet are ever kept, never more than
 * have arrived (doubled at most).
 */

/** Why a connection was cut at the header. Also the label of the metric. */
export type FrameFaultReason = "not-connect" | "unexpected-packet" | "malformed" | "too-large";

/** The bytes cannot be MQTT that this broker takes. The connection is destroyed; nothing is answered. */
export class FrameFault extends Error {
  readonly reason: FrameFaultReason;
  constructor(reason: FrameFaultReason, message: string) {
    super(message);
    this.name = "FrameFault";
    this.reason = reason;
  }
}

export const CONNECT = 1;
export const PUBLISH = 3;
const SUBSCRIBE = 8;
const UNSUBSCRIBE = 10;

/** One whole packet, by its header. */
export interface Frame {
  readonly type: number;
  readonly qos: number;
  /** Bytes of the packet with its header. */
  readonly size: number;
}

interface Header extends Frame {
  readonly headerBytes: number;
}

interface Shape {
  /** Reserved bits of the first byte [MQTT-2.2.2-1]; PUBLISH has none. */
  readonly flags?: number;
  /** Least and greatest remaining length. */
  readonly least: number;
  readonly most?: number;
}

/** What a client may send (MQTT 3.1.1 section 3). */
const SHAPES: ReadonlyMap<number, Shape> = new Map([
  [CONNECT, { flags: 0, least: 10 }],
  [PUBLISH, { least: 3 }],
  [4, { flags: 0, least: 2, most: 2 }],
  [5, { flags: 0, least: 2, most: 2 }],
  [6, { flags: 2, least: 2, most: 2 }],
  [7, { flags: 0, least: 2, most: 2 }],
  [SUBSCRIBE, { flags: 2, least: 6 }],
  [UNSUBSCRIBE, { flags: 2, least: 5 }],
  [12, { flags: 0, least: 0, most: 0 }],
  [14, { flags: 0, least: 0, most: 0 }],
]);

const EMPTY = Buffer.alloc(0);

/** A packet that has not arrived whole. */
class Assembly {
  #bytes = Buffer.allocUnsafe(64);
  #used = 0;

  get used(): number {
    return this.#used;
  }
  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#used);
  }
  add(chunk: Buffer, from: number, to: number): void {
    const need = this.#used + to - from;
    if (need > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(need, this.#bytes.length * 2));
      this.#bytes.copy(larger, 0, 0, this.#used);
      this.#bytes = larger;
    }
    chunk.copy(this.#bytes, this.#used, from, to);
    this.#used = need;
  }
}

/**
 * Use: `feed` a chunk, then `next` for each whole packet; `accept` passes it on, otherwise it stays the next one.
 * `drain` hands out what was accepted, byte for byte. A new chunk may be fed at any time.
 */
export class FrameReader {
  readonly #maxPacket: number;
  readonly #maxConnect: number;
  #connected = false;
  #partial: Assembly | undefined;
  #input: Buffer = EMPTY;
  /** Accepted up to `#cursor`, of which everything before `#drained` was handed out. */
  #cursor = 0;
  #drained = 0;
  #current: Frame | undefined;
  #accepted: Buffer[] = [];

  /** Bytes of a packet with its header, and of a CONNECT. */
  constructor(maxPacket: number, maxConnect = maxPacket) {
    this.#maxPacket = maxPacket;
    this.#maxConnect = maxConnect;
  }

  /** @throws FrameFault when the chunk completes a header that is refused. */
  feed(chunk: Buffer): void {
    this.#flush();
    const rest = this.#input.length - this.#cursor;
    this.#input = rest === 0 ? chunk : Buffer.concat([this.#input.subarray(this.#cursor), chunk]);
    this.#cursor = 0;
    this.#drained = 0;
    if (this.#partial && !this.#current) this.#complete(this.#partial);
  }

  /** @throws FrameFault. Undefined when no whole packet is there. */
  next(): Frame | undefined {
    if (this.#current) return this.#current;
    const at = this.#cursor;
    const header = this.#header(this.#input, at, this.#input.length);
    if (header && at + header.size <= this.#input.length) {
      this.#current = checked(header, this.#input, at);
    } else if (at < this.#input.length) {
      this.#flush();
      this.#partial = new Assembly();
      this.#partial.add(this.#input, at, this.#input.length);
      this.#input = EMPTY;
      this.#cursor = 0;
      this.#drained = 0;
    }
    return this.#current;
  }

  /** Passes the packet that `next` returned. */
  accept(): void {
    const frame = this.#current;
    if (!frame) return;
    this.#current = undefined;
    if (frame.type === CONNECT) this.#connected = true;
    if (this.#partial) {
      this.#accepted.push(this.#partial.bytes);
      this.#partial = undefined;
    } else {
      this.#cursor += frame.size;
    }
  }

  /** The bytes accepted since the last call. */
  drain(): Buffer[] {
    this.#flush();
    const accepted = this.#accepted;
    if (accepted.length > 0) this.#accepted = [];
    return accepted;
  }

  #flush(): void {
    if (this.#cursor > this.#drained) this.#accepted.push(this.#input.subarray(this.#drained, this.#cursor));
    this.#drained = this.#cursor;
  }

  /** Moves into the incomplete packet what it lacks, and no byte more. */
  #complete(partial: Assembly): void {
    let header = this.#header(partial.bytes, 0, partial.used);
    while (!header && this.#cursor < this.#input.length) {
      partial.add(this.#input, this.#cursor, this.#cursor + 1);
      this.#cursor += 1;
      header = this.#header(partial.bytes, 0, partial.used);
    }
    if (header) {
      const take = Math.min(header.size - partial.used, this.#input.length - this.#cursor);
      partial.add(this.#input, this.#cursor, this.#cursor + take);
      this.#cursor += take;
      if (partial.used === header.size) this.#current = checked(header, partial.bytes, 0);
    }
    this.#drained = this.#cursor;
    if (!this.#current) this.#input = EMPTY;
    if (!this.#current) this.#cursor = this.#drained = 0;
  }

  /** The fixed header at `at`, checked byte by byte as it arrives; undefined while it is incomplete. */
  #header(bytes: Buffer, at: number, end: number): Header | undefined {
    const first = bytes[at];
    if (first === undefined || at >= end) return undefined;
    const shape = shapeOf(first, this.#connected);
    let length = 0;
    for (let index = 1; index <= 4; index += 1) {
      const byte = bytes[at + index];
      if (byte === undefined || at + index >= end) return undefined;
      length += (byte & 0x7f) * 128 ** (index - 1);
      if (byte < 0x80) {
        if (length < shape.least || length > (shape.most ?? length)) {
          throw new FrameFault("malformed", "impossible remaining length");
        }
        const size = 1 + index + length;
        if (size > (this.#connected ? this.#maxPacket : this.#maxConnect))
          throw new FrameFault("too-large", "the announced packet is over the limit");
        return { type: first >> 4, qos: (first >> 1) & 3, size, headerBytes: 1 + index };
      }
    }
    throw new FrameFault("malformed", "the remaining length has more than four bytes");
  }
}

/** Judges the first byte of a packet. */
function shapeOf(first: number, isConnected: boolean): Shape {
  const type = first >> 4;
  if (!isConnected && first !== CONNECT << 4) {
    throw new FrameFault("not-connect", "the first packet was not CONNECT");
  }
  const shape = SHAPES.get(type);
  if (!shape || (isConnected && type === CONNECT)) {
    throw new FrameFault("unexpected-packet", "a client does not send this packet here");
  }
  const isWrong = shape.flags === undefined ? (first & 6) === 6 : (first & 15) !== shape.flags;
  if (isWrong) throw new FrameFault("malformed", "reserved bits of the fixed header are set");
  return shape;
}

/** What a decoder would otherwise read past the packet's end for, and packet id 0 [MQTT-2.3.1-1]. */
function checked(header: Header, bytes: Buffer, at: number): Frame {
  const body = at + header.headerBytes;
  const end = at + header.size;
  if (header.type === PUBLISH) {
    const afterTopic = body + 2 + bytes.readUInt16BE(body);
    if (afterTopic + (header.qos > 0 ? 2 : 0) > end) throw new FrameFault("malformed", "PUBLISH is cut short");
    if (header.qos > 0) checkPacketId(bytes, afterTopic);
  } else if (header.type !== CONNECT && end - body >= 2) {
    checkPacketId(bytes, body);
  }
  return header;
}

function checkPacketId(bytes: Buffer, at: number): void {
  if (bytes.readUInt16BE(at) === 0) throw new FrameFault("malformed", "packet identifier 0");
}
