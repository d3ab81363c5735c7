import { Buffer } from "node:buffer";
import { isIPv6 } from "node:net";
import type { Endpoint, Ends } from "../core/recording.ts";

/** Made-up Ethernet addresses, of the range that anybody may use: the gateway's and the device's. */
const GATEWAY_MAC = Buffer.from([0x02, 0, 0, 0, 0, 0x01]);
const DEVICE_MAC = Buffer.from([0x02, 0, 0, 0, 0, 0x02]);
const TCP = 6;
const UDP = 17;
const HOPS = 64;
const MSS = 1460;
const MOST_DATAGRAM = 65_000;

const FIN = 0x01;
const SYN = 0x02;
const PSH = 0x08;
const ACK = 0x10;

export interface MadePacket {
  readonly bytes: Buffer;
  readonly fromDevice: boolean;
}

/** Puts bytes that passed a socket into the packets that may have carried them, with right numbers and checksums. */
export interface Scribe {
  open(): readonly MadePacket[];
  data(bytes: Buffer, fromDevice: boolean): readonly MadePacket[];
  close(): readonly MadePacket[];
}

/** @param port what the device's end gets instead of its own. */
export function scribeOf(layer: "tcp" | "udp", ends: Ends, port: number | undefined): Scribe {
  const gateway = plain(ends.local);
  const device = { ...plain(ends.remote), ...(port === undefined ? {} : { port }) };
  return layer === "tcp" ? new TcpScribe(gateway, device) : udpScribe(gateway, device);
}

class TcpScribe implements Scribe {
  readonly #gateway: Endpoint;
  readonly #device: Endpoint;
  /** Next number of the gateway's bytes, and of the device's. */
  #gatewaySeq = 1000;
  #deviceSeq = 1000;
  #id = 0;

  constructor(gateway: Endpoint, device: Endpoint) {
    this.#gateway = gateway;
    this.#device = device;
  }

  open(): readonly MadePacket[] {
    return [this.#segment(false, SYN), this.#segment(true, SYN | ACK), this.#segment(false, ACK)];
  }

  data(bytes: Buffer, fromDevice: boolean): readonly MadePacket[] {
    const packets: MadePacket[] = [];
    for (let at = 0; at < bytes.length; at += MSS) {
      packets.push(this.#segment(fromDevice, PSH | ACK, bytes.subarray(at, at + MSS)));
    }
    return packets;
  }

  close(): readonly MadePacket[] {
    return [this.#segment(false, FIN | ACK), this.#segment(true, FIN | ACK), this.#segment(false, ACK)];
  }

  #segment(fromDevice: boolean, flags: number, bytes: Buffer = Buffer.alloc(0)): MadePacket {
    const [from, to] = fromDevice ? [this.#device, this.#gateway] : [this.#gateway, this.#device];
    const [seq, ack] = fromDevice ? [this.#deviceSeq, this.#gatewaySeq] : [this.#gatewaySeq, this.#deviceSeq];
    const segment = Buffer.alloc(20 + bytes.length);
    segment.writeUInt16BE(from.port, 0);
    segment.writeUInt16BE(to.port, 2);
    segment.writeUInt32BE(seq, 4);
    segment.writeUInt32BE(flags & ACK ? ack : 0, 8);
    segment[12] = 0x50;
    segment[13] = flags;
    segment.writeUInt16BE(0xffff, 14);
    segment.set(bytes, 20);
    segment.writeUInt16BE(checksum(pseudoHeader(from, to, TCP, segment.length), segment), 16);
    const next = (seq + bytes.length + (flags & (SYN | FIN) ? 1 : 0)) >>> 0;
    if (fromDevice) this.#deviceSeq = next;
    else this.#gatewaySeq = next;
    return { bytes: ethernet(from, to, TCP, segment, this.#id++, fromDevice), fromDevice };
  }
}

function udpScribe(gateway: Endpoint, device: Endpoint): Scribe {
  let id = 0;
  return {
    open: () => [],
    close: () => [],
    data(bytes, fromDevice) {
      const [from, to] = fromDevice ? [device, gateway] : [gateway, device];
      const content = bytes.subarray(0, MOST_DATAGRAM);
      const datagram = Buffer.alloc(8 + content.length);
      datagram.writeUInt16BE(from.port, 0);
      datagram.writeUInt16BE(to.port, 2);
      datagram.writeUInt16BE(datagram.length, 4);
      datagram.set(content, 8);
      // 0 would mean that there is none.
      datagram.writeUInt16BE(checksum(pseudoHeader(from, to, UDP, datagram.length), datagram) || 0xffff, 6);
      return [{ bytes: ethernet(from, to, UDP, datagram, id++, fromDevice), fromDevice }];
    },
  };
}

function ethernet(
  from: Endpoint,
  to: Endpoint,
  protocol: number,
  content: Buffer,
  id: number,
  fromDevice: boolean,
): Buffer {
  const macs = fromDevice ? [GATEWAY_MAC, DEVICE_MAC] : [DEVICE_MAC, GATEWAY_MAC];
  const six = isIPv6(from.address);
  const header = six ? ipv6(from, to, protocol, content.length) : ipv4(from, to, protocol, content.length, id);
  return Buffer.concat([...macs, Buffer.from(six ? [0x86, 0xdd] : [0x08, 0x00]), header, content]);
}

function ipv4(from: Endpoint, to: Endpoint, protocol: number, length: number, id: number): Buffer {
  const header = Buffer.alloc(20);
  header[0] = 0x45;
  header.writeUInt16BE(20 + length, 2);
  header.writeUInt16BE(id & 0xffff, 4);
  // Not to be broken up.
  header.writeUInt16BE(0x4000, 6);
  header[8] = HOPS;
  header[9] = protocol;
  header.set(addressBytes(from.address), 12);
  header.set(addressBytes(to.address), 16);
  header.writeUInt16BE(checksum(header), 10);
  return header;
}

function ipv6(from: Endpoint, to: Endpoint, protocol: number, length: number): Buffer {
  const header = Buffer.alloc(40);
  header[0] = 0x60;
  header.writeUInt16BE(length, 4);
  header[6] = protocol;
  header[7] = HOPS;
  header.set(addressBytes(from.address), 8);
  header.set(addressBytes(to.address), 24);
  return header;
}

function pseudoHeader(from: Endpoint, to: Endpoint, protocol: number, length: number): Buffer {
  const rest = Buffer.alloc(8);
  rest.writeUInt32BE(length, 0);
  rest[7] = protocol;
  return Buffer.concat([addressBytes(from.address), addressBytes(to.address), rest]);
}

/** RFC 1071, of several buffers of which only the last may have an odd length. */
function checksum(...buffers: readonly Buffer[]): number {
  let sum = 0;
  for (const buffer of buffers) {
    for (let at = 0; at + 1 < buffer.length; at += 2) sum += buffer.readUInt16BE(at);
    if (buffer.length % 2 === 1) sum += (buffer[buffer.length - 1] ?? 0) << 8;
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** Both ends must be of one kind: what is IPv4 in IPv6's clothes is written as IPv4. */
function plain({ address, port }: Endpoint): Endpoint {
  return { address: address.replace(/^::ffff:(?=\d+\.)/, "").replace(/%.*$/, ""), port };
}

function addressBytes(address: string): Buffer {
  if (!isIPv6(address)) return Buffer.from(address.split(".").map(Number));
  const [head = "", tail] = address.split("::");
  const front = groupsOf(head);
  const back = tail === undefined ? [] : groupsOf(tail);
  const groups = [...front, ...new Array<number>(8 - front.length - back.length).fill(0), ...back];
  return Buffer.from(groups.flatMap((group) => [group >> 8, group & 0xff]));
}

/** The last group may be written as an IPv4 address. */
function groupsOf(text: string): number[] {
  if (text === "") return [];
  return text.split(":").flatMap((group) => {
    if (!group.includes(".")) return [Number.parseInt(group, 16)];
    const [a = 0, b = 0, c = 0, d = 0] = group.split(".").map(Number);
    return [(a << 8) | b, (c << 8) | d];
  });
}
