import type { Framing, Piece } from "./framing.ts";

const COLON = 0x3a;
const CR = 0x0d;
const LF = 0x0a;
/** Unit, function and one byte with their LRC, as characters; and a PDU of 253 bytes with unit and LRC. */
const LEAST = 8;
const MOST = 510;

/** Modbus over Serial Line V1.02, 2.5.2: a colon, two characters a byte, an LRC, carriage return and line feed. */
export const asciiFraming: Framing = {
  maxReceived: 1100,
  hearsItself: true,
  answerAt,
  headAt: (bytes, at) => (bytes[at] === COLON ? hexAt(bytes, at + 1, at + 7) : undefined),
  bodyOf: (frame) => Buffer.from(frame.toString("latin1", 1, frame.length - 4), "hex"),
  wrap(body) {
    return Buffer.from(
      `:${Buffer.concat([body, Buffer.of(lrc(body))])
        .toString("hex")
        .toUpperCase()}\r\n`,
      "latin1",
    );
  },
};

/** Two's complement of the sum of all bytes (V1.02, 6.2.1). */
export function lrc(bytes: Uint8Array): number {
  let sum = 0;
  for (const byte of bytes) sum += byte;
  return -sum & 0xff;
}

function answerAt(bytes: Buffer, at: number): Piece {
  if (bytes[at] !== COLON) return { kind: "none" };
  for (let end = at + 1; end < bytes.length; end++) {
    const char = bytes[end] ?? 0;
    if (char === CR) return closedAt(bytes, at, end);
    if (!isHex(char) || end - at > MOST) return { kind: "none" };
  }
  return { kind: "partial" };
}

function closedAt(bytes: Buffer, at: number, end: number): Piece {
  const chars = end - at - 1;
  const last = bytes[end + 1];
  if (last === undefined) return { kind: "partial" };
  if (last !== LF || chars < LEAST || chars % 2 !== 0) return { kind: "none" };
  const content = hexAt(bytes, at + 1, end);
  return { kind: content && lrc(content) === 0 ? "frame" : "corrupt", length: chars + 3 };
}

function hexAt(bytes: Buffer, start: number, end: number): Buffer | undefined {
  if (bytes.length < end) return undefined;
  const content = Buffer.from(bytes.toString("latin1", start, end), "hex");
  return content.length === (end - start) / 2 ? content : undefined;
}

/** 0 to 9 and A to F; small letters are sent by some devices. */
function isHex(char: number): boolean {
  return (char >= 0x30 && char <= 0x39) || (char >= 0x41 && char <= 0x46) || (char >= 0x61 && char <= 0x66);
}
