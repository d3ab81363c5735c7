import type { Framing, Piece } from "./framing.ts";

/** Transaction, protocol, length (MODBUS Messaging on TCP/IP V1.0b, 3.1.3); the unit follows and counts as content. */
export const HEADER = 6;
/** Unit, function and one byte; unit and the largest PDU of 253 bytes. */
const LEAST = 3;
const MOST = 254;

/** Length of the body that a header announces; undefined when it cannot be one. A question may be of 2 bytes. */
export function lengthIn(bytes: Buffer, at: number, least = LEAST): number | undefined {
  const length = bytes.readUInt16BE(at + 4);
  return bytes.readUInt16BE(at + 2) !== 0 || length < least || length > MOST ? undefined : length;
}

export function withHeader(id: number, body: Buffer): Buffer {
  const frame = Buffer.allocUnsafe(HEADER + body.length);
  frame.writeUInt16BE(id, 0);
  frame.writeUInt16BE(0, 2);
  frame.writeUInt16BE(body.length, 4);
  frame.set(body, HEADER);
  return frame;
}

/** For far sides whose transaction ids are not to be believed. Each line has its own, because questions still carry one. */
export function untrustedFraming(firstId: number): Framing {
  let id = firstId;
  return {
    maxReceived: 600,
    hearsItself: false,
    answerAt,
    headAt: (bytes, at) => (bytes.length < at + HEADER + 3 ? undefined : bytes.subarray(at + HEADER, at + HEADER + 3)),
    bodyOf: (frame) => frame.subarray(HEADER),
    wrap(body) {
      id = (id + 1) & 0xffff;
      return withHeader(id, body);
    },
  };
}

function answerAt(bytes: Buffer, at: number): Piece {
  if (bytes.length < at + HEADER) return { kind: "partial" };
  const length = lengthIn(bytes, at);
  if (length === undefined) return { kind: "broken" };
  return bytes.length < at + HEADER + length ? { kind: "partial" } : { kind: "frame", length: HEADER + length };
}
