import { asciiFraming } from "../ports/ascii-framing.ts";
import { HEADER, lengthIn } from "../ports/mbap.ts";
import { crcFits, withCrc } from "../wire.ts";

export interface Cut {
  /** Whole questions, as they came. */
  readonly questions: readonly Buffer[];
  /** What may become one. */
  readonly rest: Buffer;
  /** Nothing that follows can be understood. */
  readonly broken?: boolean;
}

/** How questions and answers lie on a wire, from the server's side. A body is unit, function and data. */
export interface ServerWire {
  cut(received: Buffer): Cut;
  bodyOf(question: Buffer): Buffer;
  frame(question: Buffer, body: Buffer): Buffer;
}

const MAX_RTU = 256;
const MAX_RECEIVED = 1100;

export const mbapWire: ServerWire = {
  cut(received) {
    const questions: Buffer[] = [];
    let rest = received;
    while (rest.length >= HEADER) {
      const length = lengthIn(rest, 0, 2);
      if (length === undefined) return { questions, rest, broken: true };
      if (rest.length < HEADER + length) break;
      questions.push(rest.subarray(0, HEADER + length));
      rest = rest.subarray(HEADER + length);
    }
    return { questions, rest };
  },
  bodyOf: (question) => question.subarray(HEADER),
  frame(question, body) {
    const header = Buffer.from(question.subarray(0, HEADER));
    header.writeUInt16BE(body.length, 4);
    return Buffer.concat([header, body]);
  },
};

export const rtuWire: ServerWire = {
  cut(received) {
    const questions: Buffer[] = [];
    let rest = received;
    for (let at = 0; at < rest.length; at++) {
      const frame = rest.subarray(at, at + rtuLength(rest.subarray(at)));
      if (!crcFits(frame) || frame.length < rtuLength(rest.subarray(at))) continue;
      questions.push(Buffer.from(frame));
      rest = rest.subarray(at + frame.length);
      at = -1;
    }
    return { questions, rest: rest.subarray(-2 * MAX_RTU) };
  },
  bodyOf: (question) => question.subarray(0, -2),
  frame: (_, body) => withCrc(body),
};

export const asciiWire: ServerWire = {
  cut(received) {
    const questions: Buffer[] = [];
    let rest = received;
    for (let at = rest.indexOf(":"); at !== -1; at = rest.indexOf(":")) {
      const piece = asciiFraming.answerAt(rest, at);
      if (piece.kind === "partial") return { questions, rest: rest.subarray(at) };
      if (piece.kind === "frame") questions.push(rest.subarray(at, at + piece.length));
      rest = rest.subarray(piece.kind === "frame" ? at + piece.length : at + 1);
    }
    return { questions, rest: rest.subarray(-MAX_RECEIVED) };
  },
  bodyOf: (question) => asciiFraming.bodyOf(question),
  frame: (_, body) => asciiFraming.wrap(body),
};

/** Length of a question that begins here; more than there can be where that is not known. */
function rtuLength(bytes: Buffer): number {
  const code = bytes[1] ?? 0;
  if (code >= 1 && code <= 6) return 8;
  if (code === 22) return 10;
  if (code === 17) return 4;
  if (code === 43) return 7;
  return code === 15 || code === 16 ? 9 + (bytes[6] ?? MAX_RTU) : MAX_RTU + 1;
}
