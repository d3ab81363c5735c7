import type { Buffer } from "node:buffer";
import { ConfigError } from "../core/errors.ts";
import {
  COMMENT,
  FLAGS,
  INBOUND,
  INTERFACE,
  MAGIC,
  OUTBOUND,
  PACKET,
  padded,
  SECTION,
  TIME_RESOLUTION,
} from "./pcapng.ts";

/** A packet of a capture file. */
export interface ReadPacket {
  readonly linkType: number;
  /** Unix milliseconds. */
  readonly wallMs: number;
  readonly bytes: Buffer;
  /** As whoever captured it saw it; undefined where the file does not say. */
  readonly inbound: boolean | undefined;
}

export interface ReadCapture {
  /** Of the file as a whole. */
  readonly comment: string;
  readonly packets: readonly ReadPacket[];
}

interface Interface {
  readonly linkType: number;
  /** Units of its times in a millisecond. */
  readonly perMs: number;
}

/** Reads numbers of either order of bytes. */
interface Numbers {
  u16(at: number): number;
  u32(at: number): number;
}

const OLD_MAGICS = new Set([0xa1b2c3d4, 0xd4c3b2a1, 0xa1b23c4d, 0x4d3cb2a1]);
const DIRECTION = 3;

/** A whole pcapng file. One that breaks off is read as far as it goes. @throws ConfigError where it is none. */
export function readBlocks(file: Buffer): ReadCapture {
  if (file.length >= 4 && OLD_MAGICS.has(file.readUInt32LE(0))) {
    throw new ConfigError("this is a file of the old pcap format; make a new one: editcap -F pcapng OLD NEW");
  }
  if (file.length < 28 || file.readUInt32LE(0) !== SECTION) throw new ConfigError("this is no pcapng file");
  const packets: ReadPacket[] = [];
  let comment = "";
  let interfaces: Interface[] = [];
  let numbers = numbersOf(file, true);
  for (let at = 0; at + 12 <= file.length; ) {
    if (file.readUInt32LE(at) === SECTION) {
      numbers = numbersOf(file, file.readUInt32LE(at + 8) === MAGIC);
      interfaces = [];
    }
    const type = numbers.u32(at);
    const length = numbers.u32(at + 4);
    if (length < 12 || length % 4 !== 0) throw new ConfigError(`this file is damaged at byte ${at}`);
    const end = at + length - 4;
    if (end + 4 > file.length) break;
    if (type === SECTION) comment ||= textIn(optionsIn(file, numbers, at + 24, end).get(COMMENT));
    if (type === INTERFACE) interfaces.push(interfaceAt(file, numbers, at, end));
    if (type === PACKET) {
      const packet = packetAt(file, numbers, at, end, interfaces);
      if (packet) packets.push(packet);
    }
    at += length;
  }
  return { comment, packets };
}

function numbersOf(file: Buffer, little: boolean): Numbers {
  return little
    ? { u16: (at) => file.readUInt16LE(at), u32: (at) => file.readUInt32LE(at) }
    : { u16: (at) => file.readUInt16BE(at), u32: (at) => file.readUInt32BE(at) };
}

function interfaceAt(file: Buffer, numbers: Numbers, at: number, end: number): Interface {
  const resolution = optionsIn(file, numbers, at + 16, end).get(TIME_RESOLUTION)?.[0] ?? 6;
  const perSecond = resolution & 0x80 ? 2 ** (resolution & 0x7f) : 10 ** resolution;
  return { linkType: numbers.u16(at + 8), perMs: perSecond / 1000 };
}

function packetAt(
  file: Buffer,
  numbers: Numbers,
  at: number,
  end: number,
  interfaces: readonly Interface[],
): ReadPacket | undefined {
  if (end - at < 28) return undefined;
  const own = interfaces[numbers.u32(at + 8)];
  const length = numbers.u32(at + 20);
  if (!own || at + 28 + length > end) return undefined;
  const flags = optionsIn(file, numbers, at + 28 + padded(length), end).get(FLAGS);
  const offset = flags ? flags.byteOffset - file.byteOffset : -1;
  const direction = offset < 0 ? 0 : numbers.u32(offset) & DIRECTION;
  return {
    linkType: own.linkType,
    wallMs: (numbers.u32(at + 12) * 2 ** 32 + numbers.u32(at + 16)) / own.perMs,
    bytes: file.subarray(at + 28, at + 28 + length),
    inbound: direction === INBOUND ? true : direction === OUTBOUND ? false : undefined,
  };
}

/** The first value of each option. */
function optionsIn(file: Buffer, numbers: Numbers, from: number, end: number): Map<number, Buffer> {
  const options = new Map<number, Buffer>();
  for (let at = from; at + 4 <= end; ) {
    const code = numbers.u16(at);
    const length = numbers.u16(at + 2);
    if (code === 0 || at + 4 + length > end) break;
    if (!options.has(code)) options.set(code, file.subarray(at + 4, at + 4 + length));
    at += 4 + padded(length);
  }
  return options;
}

function textIn(value: Buffer | undefined): string {
  return value?.toString("utf8") ?? "";
}
