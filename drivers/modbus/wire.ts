import { AREAS, type Area, type ReadCode } from "./address.ts";
import { isSerial, type SerialTransport, type Transport } from "./options.ts";

/** One read question: function codes 1 to 4. */
export interface Question {
  readonly unit: number;
  readonly functionCode: ReadCode;
  /** Zero-based. */
  readonly address: number;
  /** Registers or bits. */
  readonly count: number;
}

export function questionOf(unit: number, area: Area, address: number, count: number): Question {
  return { unit, functionCode: AREAS[area].functionCode, address, count };
}

/** Bytes of data in the answer. */
export function dataBytes({ functionCode, count }: Pick<Question, "functionCode" | "count">): number {
  return functionCode <= 2 ? Math.ceil(count / 8) : count * 2;
}

/** Unit, function, address and count (MODBUS Application Protocol V1.1b3, 6.1 to 6.4); no checksum. */
export function bodyOf({ unit, functionCode, address, count }: Question): Buffer {
  const body = Buffer.allocUnsafe(6);
  body[0] = unit;
  body[1] = functionCode;
  body.writeUInt16BE(address, 2);
  body.writeUInt16BE(count, 4);
  return body;
}

const QUESTION_BYTES = 8;
const ANSWER_OVERHEAD = 5;
const TCP_MS = 1;

/** Predicted milliseconds of a question and its answer on the wire, silences included. */
export function wireMs(transport: Transport, question: Pick<Question, "functionCode" | "count">): number {
  if (!isSerial(transport)) return TCP_MS;
  const bytes = QUESTION_BYTES + ANSWER_OVERHEAD + dataBytes(question);
  // ASCII: two characters a byte, a checksum shorter by one byte, and colon and line end around it.
  const chars = transport.type === "ascii" ? 2 * bytes + 2 : bytes;
  return chars * charMs(transport) + 2 * silenceMs(transport);
}

/** One character on a serial line: start bit, data, parity, stop bits. */
export function charMs(line: SerialTransport): number {
  const bits = 1 + line.dataBits + (line.parity === "none" ? 0 : 1) + stopBitsOf(line);
  return (bits * 1000) / line.baud;
}

/** The silence that ends a frame: 3.5 characters, 1.75 ms above 19200 baud (Modbus over Serial Line V1.02, 2.5.1.1); ASCII has marks instead. */
export function silenceMs(line: SerialTransport): number {
  if (line.type === "ascii") return 0;
  return line.baud > 19_200 ? 1.75 : 3.5 * charMs(line);
}

/** A character has 11 bits: without a parity bit there are two stop bits (V1.02, 2.5.1). */
export function stopBitsOf(line: SerialTransport): 1 | 2 {
  return line.stopBits ?? (line.parity === "none" ? 2 : 1);
}

const TABLE = Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >> 1) ^ 0xa001 : crc >> 1;
  return crc;
});

/** CRC-16 of Modbus over Serial Line V1.02, 6.2.2; sent low byte first. */
export function crc16(bytes: Uint8Array): number {
  let crc = 0xffff;
  for (const byte of bytes) crc = (crc >> 8) ^ (TABLE[(crc ^ byte) & 0xff] ?? 0);
  return crc;
}

/** The same bytes with their CRC behind them. */
export function withCrc(bytes: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(bytes.length + 2);
  frame.set(bytes);
  frame.writeUInt16LE(crc16(bytes), bytes.length);
  return frame;
}

export function crcFits(frame: Buffer): boolean {
  return frame.length > 2 && frame.readUInt16LE(frame.length - 2) === crc16(frame.subarray(0, -2));
}
