import type modbusSerial from "modbus-serial";
import type { Command } from "./command.ts";

type Modbus = InstanceType<typeof modbusSerial.default>;
/** Has modbus-serial make a command, send it and look at what confirms it. `answered` gets its error, or none. */
export function sendCommand(modbus: Modbus, command: Command, answered: (error: unknown) => void): void {
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
