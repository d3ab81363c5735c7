import { RecordReader } from "./record.ts";
import type { StoredRecord } from "./segment-store.ts";

/** A write batch of LevelDB: sequence (8), count (4), then per entry: type, key length, key, value length, value. */
const ENTRIES = 12;
const PUT = 1;
const RECORD_KEY = 8;
/** How an entry begins whose key is a seq below 2^56, a dictionary entry's or the header's. */
const RECORD_START = Buffer.from([PUT, RECORD_KEY, 0]);
const SOURCE_START = Buffer.from([PUT, 5, 0x44]);
const HEADER_START = Buffer.from([PUT, 1, 0x48]);

/** Takes what a batch holds besides records. */
export type OnMeta = (key: Buffer, value: Buffer) => void;

/**
 * The records of an undamaged batch from seq `from` on; undefined where something about it is not as it was written:
 * its lengths, or its seqs, which go on one by one from `expected`.
 */
export function recordsOf(data: Buffer, expected: number, from: number, onMeta: OnMeta): Taken | undefined {
  if (data.length < ENTRIES) return undefined;
  const entry = new EntryReader(data);
  const records: StoredRecord[] = [];
  let next = expected;
  entry.pos = ENTRIES;
  for (let left = data.readUInt32LE(8); left > 0; left--) {
    if (!entry.read()) return undefined;
    if (!entry.isRecord) {
      onMeta(entry.key(), entry.value());
      continue;
    }
    const seq = entry.seq();
    if (seq !== next) return undefined;
    if (seq >= from) records.push({ seq, value: entry.value() });
    next = seq + 1;
  }
  return entry.pos === data.length ? { records, next } : undefined;
}

export interface Taken {
  readonly records: StoredRecord[];
  /** The seq that should come next. */
  readonly next: number;
}

/**
 * The records that can still be made out in damaged bytes: at any place where one can begin, if it passes its checksum
 * and comes at or after `expected`.
 */
export function salvage(data: Buffer, base: number, expected: number, onMeta: OnMeta): Taken {
  const entry = new EntryReader(data);
  const record = new RecordReader();
  const starts = new Starts(data);
  const records: StoredRecord[] = [];
  let next = expected;
  for (let at = starts.from(0); at >= 0; at = starts.from(at)) {
    entry.pos = at++;
    if (!entry.read()) continue;
    if (!entry.isRecord) {
      onMeta(entry.key(), entry.value());
      continue;
    }
    const seq = entry.seq();
    if (seq < next || !record.openIfWhole(base, seq, entry.value())) continue;
    records.push({ seq, value: entry.value() });
    next = seq + 1;
    at = entry.pos;
  }
  return { records, next };
}

/** The places in some bytes where an entry can begin. */
class Starts {
  readonly #data: Buffer;
  readonly #kinds = [RECORD_START, SOURCE_START, HEADER_START].map((bytes) => ({ bytes, at: -1 }));

  constructor(data: Buffer) {
    this.#data = data;
  }

  /** The first one at or after `from`, which never becomes less; -1 where there is none. */
  from(from: number): number {
    let best = this.#data.length;
    for (const kind of this.#kinds) {
      if (kind.at < from) {
        const found = this.#data.indexOf(kind.bytes, from);
        kind.at = found < 0 ? this.#data.length : found;
      }
      best = Math.min(best, kind.at);
    }
    return best < this.#data.length ? best : -1;
  }
}

/** Reads one entry after another out of a batch; one object serves the whole batch. */
class EntryReader {
  readonly #data: Buffer;
  pos = 0;
  #keyAt = 0;
  #keyLength = 0;
  #valueAt = 0;

  constructor(data: Buffer) {
    this.#data = data;
  }

  /** Steps over the entry at `pos`. Gives false where there is none that is complete. */
  read(): boolean {
    const data = this.#data;
    if (data[this.pos] !== PUT) return false;
    this.pos++;
    this.#keyLength = this.#varint();
    this.#keyAt = this.pos;
    this.pos += this.#keyLength;
    const valueLength = this.#varint();
    this.#valueAt = this.pos;
    this.pos += valueLength;
    return this.pos <= data.length;
  }

  get isRecord(): boolean {
    return this.#keyLength === RECORD_KEY;
  }
  seq(): number {
    return this.#data.readUInt32BE(this.#keyAt) * 0x1_0000_0000 + this.#data.readUInt32BE(this.#keyAt + 4);
  }
  key(): Buffer {
    return this.#data.subarray(this.#keyAt, this.#keyAt + this.#keyLength);
  }
  value(): Buffer {
    return this.#data.subarray(this.#valueAt, this.pos);
  }

  /** At most five bytes; beyond the end it gives what makes the entry incomplete. */
  #varint(): number {
    let value = 0;
    for (let shift = 1; shift <= 0x1000_0000; shift *= 128) {
      const byte = this.#data[this.pos++];
      if (byte === undefined) return this.#data.length + 1;
      value += (byte & 0x7f) * shift;
      if (byte < 0x80) return value;
    }
    return this.#data.length + 1;
  }
}
