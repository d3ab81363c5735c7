import type { Buffer } from "node:buffer";
import type { ReadPacket } from "./read-blocks.ts";

/** Bytes that went through a socket, in the order in which they were meant. */
export interface SocketBytes {
  readonly protocol: "tcp" | "udp";
  readonly fromServer: boolean;
  readonly bytes: Buffer;
  readonly wallMs: number;
  readonly connection: number;
}

const TCP = 6;
const UDP = 17;
const FIN = 1;
const SYN = 2;
const ACK = 16;
const IPV4 = 0x0800;
const IPV6 = 0x86dd;
const VLANS = new Set([0x8100, 0x88a8]);
const HALF = 2 ** 31;

/** Link types (tcpdump.org/linktypes.html). */
const NULL = 0;
const ETHERNET = 1;
const RAW = 101;
const COOKED = 113;
const COOKED_2 = 276;

interface Segment {
  readonly protocol: "tcp" | "udp";
  readonly from: string;
  readonly to: string;
  readonly fromPort: number;
  readonly toPort: number;
  readonly bytes: Buffer;
  readonly seq: number;
  readonly flags: number;
}

interface Connection {
  readonly number: number;
  /** Address and port of whoever was connected to. */
  readonly server: string;
  /** Number of the next byte, by sender. */
  readonly next: Map<string, number>;
}

/** Follows connections through IP packets. What was sent twice is given once; what is missing is not waited for. */
export class SocketReader {
  readonly #serverPort: number;
  readonly #connections = new Map<string, Connection>();
  #count = 0;

  /** @param serverPort port of the server, where the beginning of a connection was not seen. */
  constructor(serverPort: number) {
    this.#serverPort = serverPort;
  }

  take(packet: ReadPacket): SocketBytes | undefined {
    const ip = ipIn(packet);
    const segment = ip && segmentIn(ip);
    if (!segment) return undefined;
    const from = `${segment.from} ${segment.fromPort}`;
    const connection = this.#connectionOf(segment);
    const bytes = segment.protocol === "udp" ? segment.bytes : unheard(connection, from, segment);
    if (bytes.length === 0) return undefined;
    const { protocol } = segment;
    const fromServer = connection.server === from;
    return { protocol, fromServer, bytes, wallMs: packet.wallMs, connection: connection.number };
  }

  #connectionOf(segment: Segment): Connection {
    const { protocol, from, to, fromPort, toPort, flags } = segment;
    const ends = [`${from} ${fromPort}`, `${to} ${toPort}`];
    const key = [protocol, ...ends.toSorted()].join(" ");
    const begins = protocol === "tcp" && (flags & (SYN | ACK)) === SYN;
    const known = this.#connections.get(key);
    if (known && !begins) return known;
    const server = begins || !this.#isServer(fromPort, toPort) ? ends[1] : ends[0];
    const made = { number: ++this.#count, server: server ?? "", next: new Map<string, number>() };
    this.#connections.set(key, made);
    return made;
  }

  /** Whether the sender is the server. */
  #isServer(fromPort: number, toPort: number): boolean {
    if (fromPort === this.#serverPort) return true;
    return toPort !== this.#serverPort && fromPort < toPort;
  }
}

/** What of a segment was not heard before. */
function unheard({ next }: Connection, from: string, { bytes, seq, flags }: Segment): Buffer {
  const own = flags & SYN ? 1 : 0;
  const expected = next.get(from) ?? (seq + own) >>> 0;
  const start = (seq + own) >>> 0;
  const end = (start + bytes.length + (flags & FIN ? 1 : 0)) >>> 0;
  const known = distance(start, expected);
  if (flags & SYN || known <= 0 || distance(expected, end) > 0) next.set(from, end);
  return known <= 0 ? bytes : bytes.subarray(known);
}

/** How far it is from `a` to `b`, where numbers begin anew after 2^32. */
function distance(a: number, b: number): number {
  const ahead = (b - a) >>> 0;
  return ahead < HALF ? ahead : ahead - 2 ** 32;
}

function ipIn({ linkType, bytes }: ReadPacket): Buffer | undefined {
  if (linkType === RAW) return bytes;
  if (linkType === NULL) return bytes.subarray(4);
  if (linkType === COOKED) return bytes.subarray(16);
  if (linkType === COOKED_2) return bytes.subarray(20);
  if (linkType !== ETHERNET) return undefined;
  let at = 12;
  while (at + 4 <= bytes.length && VLANS.has(bytes.readUInt16BE(at))) at += 4;
  if (at + 2 > bytes.length) return undefined;
  const type = bytes.readUInt16BE(at);
  return type === IPV4 || type === IPV6 ? bytes.subarray(at + 2) : undefined;
}

function segmentIn(ip: Buffer): Segment | undefined {
  const version = (ip[0] ?? 0) >> 4;
  if (version === 4) return inIpv4(ip);
  if (version !== 6 || ip.length < 40) return undefined;
  const content = ip.subarray(40, 40 + ip.readUInt16BE(4));
  return contentOf(ip[6] ?? 0, ip.toString("hex", 8, 24), ip.toString("hex", 24, 40), content);
}

function inIpv4(ip: Buffer): Segment | undefined {
  if (ip.length < 20) return undefined;
  // A fragment that is not the first has no ports.
  if ((ip.readUInt16BE(6) & 0x1fff) !== 0) return undefined;
  const header = ((ip[0] ?? 0) & 15) * 4;
  const total = ip.readUInt16BE(2);
  const content = ip.subarray(header, total === 0 ? ip.length : total);
  return contentOf(ip[9] ?? 0, ip.toString("hex", 12, 16), ip.toString("hex", 16, 20), content);
}

function contentOf(protocol: number, from: string, to: string, content: Buffer): Segment | undefined {
  if (content.length < 8) return undefined;
  const ends = { from, to, fromPort: content.readUInt16BE(0), toPort: content.readUInt16BE(2) };
  if (protocol === UDP) return { protocol: "udp", ...ends, bytes: content.subarray(8), seq: 0, flags: 0 };
  if (protocol !== TCP || content.length < 20) return undefined;
  const header = ((content[12] ?? 0) >> 4) * 4;
  return {
    protocol: "tcp",
    ...ends,
    bytes: content.subarray(header),
    seq: content.readUInt32BE(4),
    flags: content[13] ?? 0,
  };
}
