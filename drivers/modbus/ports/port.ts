import { EventEmitter } from "node:events";
import type { NotConnectedError } from "../../../gateway/core/errors.ts";
import { dataBytes, type Question } from "../wire.ts";

/**
 * What became of bytes that arrived: `answer` and `exception` were taken; `late` belonged to a question that was given
 * up, `foreign` to none; `malformed` answered the question with the wrong length; `echo` was the question itself; `crc`
 * had a bad checksum; `noise` was no frame at all; `framing` made the connection useless; `truncated` broke off.
 */
export type FrameKind =
  | "answer"
  | "exception"
  | "late"
  | "foreign"
  | "malformed"
  | "echo"
  | "crc"
  | "noise"
  | "framing"
  | "truncated";

export type CountFrame = (kind: FrameKind) => void;

/** The unit answered the question with something that cannot be its answer. */
export class MalformedAnswerError extends Error {
  override readonly name = "MalformedAnswerError";
}

type OpenCallback = (error?: Error | null) => void;

/**
 * A connection that lets one question out at a time and nothing in but its answer. It is what modbus-serial calls a port:
 * `open`, `close`, `write` with a whole RTU frame, and `data` with a whole RTU frame. An object is opened once; after it
 * closed, for whatever reason, a new one is made.
 *
 * Emits `data` at most once per `expect`, `malformed` instead of it, and `closed` once, with the reason.
 */
export abstract class StrictPort extends EventEmitter<{
  data: [Buffer];
  malformed: [MalformedAnswerError];
  closed: [NotConnectedError];
}> {
  // modbus-serial pairs answers with questions by these two; with one question at a time they never have to differ.
  _transactionIdRead = 1;
  _transactionIdWrite = 1;
  isOpen = false;

  protected readonly count: CountFrame;
  protected question: Question | undefined;
  #closed = false;

  constructor(count: CountFrame) {
    super();
    this.count = count;
  }

  /** Calls back once: opened, or an error after which the object is of no use. */
  abstract open(callback: OpenCallback): void;

  /** Calls back when nothing is left of the connection. May be called again, and before `open` called back. */
  abstract close(callback: () => void): void;

  /** Sends one question, given as an RTU frame with its CRC. */
  abstract write(frame: Buffer): void;

  /** Milliseconds until a question of this shape cannot be confused with one that was given up; 0 when it can be asked. */
  abstract confusedMs(question: Question): number;

  /** Announces the question that the next `write` carries. */
  expect(question: Question): void {
    // A copy, so that asking the same thing again is another question.
    this.question = { ...question };
  }

  /**
   * The question is given up: from now on its answer is late.
   * @returns an exception that came and could have been for an older question, as a frame.
   */
  abstract forget(): Buffer | undefined;

  protected settle(frame: Buffer, kind: "answer" | "exception"): void {
    this.question = undefined;
    this.count(kind);
    this.emit("data", frame);
  }

  protected fail(message: string): void {
    this.question = undefined;
    this.count("malformed");
    this.emit("malformed", new MalformedAnswerError(message));
  }

  protected ended(reason: NotConnectedError): void {
    this.isOpen = false;
    if (this.#closed) return;
    this.#closed = true;
    this.emit("closed", reason);
  }
}

/** How an RTU frame or the body of a TCP frame (unit, function, data; no CRC) relates to a question. */
export type Match = "answer" | "exception" | "malformed" | "foreign";

export function match(question: Question, body: Buffer): Match {
  if (body[0] !== question.unit) return "foreign";
  if (body[1] === (question.functionCode | 0x80)) return body.length === 3 ? "exception" : "malformed";
  if (body[1] !== question.functionCode) return "foreign";
  const bytes = dataBytes(question);
  return body[2] === bytes && body.length === 3 + bytes ? "answer" : "malformed";
}
