import { EventEmitter } from "node:events";
import { messageOf, NotConnectedError } from "../../../gateway/core/errors.ts";
import { type Ask, answerOf, isCommand } from "../command.ts";
import { bodyOf, dataBytes, type Question, withCrc } from "../wire.ts";
import type { Channel, OpenChannel } from "./channel.ts";

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

/** Milliseconds during which the answer to a question could be that to one that was given up. */
export interface Confusion {
  /** Until then the question must not be asked. */
  readonly closedMs: number;
  /** Until then another question is better. */
  readonly waryMs: number;
}

/**
 * A connection that lets `slots` questions out at once and nothing in but their answers. To modbus-serial, which makes the
 * commands, it is what that calls a port: `open`, `close`, `write` with a whole RTU frame, and `data` with a whole RTU frame.
 * An object is opened once; after it closed, for whatever reason, a new one is made.
 *
 * A question has a slot from `expect` until its answer or `forget`. Emits for it at most once `answered` (a read) or `data` (a
 * command), or `malformed` instead; and `closed` once, with the reason. The body of `answered` (unit, function, data; no
 * checksum) has the length that was asked for, or is an exception.
 */
export abstract class StrictPort extends EventEmitter<{
  answered: [number, Buffer];
  data: [Buffer];
  malformed: [number, MalformedAnswerError];
  closed: [NotConnectedError];
}> {
  // By these two modbus-serial pairs answers with questions: they hold the slot.
  _transactionIdRead = 1;
  _transactionIdWrite = 1;
  isOpen = false;
  readonly slots: number;

  protected readonly count: CountFrame;
  protected readonly asked = new Map<number, Ask>();
  readonly #openChannel: OpenChannel;
  #channel: Channel | undefined;
  #opening: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(openChannel: OpenChannel, slots: number, count: CountFrame) {
    super();
    this.#openChannel = openChannel;
    this.slots = slots;
    this.count = count;
  }

  /** Calls back once: opened, or an error after which the object is of no use. */
  open(callback: OpenCallback): void {
    try {
      this.#channel = this.#openChannel({ data: (chunk) => this.take(chunk), closed: (reason) => this.ended(reason) });
    } catch (error) {
      callback(new NotConnectedError(messageOf(error), { cause: error }));
      return;
    }
    this.#opening = this.#channel.open().then(
      () => {
        this.isOpen = true;
        callback();
      },
      (error: unknown) => callback(error instanceof Error ? error : new NotConnectedError(messageOf(error))),
    );
  }

  /** Calls back when nothing is left of the connection. May be called again, and before `open` called back. */
  close(callback: () => void): void {
    this.isOpen = false;
    void this.finish(this.#channel, this.#opening).then(() => {
      this.ended(new NotConnectedError("closed"));
      callback();
    });
  }

  /** Sends the command announced last, given as an RTU frame with its CRC. */
  write(frame: Buffer): void {
    this.send(this._transactionIdWrite, frame.subarray(0, -2));
  }

  /** Sends a read that was announced. */
  read(slot: number, question: Question): void {
    this.send(slot, bodyOf(question));
  }

  /** @param body unit, function, data. */
  protected abstract send(slot: number, body: Buffer): void;

  protected abstract take(chunk: Buffer): void;

  /** Whether answers can be confused at all. */
  abstract readonly confusable: boolean;

  /** What of `ask` could be confused; nothing where answers carry an id. */
  abstract confusion(ask: Ask): Confusion;

  /** Milliseconds during which the answer to a command could be that to one that was given up. */
  commandsMs(unit: number): number {
    void unit;
    return 0;
  }

  /** Announces the question that the next `write` carries. @returns its slot. */
  expect(ask: Ask): number {
    let slot = 1;
    while (this.asked.has(slot)) slot++;
    this._transactionIdWrite = slot;
    // A copy, so that asking the same thing again is another question.
    this.asked.set(slot, { ...ask });
    return slot;
  }

  /**
   * The question is given up: from now on its answer is late. Does nothing when it was answered.
   * @returns an exception that came and could have been for an older question: unit, function, code.
   */
  abstract forget(slot: number): Buffer | undefined;

  protected get channel(): Channel | undefined {
    return this.#channel;
  }

  protected async finish(channel: Channel | undefined, opening: Promise<void>): Promise<void> {
    void opening;
    await channel?.close();
  }

  protected settle(slot: number, body: Buffer, kind: "answer" | "exception"): void {
    const ask = this.asked.get(slot);
    this.asked.delete(slot);
    this.count(kind);
    if (!ask || !isCommand(ask)) {
      this.emit("answered", slot, body);
      return;
    }
    this._transactionIdRead = slot;
    this.emit("data", withCrc(body));
  }

  protected fail(slot: number, message: string): void {
    this.asked.delete(slot);
    this.count("malformed");
    this.emit("malformed", slot, new MalformedAnswerError(message));
  }

  /** The far side cannot be understood any more, or is gone. */
  protected give(reason: string): void {
    this.ended(new NotConnectedError(reason));
    void this.#channel?.close();
  }

  protected ended(reason: NotConnectedError): void {
    this.isOpen = false;
    if (this.#closed) return;
    this.#closed = true;
    this.emit("closed", reason);
  }
}

/** How the body of a frame (unit, function, data; no checksum) relates to a question. */
export type Match = "answer" | "exception" | "malformed" | "foreign";

export function match(ask: Ask, body: Buffer): Match {
  if (body[0] !== ask.unit) return "foreign";
  if (body[1] === (ask.functionCode | 0x80)) return body.length === 3 ? "exception" : "malformed";
  if (body[1] !== ask.functionCode) return "foreign";
  if (isCommand(ask)) return body.equals(answerOf(ask)) ? "answer" : "malformed";
  const bytes = dataBytes(ask);
  return body[2] === bytes && body.length === 3 + bytes ? "answer" : "malformed";
}
