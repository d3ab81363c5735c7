import { asciiFraming } from "../ports/ascii-framing.ts";
import { HEADER, lengthIn, withHeader } from "../ports/mbap.ts";
import { crcFits, withCrc } from "../wire.ts";

/** Unit, function and data of an answer, and the transaction id where there is one. */
export interface Heard {
  readonly body: Buffer;
  readonly id?: number;
}

/** What was cut out of received bytes. */
export interface Cut {
  readonly heard: readonly Heard[];
  /** What may become an answer. */
  readonly rest: Buffer;
  /** Something stood there that is no answer, or whose checksum is wrong. */
  readonly broken: boolean;
}

/** How questions of any function lie on a wire, and how answers to them are found in what comes. */
export interface InquiryWire {
  wrap(body: Buffer, id: number): Buffer;
  cut(received: Buffer): Cut;
}

/** Modbus TCP and UDP. */
export const mbapInquiry: InquiryWire = {
  wrap: (body, id) => withHeader(id, body),
  cut(received) {
    const heard: Heard[] = [];
    let rest = received;
    while (rest.length >= HEADER) {
      const length = lengthIn(rest, 0);
      if (length === undefined) return { heard, rest: Buffer.alloc(0), broken: true };
      if (rest.length < HEADER + length) break;
      heard.push({ body: rest.subarray(HEADER, HEADER + length), id: rest.readUInt16BE(0) });
      rest = rest.subarray(HEADER + length);
    }
    return { heard, rest, broken: false };
  },
};

export const asciiInquiry: InquiryWire = {
  wrap: (body) => asciiFraming.wrap(body),
  cut(received) {
    const heard: Heard[] = [];
    let broken = false;
    let rest = received;
    while (rest.length > 0) {
      const piece = asciiFraming.answerAt(rest, 0);
      if (piece.kind === "partial") break;
      if (piece.kind === "frame") heard.push({ body: asciiFraming.bodyOf(rest.subarray(0, piece.length)) });
      else broken = true;
      rest = rest.subarray(piece.kind === "frame" || piece.kind === "corrupt" ? piece.length : 1);
    }
    return { heard, rest, broken };
  },
};

/** RTU: an answer is recognized by its function, its length and its checksum, wherever it begins. */
export const rtuInquiry: InquiryWire = {
  wrap: (body) => withCrc(body),
  cut(received) {
    const heard: Heard[] = [];
    let broken = false;
    let keepFrom: number | undefined;
    let at = 0;
    while (at < received.length) {
      const length = answerLength(received.subarray(at));
      const frame = length === undefined ? undefined : received.subarray(at, at + length);
      if (length !== undefined && frame?.length === length && crcFits(frame)) {
        if (keepFrom !== undefined) broken = true;
        heard.push({ body: frame.subarray(0, -2) });
        at += length;
        keepFrom = undefined;
        continue;
      }
      // Whole and with a bad checksum is broken; what is still too short may become a frame.
      if (length !== undefined && (frame?.length ?? 0) < length) keepFrom ??= at;
      else broken = true;
      at++;
    }
    return { heard, rest: received.subarray(keepFrom ?? at), broken };
  },
};

const EXCEPTION = 5;
const SHORTEST = 5;
const MAX_RTU = 256;

/** Bytes of the answer that begins here; undefined where none can. More than there are where that is not known yet. */
function answerLength(bytes: Buffer): number | undefined {
  const [unit = 0, code, third] = bytes;
  if (unit < 1 || unit > 247) return undefined;
  if (code === undefined) return SHORTEST;
  if (code & 0x80) return EXCEPTION;
  if ((code >= 1 && code <= 4) || code === 17) return 5 + (third ?? 0);
  return code === 43 ? identityLength(bytes) : undefined;
}

/** Each object names its own length (MODBUS Application Protocol V1.1b3, 6.21). */
function identityLength(bytes: Buffer): number | undefined {
  if (bytes.length > 2 && bytes[2] !== 14) return undefined;
  const count = bytes[7];
  if (count === undefined) return 10;
  let end = 8;
  for (let at = 0; at < count; at++) {
    const length = bytes[end + 1];
    if (length === undefined) return end + 4;
    end += 2 + length;
    if (end > MAX_RTU) return undefined;
  }
  return end + 2;
}
