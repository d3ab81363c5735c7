import type { ClockState } from "../core/clock.ts";
import type { Content, NewRecord, Source } from "../core/record.ts";
import { ByteReader, type ByteWriter, DamagedError } from "./bytes.ts";
import { MESSAGE_KIND, readContent, SAMPLES_KIND, writeContent } from "./content.ts";
import { moreCrc, recordHeadCrc } from "./crc.ts";
import { FORMAT, NewerFormatError } from "./meta.ts";
import type { KnownSource } from "./sources.ts";

/** Offset of the first byte behind the checksum. */
const BODY = 8;
const LINKS = 24;

/** One chain that a record belongs to. `head` is the last selected seq, and moves when a record is written. */
export interface Chain {
  readonly slot: number;
  head: number;
}

/**
 * One record as decision 001 lays it out; `base` is the crc of its origin. The heads of `chains` move to `seq`.
 * The caller made sure with `sizeOf` that the content can be stored.
 */
export function encodeRecord(
  out: ByteWriter,
  base: number,
  seq: number,
  record: NewRecord,
  source: KnownSource | undefined,
  chains: readonly Chain[],
): Buffer {
  const kind = record.content.kind === "message" ? MESSAGE_KIND : SAMPLES_KIND;
  const clock = record.taken.clock === "synced" ? 1 : 0;
  out.begin();
  const head = (FORMAT << 24) | (kind << 16) | (clock << 8);
  out.u32(head);
  out.u32(0);
  out.f64(record.taken.monoMs);
  out.f64(record.taken.wallMs);
  out.varint(chains.length);
  for (const chain of chains) {
    out.varint(chain.slot);
    out.varint(seq - chain.head);
    chain.head = seq;
  }
  writeContent(out, record.content, source);
  out.patchU32(4, moreCrc(recordHeadCrc(base, seq, head), out.since(BODY)));
  return out.finish();
}

/** Looks into stored records, one at a time: one object serves a whole read, so that nothing is allocated per record. */
export class RecordReader {
  readonly #bytes = new ByteReader();
  #value: Buffer = Buffer.alloc(0);
  #seq = 0;

  /**
   * @throws DamagedError when the checksum does not fit store, stream, epoch, seq and bytes; NewerFormatError when it does
   * and the record is of a newer version.
   */
  open(base: number, seq: number, value: Buffer): void {
    if (value.length <= LINKS) throw new DamagedError("too short for a record");
    if (value.readUInt32BE(4) !== moreCrc(recordHeadCrc(base, seq, value.readUInt32BE(0)), value.subarray(BODY))) {
      throw new DamagedError("record fails its checksum");
    }
    if (value[0] !== FORMAT) {
      if ((value[0] ?? 0) > FORMAT) throw new NewerFormatError(value[0] ?? 0);
      throw new DamagedError("not a record of a known format");
    }
    this.#value = value;
    this.#seq = seq;
  }

  /** Opens it, or says that it cannot be. @throws NewerFormatError. */
  openIfWhole(base: number, seq: number, value: Buffer): boolean {
    try {
      this.open(base, seq, value);
      return true;
    } catch (error) {
      if (error instanceof DamagedError) return false;
      throw error;
    }
  }

  get wallMs(): number {
    return this.#value.readDoubleBE(16);
  }
  get monoMs(): number {
    return this.#value.readDoubleBE(8);
  }
  get clock(): ClockState {
    return this.#value[2] === 1 ? "synced" : "unsynced";
  }

  /** The predecessor on a chain slot; undefined when the record is not on that chain. */
  prevOf(slot: number): number | undefined {
    const bytes = this.#bytes;
    bytes.open(this.#value, LINKS);
    for (let left = bytes.varint(); left > 0; left--) {
      const at = bytes.varint();
      const distance = bytes.varint();
      if (at === slot) return this.#seq - distance;
    }
    return undefined;
  }

  /** Calls back for each chain link. */
  eachLink(found: (slot: number, prev: number) => void): void {
    const bytes = this.#bytes;
    bytes.open(this.#value, LINKS);
    for (let left = bytes.varint(); left > 0; left--) {
      const slot = bytes.varint();
      found(slot, this.#seq - bytes.varint());
    }
  }

  /** @throws DamagedError. */
  content(sourceOf: (id: number) => Source | undefined): Content {
    const bytes = this.#bytes;
    bytes.open(this.#value, LINKS);
    for (let left = bytes.varint() * 2; left > 0; left--) bytes.varint();
    return readContent(bytes, this.#value[1] ?? 0, sourceOf);
  }
}
