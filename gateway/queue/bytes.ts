/**
 * The bytes of decision 001: big-endian integers, varints (unsigned LEB128) and zigzag integers, written into and read
 * out of buffers without an allocation per field.
 */

const CHUNK_BYTES = 64 * 1024;

/** Appends fields of one item after another; each finished item is a slice of a shared chunk. */
export class ByteWriter {
  #chunk = Buffer.alloc(0);
  #start = 0;
  #end = 0;

  /** Begins an item. What was begun and not finished is forgotten. */
  begin(): void {
    this.#end = this.#start;
  }
  /** Offset inside the item. */
  get position(): number {
    return this.#end - this.#start;
  }
  /** Ends the item. The slice stays valid for as long as it is held. */
  finish(): Buffer {
    const item = this.#chunk.subarray(this.#start, this.#end);
    this.#start = this.#end;
    return item;
  }

  u8(value: number): void {
    this.#room(1);
    this.#chunk[this.#end++] = value;
  }
  u32(value: number): void {
    this.#room(4);
    this.#end = this.#chunk.writeUInt32BE(value >>> 0, this.#end);
  }
  f32(value: number): void {
    this.#room(4);
    this.#end = this.#chunk.writeFloatBE(value, this.#end);
  }
  f64(value: number): void {
    this.#room(8);
    this.#end = this.#chunk.writeDoubleBE(value, this.#end);
  }
  i64(value: bigint): void {
    this.#room(8);
    this.#end = this.#chunk.writeBigInt64BE(value, this.#end);
  }
  u64(value: bigint): void {
    this.#room(8);
    this.#end = this.#chunk.writeBigUInt64BE(value, this.#end);
  }
  /** `value` is an integer from 0 to 2^53 - 1. */
  varint(value: number): void {
    this.#room(8);
    let rest = value;
    while (rest >= 0x80) {
      this.#chunk[this.#end++] = (rest % 0x80) | 0x80;
      rest = rest < 0x8000_0000 ? rest >>> 7 : Math.floor(rest / 0x80);
    }
    this.#chunk[this.#end++] = rest;
  }
  /** `value` is a safe integer. Doubling it would leave the safe range, so the sign goes in with the low six bits. */
  zigzag(value: number): void {
    const negative = value < 0;
    const magnitude = negative ? -1 - value : value;
    const rest = Math.floor(magnitude / 64);
    const low = ((magnitude % 64) << 1) | (negative ? 1 : 0);
    this.u8(rest > 0 ? low | 0x80 : low);
    if (rest > 0) this.varint(rest);
  }
  bytes(value: Uint8Array): void {
    this.#room(value.length);
    this.#chunk.set(value, this.#end);
    this.#end += value.length;
  }
  /** Length in bytes as a varint, then UTF-8. */
  text(value: string): void {
    const most = value.length * 3;
    this.#room(most + 8);
    if (most < 0x80) {
      const length = this.#chunk.write(value, this.#end + 1, "utf8");
      this.#chunk[this.#end] = length;
      this.#end += 1 + length;
      return;
    }
    this.varint(Buffer.byteLength(value));
    this.#end += this.#chunk.write(value, this.#end, "utf8");
  }
  /** Overwrites four bytes at an offset inside the item. */
  patchU32(offset: number, value: number): void {
    this.#chunk.writeUInt32BE(value >>> 0, this.#start + offset);
  }
  /** The bytes of the item from `offset` on; only valid until the next call. */
  since(offset: number): Buffer {
    return this.#chunk.subarray(this.#start + offset, this.#end);
  }

  #room(bytes: number): void {
    if (this.#end + bytes <= this.#chunk.length) return;
    const used = this.#end - this.#start;
    const next = Buffer.allocUnsafeSlow(Math.max(CHUNK_BYTES, (used + bytes) * 2));
    this.#chunk.copy(next, 0, this.#start, this.#end);
    this.#chunk = next;
    this.#start = 0;
    this.#end = used;
  }
}

/** The bytes do not say what they should. */
export class DamagedError extends Error {
  override readonly name = "DamagedError";
}

/** Reads fields one after another. @throws DamagedError past the end or on an impossible number. */
export class ByteReader {
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;

  open(bytes: Buffer, at: number): void {
    this.#bytes = bytes;
    this.#at = at;
  }
  get position(): number {
    return this.#at;
  }
  u8(): number {
    const value = this.#bytes[this.#at];
    if (value === undefined) throw new DamagedError("record ends too early");
    this.#at++;
    return value;
  }
  u32(): number {
    return this.#bytes.readUInt32BE(this.#take(4));
  }
  f32(): number {
    return this.#bytes.readFloatBE(this.#take(4));
  }
  f64(): number {
    return this.#bytes.readDoubleBE(this.#take(8));
  }
  i64(): bigint {
    return this.#bytes.readBigInt64BE(this.#take(8));
  }
  u64(): bigint {
    return this.#bytes.readBigUInt64BE(this.#take(8));
  }
  varint(): number {
    let value = this.u8();
    if (value < 0x80) return value;
    value &= 0x7f;
    for (let scale = 0x80; ; scale *= 0x80) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      if (value > Number.MAX_SAFE_INTEGER) throw new DamagedError("number too large");
      if (byte < 0x80) return value;
    }
  }
  zigzag(): number {
    const head = this.u8();
    const rest = head & 0x80 ? this.varint() : 0;
    const magnitude = rest * 64 + ((head >> 1) & 0x3f);
    if (magnitude > Number.MAX_SAFE_INTEGER) throw new DamagedError("number too large");
    return head & 1 ? -1 - magnitude : magnitude;
  }
  text(): string {
    const length = this.varint();
    const from = this.#take(length);
    return this.#bytes.toString("utf8", from, from + length);
  }
  /** A view, not a copy. */
  bytes(length: number): Buffer {
    const from = this.#take(length);
    return this.#bytes.subarray(from, from + length);
  }
  rest(): Buffer {
    return this.bytes(this.#bytes.length - this.#at);
  }

  #take(length: number): number {
    const from = this.#at;
    if (from + length > this.#bytes.length) throw new DamagedError("record ends too early");
    this.#at = from + length;
    return from;
  }
}
