/**
 * Sums at the end of telegrams. `xor` is what manuals call BCC, or LRC in ISO 1155; `sum8` the sum mod 256; `lrc` its
 * two's complement, as in Modbus ASCII.
 */
export const CHECKSUMS = [
  "xor",
  "sum8",
  "lrc",
  "crc16-modbus",
  "crc16-arc",
  "crc16-ccitt",
  "crc16-xmodem",
  "crc16-kermit",
] as const;
export type ChecksumType = (typeof CHECKSUMS)[number];

export interface ChecksumOptions {
  readonly type: ChecksumType;
  /** Sent as bytes, or as hex digits. */
  readonly encoding: "binary" | "hex";
  /** Without it little for those of Modbus, ARC and Kermit, else big. */
  readonly endian?: "big" | "little" | undefined;
}

interface Crc {
  readonly poly: number;
  readonly init: number;
  /** Least significant bit first, in and out. */
  readonly reflected: boolean;
}

/** As in the catalogue of parametrised CRC algorithms; polynomials of reflected ones are written reflected. */
const CRCS: Partial<Record<ChecksumType, Crc>> = {
  "crc16-modbus": { poly: 0xa001, init: 0xffff, reflected: true },
  "crc16-arc": { poly: 0xa001, init: 0, reflected: true },
  "crc16-kermit": { poly: 0x8408, init: 0, reflected: true },
  "crc16-ccitt": { poly: 0x1021, init: 0xffff, reflected: false },
  "crc16-xmodem": { poly: 0x1021, init: 0, reflected: false },
};

/** Bytes that the sum takes in a telegram. */
export function checksumLength({ type, encoding }: ChecksumOptions): number {
  return (CRCS[type] ? 2 : 1) * (encoding === "hex" ? 2 : 1);
}

/** The sum as it stands in the telegram; hex digits in capitals. */
export function checksumOf(covered: Uint8Array, options: ChecksumOptions): Buffer {
  const crc = CRCS[options.type];
  const bytes = crc
    ? ordered(crc16(covered, crc), options.endian ?? (crc.reflected ? "little" : "big"))
    : byteSum(covered, options.type);
  return options.encoding === "hex" ? Buffer.from(bytes.toString("hex").toUpperCase(), "latin1") : bytes;
}

/** Hex digits may be small or capital. */
export function checksumFits(covered: Uint8Array, found: Uint8Array, options: ChecksumOptions): boolean {
  const right = checksumOf(covered, options);
  if (options.encoding === "binary") return right.equals(found);
  return Buffer.from(found).toString("latin1").toUpperCase() === right.toString("latin1");
}

function byteSum(bytes: Uint8Array, type: ChecksumType): Buffer {
  let sum = 0;
  for (const byte of bytes) sum = type === "xor" ? sum ^ byte : (sum + byte) & 0xff;
  return Buffer.from([type === "lrc" ? -sum & 0xff : sum]);
}

const tables = new Map<Crc, Uint16Array>();

/** By table: while a telegram is looked for in garbage, a sum may be tried at every byte. */
function crc16(bytes: Uint8Array, crc: Crc): number {
  const table = tables.get(crc) ?? tableOf(crc);
  tables.set(crc, table);
  let sum = crc.init;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] ?? 0;
    sum = crc.reflected
      ? (sum >>> 8) ^ (table[(sum ^ byte) & 0xff] ?? 0)
      : ((sum << 8) & 0xffff) ^ (table[(sum >>> 8) ^ byte] ?? 0);
  }
  return sum;
}

function tableOf({ poly, reflected }: Crc): Uint16Array {
  return Uint16Array.from({ length: 256 }, (_, index) => {
    let sum = reflected ? index : index << 8;
    for (let bit = 0; bit < 8; bit++) {
      const out = sum & (reflected ? 1 : 0x8000);
      sum = reflected ? sum >>> 1 : (sum << 1) & 0xffff;
      if (out !== 0) sum ^= poly;
    }
    return sum;
  });
}

function ordered(crc: number, endian: "big" | "little"): Buffer {
  return Buffer.from(endian === "big" ? [crc >> 8, crc & 0xff] : [crc & 0xff, crc >> 8]);
}
