import type { Transport } from "./options.ts";
import { dataBytes, type Question, wireMs } from "./wire.ts";

/** One write question: function codes 5, 6, 15, 16 and 22 (MODBUS Application Protocol V1.1b3, 6). */
export interface Command {
  readonly unit: number;
  readonly functionCode: 5 | 6 | 15 | 16 | 22;
  /** Zero-based. */
  readonly address: number;
  /** Registers or coils. */
  readonly count: number;
  /** As on the wire: the value of 5 and 6, the coils of 15 eight to a byte, the registers of 16, both masks of 22. */
  readonly data: Buffer;
}

export type Ask = Question | Command;

export function isCommand(ask: Ask): ask is Command {
  return "data" in ask;
}

/** The only right answer to a command: unit, function, data; no checksum. */
export function answerOf(command: Command): Buffer {
  const { unit, functionCode, address, count, data } = command;
  const head = Buffer.from([unit, functionCode, address >> 8, address & 0xff]);
  const many = functionCode === 15 || functionCode === 16;
  return Buffer.concat([head, many ? Buffer.from([count >> 8, count & 0xff]) : data]);
}

/** Whether the answer consists of the same bytes as the question, so that an echo cannot be told from it. */
export function echoes(ask: Ask): boolean {
  return ask.functionCode === 5 || ask.functionCode === 6 || ask.functionCode === 22;
}

/** What two questions to one unit have in common whose answers nothing on a serial line tells apart. */
export function shapeOf(ask: Ask): string {
  return isCommand(ask) ? shapeOfBody(answerOf(ask)) : `${ask.functionCode}/${dataBytes(ask)}`;
}

/** The shape of the questions that `body` (unit, function, data) can be an answer to. */
export function shapeOfBody(body: Buffer): string {
  const code = body[1] ?? 0;
  return code >= 1 && code <= 4 ? `${code}/${body.length - 3}` : body.toString("hex", 1);
}

/** Predicted milliseconds of a command and its answer on the wire, silences included. */
export function commandMs(transport: Transport, { data }: Command): number {
  // Together they have at most 4 bytes more than a question for so many bytes of registers and its answer.
  return wireMs(transport, { functionCode: 3, count: Math.ceil(data.length / 2) + 2 });
}
