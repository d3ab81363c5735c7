import { type FileHandle, open } from "node:fs/promises";
import { moreCrc } from "./crc.ts";
import { HEADER_KEY, sourceKey } from "./keys.ts";
import type { OnMeta } from "./log-batch.ts";
import { RecordReader } from "./record.ts";
import type { StoredRecord } from "./segment-store.ts";

const CHUNK = 1024 * 1024;
/** An entry's lengths, key and LevelDB's trailer of it (u64 little-endian: number of the write << 8 | kind) at most. */
const MOST_HEAD = 2 + 5 + 16;
const TRAILER = 8;
const PUT = 1;
/** Lengths of a record's, a dictionary entry's and the header's key, with trailer. */
const RECORD = 8 + TRAILER;
const SOURCE = 5 + TRAILER;
const HEADER = 1 + TRAILER;
const SOURCE_FIRST = 0x44;
const MARK_BYTES = 64 * 1024;
const MOST_GUESSES = 4096;

/** A place in a table, and the record that was found last before it: its seq, and LevelDB's number of its writing. */
interface Place {
  readonly at: number;
  readonly seq: number;
  readonly number: number;
}

type OnRecord = (seq: number, value: Buffer) => boolean;

/**
 * A table of LevelDB (`.ldb`), read without LevelDB: which ends the process on some damage, and cannot read a table that
 * no MANIFEST names. Of the format only entries are looked at: shared key length, rest of key length, value length, rest
 * of key, value. The part of a key that an entry shares with the one before is not needed: seqs go on one by one, the
 * last bytes of a seq are always there, and each record's checksum tells whether the seq was the right one. So whatever
 * is damaged costs what it hit.
 */
export class TableFile {
  readonly #file: FileHandle;
  readonly #bytes: number;
  readonly #base: number | undefined;
  readonly #marks: Place[];
  readonly #record = new RecordReader();
  #last = 0;

  private constructor(file: FileHandle, bytes: number, base: number | undefined, first: number) {
    this.#file = file;
    this.#bytes = bytes;
    this.#base = base;
    this.#marks = [{ at: 0, seq: first - 1, number: 0 }];
  }

  /**
   * Opens a table and goes through it once. `base` is the crc of the segment's origin; without it nothing but the header
   * is looked for. `first` is the first seq that can be in it. @throws the system's error.
   */
  static async open(path: string, base: number | undefined, first: number, onMeta: OnMeta): Promise<TableFile> {
    const file = await open(path, "r");
    try {
      const table = new TableFile(file, (await file.stat()).size, base, first);
      await table.#scan(onMeta);
      return table;
    } catch (error) {
      await file.close().catch(() => {});
      throw error;
    }
  }

  /** Records from seq `from` to `to` that pass their checksum, in order, as `OpenSegment.read` gives them. */
  async read(from: number, to: number, maxRecords: number, maxBytes: number): Promise<StoredRecord[]> {
    const found: StoredRecord[] = [];
    if (from > this.#last) return found;
    let bytes = 0;
    const start = this.#marks.findLast(({ seq }) => seq < from) ?? this.#marks[0];
    if (!start) return found;
    await this.#walk(start, undefined, (seq, value) => {
      if (seq < from) return true;
      if (seq > to || found.length >= maxRecords || (bytes + value.length > maxBytes && found.length > 0)) return false;
      found.push({ seq, value });
      bytes += value.length;
      return true;
    });
    return found;
  }

  async close(): Promise<void> {
    await this.#file.close().catch(() => {});
  }

  async #scan(onMeta: OnMeta): Promise<void> {
    const [start] = this.#marks;
    if (!start) return;
    await this.#walk(start, onMeta, (seq) => {
      this.#last = seq;
      return true;
    });
  }

  /** Calls back for each record from a place on, until that gives false. With `onMeta` it remembers places on its way. */
  async #walk(start: Place, onMeta: OnMeta | undefined, onRecord: OnRecord): Promise<void> {
    let want = CHUNK;
    for (let place = start; place.at < this.#bytes; ) {
      const chunk = await this.#load(place.at, want);
      const last = place.at + chunk.length >= this.#bytes || chunk.length < want;
      const entries = new Entries(chunk, this.#bytes - place.at, last);
      let found = place;
      while (entries.find()) {
        const next = this.#take(entries, found, onMeta, onRecord);
        if (next === "enough") return;
        if (next) entries.pos = entries.end;
        else entries.pos++;
        found = next ?? found;
        if (next && onMeta) this.#mark({ ...found, at: place.at + entries.pos });
      }
      if (last) return;
      want = Math.max(CHUNK, entries.wanted);
      place = { ...found, at: place.at + entries.pos };
    }
  }

  /** The entry that was found, if it is one: gives what is known behind it. */
  #take(entries: Entries, place: Place, onMeta: OnMeta | undefined, onRecord: OnRecord): Place | "enough" | undefined {
    if (!entries.isRecord) return onMeta && this.#meta(entries, onMeta) ? place : undefined;
    if (this.#base === undefined) return place;
    const seq = this.#seqOf(entries, place, this.#base);
    if (seq === undefined) return undefined;
    return onRecord(seq, entries.value()) ? { ...place, seq, number: entries.number } : "enough";
  }

  #mark(place: Place): void {
    const before = this.#marks.at(-1);
    if (!before || place.at >= before.at + MARK_BYTES) this.#marks.push(place);
  }

  /** The seq with the bytes that are there, behind the last one, with which the checksum passes. */
  #seqOf(entries: Entries, { seq: last, number }: Place, base: number): number | undefined {
    const { suffix, suffixBytes } = entries;
    const value = entries.value();
    const step = 256 ** suffixBytes;
    // No more records lie between than LevelDB counted writes.
    const most = suffixBytes === 8 ? suffix : last + entries.number - number;
    let seq = suffixBytes === 8 ? suffix : last + 1 + modulo(suffix - (last + 1), step);
    for (let guesses = 0; seq <= most && seq > last && guesses < MOST_GUESSES; seq += step, guesses++) {
      if (this.#record.openIfWhole(base, seq, value)) return seq;
    }
    return undefined;
  }

  /** A dictionary entry or the header. Gives whether it was one. */
  #meta(entries: Entries, onMeta: OnMeta): boolean {
    const value = entries.value();
    if (value.length < 4) return false;
    if (entries.keyBytes === HEADER) {
      if (entries.suffix !== HEADER_KEY[0]) return false;
      onMeta(HEADER_KEY, value);
      return true;
    }
    if (entries.keyBytes !== SOURCE || this.#base === undefined) return false;
    const { suffixBytes } = entries;
    // With all five bytes there, the first is the kind of the key.
    const low = suffixBytes === 5 ? entries.suffix - SOURCE_FIRST * 2 ** 32 : entries.suffix;
    for (let id = low; id >= 0 && id <= 0xffff_ffff && id <= low + 255 * 256 ** suffixBytes; id += 256 ** suffixBytes) {
      const key = sourceKey(id);
      if (value.readUInt32BE(0) !== moreCrc(moreCrc(this.#base, key), value.subarray(4))) continue;
      onMeta(key, value);
      return true;
    }
    return false;
  }

  async #load(at: number, bytes: number): Promise<Buffer> {
    const chunk = Buffer.allocUnsafeSlow(Math.min(bytes, this.#bytes - at));
    let length = 0;
    while (length < chunk.length) {
      const { bytesRead } = await this.#file.read(chunk, length, chunk.length - length, at + length);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    return chunk.subarray(0, length);
  }
}

/** Finds entries in a piece of a table; `left` bytes of the table begin with it, and are all of it where it is the `last`. */
class Entries {
  readonly #data: Buffer;
  readonly #left: number;
  readonly #last: boolean;
  pos = 0;
  /** Behind the entry that was read. */
  end = 0;
  keyBytes = 0;
  /** What the entry has of its key before the trailer, as a number. */
  suffix = 0;
  suffixBytes = 0;
  /** LevelDB's number of the write. */
  number = 0;
  #valueAt = 0;

  /** Bytes from `pos` on that are needed to go on there. */
  wanted = 0;

  constructor(data: Buffer, left: number, last: boolean) {
    this.#data = data;
    this.#left = left;
    this.#last = last;
  }

  /** Goes on, from `pos`, to where an entry of ours can be. Gives false where the next piece is needed first. */
  find(): boolean {
    const { length } = this.#data;
    this.wanted = 0;
    for (; this.pos < length; this.pos++) {
      if (!this.#last && this.pos + MOST_HEAD > length) return false;
      if (!this.#read()) continue;
      if (this.end <= length) return true;
      if (this.#last) continue;
      this.wanted = this.end - this.pos + MOST_HEAD;
      return false;
    }
    return false;
  }

  #read(): boolean {
    const data = this.#data;
    const shared = data[this.pos] ?? 0xff;
    const own = data[this.pos + 1] ?? 0xff;
    this.keyBytes = shared + own;
    if (
      own <= TRAILER ||
      own > RECORD ||
      (this.keyBytes !== RECORD && this.keyBytes !== SOURCE && this.keyBytes !== HEADER)
    )
      return false;
    let at = this.pos + 2;
    let length = 0;
    for (let shift = 1; ; shift *= 128) {
      const byte = data[at++];
      if (byte === undefined || shift > 0x1000_0000) return false;
      length += (byte & 0x7f) * shift;
      if (byte < 0x80) break;
    }
    this.suffixBytes = own - TRAILER;
    const trailer = at + this.suffixBytes;
    if (trailer + TRAILER > data.length) return false;
    if (data[trailer] !== PUT || data[trailer + 6] !== 0 || data[trailer + 7] !== 0) return false;
    this.number = data.readUIntLE(trailer + 1, 5);
    this.suffix = 0;
    for (let i = at; i < trailer; i++) this.suffix = this.suffix * 256 + (data[i] ?? 0);
    this.#valueAt = trailer + TRAILER;
    this.end = this.#valueAt + length;
    return this.end <= this.#left;
  }

  get isRecord(): boolean {
    return this.keyBytes === RECORD;
  }
  value(): Buffer {
    return this.#data.subarray(this.#valueAt, this.end);
  }
}

function modulo(value: number, by: number): number {
  return ((value % by) + by) % by;
}
