import { setTimeout as pause } from "node:timers/promises";
import { messageOf, NotConnectedError } from "../../../gateway/core/errors.ts";
import type { RtuTransport } from "../options.ts";
import { dataBytes, type Question, silenceMs } from "../wire.ts";
import { Debts } from "./debts.ts";
import { type CountFrame, match, StrictPort } from "./port.ts";
import { answerAt } from "./rtu-frames.ts";
import { SerialLine } from "./serial-line.ts";

/** More than the longest frame and an echo before it. */
const MAX_RECEIVED = 600;

/**
 * Modbus RTU. Before each question the line is silent for 3.5 characters and what was received is dropped. A frame is
 * recognized by its length and CRC, wherever it begins, so noise around it does no harm.
 */
export class RtuPort extends StrictPort {
  readonly #transport: RtuTransport;
  readonly #lateMs: number;
  readonly #debts = new Debts();
  #line: SerialLine | undefined;
  #received: Buffer = Buffer.alloc(0);
  #asked: Buffer = Buffer.alloc(0);
  #echoSeen = false;
  #corruptSeen = false;
  /** An exception that may be meant for an older question; a data answer may still follow it. */
  #refusal: Buffer | undefined;
  #quietFromMs = 0;
  #opening: Promise<void> = Promise.resolve();
  #sending: Promise<void> = Promise.resolve();

  /** @param lateMs how long after a question was given up its answer may still come. */
  constructor(transport: RtuTransport, lateMs: number, count: CountFrame) {
    super(count);
    this.#transport = transport;
    this.#lateMs = lateMs;
  }

  open(callback: (error?: Error | null) => void): void {
    try {
      this.#line = new SerialLine(this.#transport, {
        data: (chunk) => this.#take(chunk),
        closed: (reason) => this.ended(reason),
      });
    } catch (error) {
      callback(new NotConnectedError(messageOf(error), { cause: error }));
      return;
    }
    this.#opening = this.#line.open().then(
      () => {
        this.isOpen = true;
        callback();
      },
      (error: unknown) => callback(error instanceof Error ? error : new NotConnectedError(messageOf(error))),
    );
  }

  close(callback: () => void): void {
    void this.#close().then(callback);
  }

  async #close(): Promise<void> {
    // A port that is still being opened cannot be closed.
    await this.#opening;
    this.isOpen = false;
    await this.#line?.close();
    await this.#sending;
    this.ended(new NotConnectedError("closed"));
  }

  write(frame: Buffer): void {
    this.#sending = this.#send(frame, this.question);
  }

  async #send(frame: Buffer, question: Question | undefined): Promise<void> {
    const waitMs = this.#quietFromMs - performance.now();
    if (waitMs > 0) await pause(Math.ceil(waitMs));
    await this.#line?.flush();
    if (!this.isOpen || this.question !== question) return;
    this.#drop();
    this.#asked = frame;
    this.#echoSeen = false;
    this.#corruptSeen = false;
    this.#refusal = undefined;
    this.#line?.write(frame);
  }

  forget(): Buffer | undefined {
    if (!this.question) return undefined;
    this.#debts.add(this.question, performance.now() + this.#lateMs);
    if (this.#isAnswerBegun(0)) this.count("truncated");
    else this.#drop();
    this.#received = Buffer.alloc(0);
    this.question = undefined;
    return this.#refusal;
  }

  confusedMs(question: Question): number {
    return this.#debts.confusedMs(question, performance.now());
  }

  #take(chunk: Buffer): void {
    this.#quietFromMs = performance.now() + silenceMs(this.#transport);
    this.#received = Buffer.concat([this.#received, chunk]).subarray(-MAX_RECEIVED);
    if (this.#isEchoBegun()) return;
    this.#cutEcho();
    let at = 0;
    let keepFrom: number | undefined;
    while (at < this.#received.length) {
      const piece = answerAt(this.#received, at);
      if (piece.kind === "frame") {
        const frame = Buffer.from(this.#received.subarray(at, at + piece.length));
        at += piece.length;
        keepFrom = undefined;
        this.#sort(frame);
        continue;
      }
      if (piece.kind === "corrupt") this.#countCorrupt(at);
      if (piece.kind === "partial") keepFrom ??= at;
      // Bytes inside the awaited answer may look like a frame of their own.
      if (piece.kind === "partial" && this.#isAnswerBegun(at)) break;
      at++;
    }
    this.#received = this.#received.subarray(keepFrom ?? at);
  }

  #sort(frame: Buffer): void {
    if (!this.#echoSeen && frame.equals(this.#asked)) {
      this.#echoSeen = true;
      this.count("echo");
      return;
    }
    const { question } = this;
    const body = frame.subarray(0, -2);
    const [unit = 0, code = 0] = body;
    const found = question ? match(question, body) : "foreign";
    if (question && found === "answer") {
      this.#debts.clear(unit);
      this.settle(frame, "answer");
    } else if (question && found === "exception") {
      if (this.#owes(question)) this.#refusal = frame;
      else this.settle(frame, "exception");
    } else if (this.#debts.pay(unit, code, body.length - 3)) {
      this.count("late");
    } else {
      // Not the end of waiting: the answer itself may still come, and must then not meet the next question.
      this.count(found === "malformed" ? "malformed" : "foreign");
    }
  }

  #owes({ unit, functionCode }: Question): boolean {
    return this.#debts.owesFunction(unit, functionCode, performance.now());
  }

  /** On a line that hears itself the question comes back first; until it is whole it is not looked into. */
  #isEchoBegun(): boolean {
    const { length } = this.#received;
    return !this.#echoSeen && length < this.#asked.length && this.#asked.subarray(0, length).equals(this.#received);
  }

  #cutEcho(): void {
    const { length } = this.#asked;
    if (this.#echoSeen || length === 0 || !this.#received.subarray(0, length).equals(this.#asked)) return;
    this.#echoSeen = true;
    this.#received = this.#received.subarray(length);
    this.count("echo");
  }

  #isAnswerBegun(at: number): boolean {
    const { question } = this;
    if (!question || this.#received.length < at + 3) return false;
    return (
      this.#received[at] === question.unit &&
      this.#received[at + 1] === question.functionCode &&
      this.#received[at + 2] === dataBytes(question)
    );
  }

  #countCorrupt(at: number): void {
    if (this.#corruptSeen || !this.#isAnswerBegun(at)) return;
    this.#corruptSeen = true;
    this.count("crc");
  }

  /** What was received and is no frame. */
  #drop(): void {
    if (this.#received.length > 0) this.count("noise");
    this.#received = Buffer.alloc(0);
  }
}
