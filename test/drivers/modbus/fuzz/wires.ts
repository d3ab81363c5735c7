/**
 * Frames of a far side and what the standards let a client tell, written from the standards without the driver's code, so
 * that a mistake there is not made here too.
 */

export type WireKind = "tcp" | "udp" | "tcp without ids" | "rtu" | "ascii";

export interface WireQuestion {
  readonly id: number;
  readonly unit: number;
  readonly code: number;
  readonly address: number;
  readonly count: number;
}

export const hasHeader = (kind: WireKind) => kind === "tcp" || kind === "udp" || kind === "tcp without ids";

export function readQuestion(kind: WireKind, bytes: Buffer): WireQuestion {
  const body =
    kind === "ascii" ? Buffer.from(bytes.toString("latin1", 1), "hex") : bytes.subarray(hasHeader(kind) ? 6 : 0);
  const id = hasHeader(kind) ? bytes.readUInt16BE(0) : 0;
  return { id, unit: body[0] ?? 0, code: body[1] ?? 0, address: body.readUInt16BE(2), count: body.readUInt16BE(4) };
}

export const bytesOf = ({ code, count }: Pick<WireQuestion, "code" | "count">) =>
  code <= 2 ? Math.floor((count + 7) / 8) : 2 * count;

/** What each place holds for ever: another value at nearly every place, so that a mistake shows. */
export function contentOf({ unit, code, address, count }: Omit<WireQuestion, "id">): Buffer {
  const word = (at: number) => (Math.imul(at + 1, 40_503) ^ Math.imul(unit * 8 + code, 9973)) & 0xffff;
  const data = Buffer.alloc(bytesOf({ code, count }));
  for (let at = 0; at < count; at++) {
    if (code > 2) data.writeUInt16BE(word(address + at), at * 2);
    else data[at >> 3] = (data[at >> 3] ?? 0) | (((word(address + at) >> 7) & 1) << (at & 7));
  }
  return data;
}

export function frameOf(kind: WireKind, id: number, body: Buffer): Buffer {
  if (hasHeader(kind))
    return Buffer.concat([Buffer.of(id >> 8, id & 255, 0, 0, body.length >> 8, body.length & 255), body]);
  if (kind === "ascii") {
    const sum = body.reduce((total, byte) => total + byte, 0);
    const hex = Buffer.concat([body, Buffer.of((256 - (sum % 256)) % 256)]).toString("hex");
    return Buffer.from(`:${hex.toUpperCase()}\r\n`);
  }
  const crc = crcOf(body);
  return Buffer.concat([body, Buffer.of(crc & 255, crc >> 8)]);
}

function crcOf(bytes: Buffer): number {
  let crc = 0xffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >> 1) ^ 0xa001 : crc >> 1;
  }
  return crc;
}

/**
 * Whether somewhere in these bytes stands a frame that is, by all the standard says, an answer to the question. Frames in
 * `known` are not meant: those are late answers, which a client must tell by what it asks and when.
 */
export function looksRight(kind: WireKind, question: WireQuestion, bytes: Buffer, known: readonly Buffer[]): boolean {
  const body = 3 + bytesOf(question);
  const head = Buffer.of(question.unit, question.code, bytesOf(question));
  const size = frameOf(kind, 0, Buffer.alloc(body)).length;
  for (let at = 0; at + size <= bytes.length; at++) {
    const frame = bytes.subarray(at, at + size);
    if (known.some((late) => late.equals(frame))) continue;
    if (isAnswer(kind, question, frame, head, body)) return true;
  }
  return false;
}

function isAnswer(kind: WireKind, question: WireQuestion, frame: Buffer, head: Buffer, length: number): boolean {
  if (hasHeader(kind)) {
    const right = frame.readUInt16BE(2) === 0 && frame.readUInt16BE(4) === length && frame.subarray(6, 9).equals(head);
    return right && (kind === "tcp without ids" || frame.readUInt16BE(0) === question.id);
  }
  const body =
    kind === "ascii" ? Buffer.from(frame.toString("latin1", 1, 1 + 2 * length), "hex") : frame.subarray(0, length);
  if (body.length !== length || !body.subarray(0, 3).equals(head)) return false;
  const whole = frameOf(kind, 0, body);
  return kind === "ascii" ? whole.toString().toLowerCase() === frame.toString().toLowerCase() : whole.equals(frame);
}
