import { AREA_NAMES, AREAS, type Area, LAST_ADDRESS, MAX_BITS, MAX_REGISTERS } from "../address.ts";
import type { RegisterMap } from "./registers.ts";

const ILLEGAL_FUNCTION = 1;
const ILLEGAL_ADDRESS = 2;
const ILLEGAL_VALUE = 3;
const MAX_WRITE_REGISTERS = 123;
const MAX_WRITE_BITS = 1968;
const COIL_ON = 0xff00;

/** Carries the exception code to the one place that answers with it. */
class Refusal extends Error {
  readonly exceptionCode: number;
  constructor(exceptionCode: number) {
    super(`exception ${exceptionCode}`);
    this.exceptionCode = exceptionCode;
  }
}

/** The answer to a PDU (function and data), after the state diagrams of MODBUS Application Protocol V1.1b3, 6. */
export function answerPdu(registers: RegisterMap, pdu: Buffer, timeMs: number): Buffer {
  const code = pdu[0] ?? 0;
  try {
    return answerTo(code, registers, pdu, timeMs);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return Buffer.from([code | 0x80, error.exceptionCode]);
  }
}

function answerTo(code: number, registers: RegisterMap, pdu: Buffer, timeMs: number): Buffer {
  const area = AREA_NAMES.find((name) => AREAS[name].functionCode === code);
  if (area) return read(area, registers, pdu, timeMs);
  if (code === 5 || code === 6) return writeOne(code === 5 ? "coil" : "holding", registers, pdu);
  if (code === 15 || code === 16) return writeMany(code === 15 ? "coil" : "holding", registers, pdu);
  if (code === 22) return mask(registers, pdu, timeMs);
  throw new Refusal(ILLEGAL_FUNCTION);
}

function mask(registers: RegisterMap, pdu: Buffer, timeMs: number): Buffer {
  need(pdu.length === 7, ILLEGAL_VALUE);
  const address = pdu.readUInt16BE(1);
  needAddresses(registers, "holding", address, 1);
  const [word = 0] = registers.read("holding", address, 1, timeMs);
  const and = pdu.readUInt16BE(3);
  registers.set("holding", address, [(word & and) | (pdu.readUInt16BE(5) & ~and & 0xffff)]);
  return Buffer.from(pdu);
}

function read(area: Area, registers: RegisterMap, pdu: Buffer, timeMs: number): Buffer {
  need(pdu.length === 5, ILLEGAL_VALUE);
  const { bits, functionCode } = AREAS[area];
  const address = pdu.readUInt16BE(1);
  const count = pdu.readUInt16BE(3);
  need(count >= 1 && count <= (bits ? MAX_BITS : MAX_REGISTERS), ILLEGAL_VALUE);
  needAddresses(registers, area, address, count);
  const words = registers.read(area, address, count, timeMs);
  const data = bits ? packBits(words) : packWords(words);
  return Buffer.concat([Buffer.from([functionCode, data.length]), data]);
}

function writeOne(area: "coil" | "holding", registers: RegisterMap, pdu: Buffer): Buffer {
  need(pdu.length === 5, ILLEGAL_VALUE);
  const address = pdu.readUInt16BE(1);
  const value = pdu.readUInt16BE(3);
  if (area === "coil") need(value === 0 || value === COIL_ON, ILLEGAL_VALUE);
  needAddresses(registers, area, address, 1);
  registers.set(area, address, [area === "coil" ? Number(value === COIL_ON) : value]);
  return Buffer.from(pdu);
}

function writeMany(area: "coil" | "holding", registers: RegisterMap, pdu: Buffer): Buffer {
  need(pdu.length > 6, ILLEGAL_VALUE);
  const address = pdu.readUInt16BE(1);
  const count = pdu.readUInt16BE(3);
  const bits = area === "coil";
  const bytes = bits ? Math.ceil(count / 8) : count * 2;
  need(count >= 1 && count <= (bits ? MAX_WRITE_BITS : MAX_WRITE_REGISTERS), ILLEGAL_VALUE);
  need(pdu[5] === bytes && pdu.length === 6 + bytes, ILLEGAL_VALUE);
  needAddresses(registers, area, address, count);
  const words = Array.from({ length: count }, (_, index) =>
    bits ? ((pdu[6 + (index >> 3)] ?? 0) >> (index & 7)) & 1 : pdu.readUInt16BE(6 + index * 2),
  );
  registers.set(area, address, words);
  return Buffer.from(pdu.subarray(0, 5));
}

function needAddresses(registers: RegisterMap, area: Area, address: number, count: number): void {
  need(address + count - 1 <= LAST_ADDRESS && registers.has(area, address, count), ILLEGAL_ADDRESS);
}

function need(condition: boolean, exceptionCode: number): void {
  if (!condition) throw new Refusal(exceptionCode);
}

function packBits(words: readonly number[]): Buffer {
  const data = Buffer.alloc(Math.ceil(words.length / 8));
  for (const [index, word] of words.entries()) data[index >> 3] = (data[index >> 3] ?? 0) | ((word & 1) << (index & 7));
  return data;
}

function packWords(words: readonly number[]): Buffer {
  const data = Buffer.alloc(words.length * 2);
  for (const [index, word] of words.entries()) data.writeUInt16BE(word, index * 2);
  return data;
}
