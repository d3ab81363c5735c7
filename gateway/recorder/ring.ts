import { Buffer } from "node:buffer";

const SEGMENT = 32_768;
/** Kind, peer, length, connection, monotonic and wall time. */
const HEADER = 32;
const MOST_PAYLOAD = SEGMENT - HEADER;

export type RingKind = 1 | 2 | 3 | 4;

export interface RingEntry {
  readonly kind: RingKind;
  readonly peer: number;
  readonly connection: number;
  readonly monoMs: number;
  readonly wallMs: number;
  readonly bytes: Buffer;
}

interface Segment {
  readonly buffer: Buffer;
  /** Number of its first entry. */
  first: number;
  entries: number;
  used: number;
  lastMs: number;
}

/**
 * What was written last, up to a number of bytes and an age. Memory is taken in segments as it is needed, and the oldest one
 * is written over; so a quiet link takes little, and writing allocates nothing once it is full.
 */
export class Ring {
  readonly #most: number;
  readonly #ageMs: number;
  /** Oldest first; the last one is written to. */
  readonly #segments: Segment[] = [];
  #next = 0;

  constructor(maxBytes: number, ageMs: number) {
    this.#most = Math.max(2, Math.floor(maxBytes / SEGMENT));
    this.#ageMs = ageMs;
  }

  /** Number of the entry that is written next. */
  get next(): number {
    return this.#next;
  }

  /** Bytes of memory taken. */
  get memory(): number {
    return this.#segments.length * SEGMENT;
  }

  /** What is too long for one entry becomes several. */
  write(kind: RingKind, bytes: Uint8Array, peer: number, connection: number, monoMs: number, wallMs: number): void {
    let at = 0;
    do {
      const length = Math.min(MOST_PAYLOAD, bytes.length - at);
      const segment = this.#room(HEADER + length, monoMs);
      const { buffer, used } = segment;
      buffer[used] = kind;
      buffer.writeUInt16LE(peer & 0xffff, used + 2);
      buffer.writeUInt32LE(length, used + 4);
      buffer.writeUInt32LE(connection, used + 8);
      buffer.writeDoubleLE(monoMs, used + 16);
      buffer.writeDoubleLE(wallMs, used + 24);
      buffer.set(length === bytes.length ? bytes : bytes.subarray(at, at + length), used + HEADER);
      segment.used += HEADER + length;
      segment.entries++;
      segment.lastMs = monoMs;
      this.#next++;
      at += length;
    } while (at < bytes.length);
  }

  /**
   * Copies of the entries from number `from` that are not older than the age, oldest first; `first` is the number of the
   * first of them, greater than `from` where some are gone.
   */
  since(from: number, nowMs: number): { readonly first: number; readonly entries: RingEntry[] } {
    const entries: RingEntry[] = [];
    let first = this.#next;
    for (const segment of this.#segments) {
      if (segment.first + segment.entries <= from) continue;
      const copy = Buffer.from(segment.buffer.subarray(0, segment.used));
      let at = 0;
      for (let number = segment.first; at < segment.used; number++) {
        const entry = entryAt(copy, at);
        at += HEADER + entry.bytes.length;
        if (number < from || nowMs - entry.monoMs > this.#ageMs) continue;
        first = Math.min(first, number);
        entries.push(entry);
      }
    }
    return { first, entries };
  }

  #room(length: number, nowMs: number): Segment {
    const current = this.#segments.at(-1);
    if (current && current.used + length <= SEGMENT) return current;
    const [oldest] = this.#segments;
    const reuse = oldest && (this.#segments.length >= this.#most || nowMs - oldest.lastMs > this.#ageMs);
    const buffer = reuse ? oldest.buffer : Buffer.alloc(SEGMENT);
    if (reuse) this.#segments.shift();
    const segment = { buffer, first: this.#next, entries: 0, used: 0, lastMs: nowMs };
    this.#segments.push(segment);
    return segment;
  }
}

function entryAt(buffer: Buffer, at: number): RingEntry {
  const length = buffer.readUInt32LE(at + 4);
  const kind = buffer[at];
  return {
    kind: kind === 1 || kind === 2 || kind === 3 ? kind : 4,
    peer: buffer.readUInt16LE(at + 2),
    connection: buffer.readUInt32LE(at + 8),
    monoMs: buffer.readDoubleLE(at + 16),
    wallMs: buffer.readDoubleLE(at + 24),
    bytes: buffer.subarray(at + HEADER, at + HEADER + length),
  };
}
