/** Keys of a segment (decision 001). Records sort before everything else: a seq below 2^53 begins with a zero byte. */

export const HEADER_KEY = Buffer.from("H");
export const SYNC_KEY = Buffer.from("S");

export function seqKey(seq: number): Buffer {
  const key = Buffer.allocUnsafe(8);
  key.writeUInt32BE(Math.floor(seq / 0x1_0000_0000), 0);
  key.writeUInt32BE(seq >>> 0, 4);
  return key;
}

export function seqOfKey(key: Buffer): number {
  return key.readUInt32BE(0) * 0x1_0000_0000 + key.readUInt32BE(4);
}

export function sourceKey(id: number): Buffer {
  const key = Buffer.allocUnsafe(5);
  key.writeUInt8(0x44, 0);
  key.writeUInt32BE(id, 1);
  return key;
}

/** The source id of a dictionary key; undefined for any other key. */
export function sourceOfKey(key: Buffer): number | undefined {
  return key.length === 5 && key[0] === 0x44 ? key.readUInt32BE(1) : undefined;
}
