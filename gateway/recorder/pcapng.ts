import { Buffer } from "node:buffer";

/** Blocks of a capture file, after draft-ietf-opsawg-pcapng; little-endian, times in microseconds. */

/** LINKTYPE_ETHERNET; LINKTYPE_USER0 and USER1, which mean what the reader is told they mean. */
export const ETHERNET = 1;
export const USER0 = 147;
export const USER1 = 148;

export const SECTION = 0x0a0d0d0a;
export const INTERFACE = 1;
export const PACKET = 6;
export const MAGIC = 0x1a2b3c4d;
export const COMMENT = 1;
export const FLAGS = 2;
export const INTERFACE_NAME = 2;
export const INTERFACE_DESCRIPTION = 3;
export const TIME_RESOLUTION = 9;
export const INBOUND = 1;
export const OUTBOUND = 2;
const HARDWARE = 2;
const PROGRAM = 4;
const SNAP_LENGTH = 262_144;
const MOST_TEXT = 32_000;

type Option = readonly [code: number, value: Buffer];

export function sectionHeader(texts: {
  readonly comment: string;
  readonly program: string;
  hardware?: string;
}): Buffer {
  const head = Buffer.alloc(16);
  head.writeUInt32LE(MAGIC, 0);
  head.writeUInt16LE(1, 4);
  head.writeUInt16LE(0, 6);
  // Length of the section: not known.
  head.writeBigInt64LE(-1n, 8);
  const options: Option[] = [text(COMMENT, texts.comment), text(PROGRAM, texts.program)];
  if (texts.hardware !== undefined) options.push(text(HARDWARE, texts.hardware));
  return block(SECTION, head, options);
}

export function interfaceBlock(linkType: number, name: string, description: string): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt16LE(linkType, 0);
  head.writeUInt32LE(SNAP_LENGTH, 4);
  const options: Option[] = [
    text(INTERFACE_NAME, name),
    text(INTERFACE_DESCRIPTION, description),
    [TIME_RESOLUTION, Buffer.from([6])],
  ];
  return block(INTERFACE, head, options);
}

export interface PacketBlock {
  readonly interfaceId: number;
  /** Unix milliseconds. */
  readonly wallMs: number;
  readonly bytes: Buffer;
  /** As the gateway sees it. */
  readonly inbound: boolean;
  readonly comment?: string | undefined;
}

export function packetBlock({ interfaceId, wallMs, bytes, inbound, comment }: PacketBlock): Buffer {
  const head = Buffer.alloc(20 + padded(bytes.length));
  const us = BigInt(Math.max(0, Math.round(wallMs * 1000)));
  head.writeUInt32LE(interfaceId, 0);
  head.writeUInt32LE(Number(us >> 32n), 4);
  head.writeUInt32LE(Number(us & 0xffff_ffffn), 8);
  head.writeUInt32LE(bytes.length, 12);
  head.writeUInt32LE(bytes.length, 16);
  head.set(bytes, 20);
  const flags = Buffer.alloc(4);
  flags.writeUInt32LE(inbound ? INBOUND : OUTBOUND);
  const options: Option[] = [[FLAGS, flags]];
  if (comment !== undefined) options.unshift(text(COMMENT, comment));
  return block(PACKET, head, options);
}

function block(type: number, body: Buffer, options: readonly Option[]): Buffer {
  const size = options.reduce((sum, [, value]) => sum + 4 + padded(value.length), 4);
  const total = 12 + body.length + size;
  const out = Buffer.alloc(total);
  out.writeUInt32LE(type, 0);
  out.writeUInt32LE(total, 4);
  out.set(body, 8);
  let at = 8 + body.length;
  for (const [code, value] of options) {
    out.writeUInt16LE(code, at);
    out.writeUInt16LE(value.length, at + 2);
    out.set(value, at + 4);
    at += 4 + padded(value.length);
  }
  // The end of the options is four zeros, which are there.
  out.writeUInt32LE(total, total - 4);
  return out;
}

function text(code: number, value: string): Option {
  const whole = Buffer.from(value, "utf8");
  if (whole.length <= MOST_TEXT) return [code, whole];
  return [code, Buffer.from(`${whole.toString("utf8", 0, MOST_TEXT - 8)}…`, "utf8")];
}

/** Everything begins at a multiple of four bytes. */
export function padded(length: number): number {
  return (length + 3) & ~3;
}
