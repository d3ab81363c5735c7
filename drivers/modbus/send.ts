import type modbusSerial from "modbus-serial";
import { type Ask, type Command, isCommand } from "./command.ts";
import type { Question } from "./wire.ts";

type Modbus = InstanceType<typeof modbusSerial.default>;
type Done = (error: unknown, data: Buffer) => void;
type Answered = (error: unknown, result: { readonly buffer: Buffer }) => void;

const NOTHING = Buffer.alloc(0);

/** Hands a question to modbus-serial. `done` gets the data bytes of the answer; none where it was a command. */
export function send(modbus: Modbus, ask: Ask, done: Done): void {
  if (isCommand(ask)) sendCommand(modbus, ask, (error: unknown) => done(error, NOTHING));
  else sendQuestion(modbus, ask, (error, result) => done(error, error ? NOTHING : result.buffer));
}

function sendQuestion(modbus: Modbus, { unit, functionCode, address, count }: Question, answered: Answered): void {
  if (functionCode === 1) modbus.writeFC1(unit, address, count, answered);
  else if (functionCode === 2) modbus.writeFC2(unit, address, count, answered);
  else if (functionCode === 3) modbus.writeFC3(unit, address, count, answered);
  else modbus.writeFC4(unit, address, count, answered);
}

function sendCommand(modbus: Modbus, command: Command, answered: (error: unknown) => void): void {
  const { unit, functionCode, address, count, data } = command;
  if (functionCode === 5) modbus.writeFC5(unit, address, data[0] === 0xff, answered);
  else if (functionCode === 6) modbus.writeFC6(unit, address, data.readUInt16BE(0), answered);
  else if (functionCode === 15) modbus.writeFC15(unit, address, bitsOf(data, count), answered);
  else if (functionCode === 16) modbus.writeFC16(unit, address, wordsOf(data), answered);
  else modbus.writeFC22(unit, address, data.readUInt16BE(0), data.readUInt16BE(2), answered);
}

function bitsOf(data: Buffer, count: number): boolean[] {
  return Array.from({ length: count }, (_, at) => (((data[at >> 3] ?? 0) >> (at & 7)) & 1) === 1);
}

function wordsOf(data: Buffer): number[] {
  return Array.from({ length: data.length / 2 }, (_, at) => data.readUInt16BE(at * 2));
}
