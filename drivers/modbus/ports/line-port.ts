import { setImmediate as nextTurn, setTimeout as pause } from "node:timers/promises";
import { type Ask, echoes, isCommand } from "../command.ts";
import { dataBytes } from "../wire.ts";
import type { Channel, OpenChannel } from "./channel.ts";
import { Debts, type LateWindows } from "./debts.ts";
import type { Framing } from "./framing.ts";
import { type Confusion, type CountFrame, match, StrictPort } from "./port.ts";

export interface LinePortOptions {
  readonly framing: Framing;
  /** Silence before a question. */
  readonly silenceMs: number;
  readonly windows: LateWindows;
  /** Whether the channel gives a stream, in which frames may be cut anywhere; else each chunk is a datagram. */
  readonly stream: boolean;
  /** Monotonic milliseconds. */
  readonly now?: () => number;
}

const SLOT = 1;
/** A timer that came so much too late: something may have been received meanwhile that nobody has looked at. */
const OVERSLEPT_MS = 5;

/**
 * Modbus without ids that can be believed: RTU and ASCII, on a serial line or through TCP. Before each question the line
 * is silent for a while and what was received is dropped. A frame is recognized by its length and checksum, wherever it
 * begins, so noise around it does no harm.
 */
export class LinePort extends StrictPort {
  readonly confusable = true;
  readonly #framing: Framing;
  readonly #silenceMs: number;
  readonly #stream: boolean;
  readonly #debts: Debts;
  readonly #now: () => number;
  #received: Buffer = Buffer.alloc(0);
  #sent: Buffer = Buffer.alloc(0);
  /** Whether the last question came back before its answer. */
  #hearsItself = false;
  #echoSeen = false;
  #corruptSeen = false;
  /** An exception that may be meant for an older question; a data answer may still follow it. */
  #refusal: Buffer | undefined;
  #quietFromMs = 0;
  #sending: Promise<void> = Promise.resolve();

  constructor(openChannel: OpenChannel, options: LinePortOptions, count: CountFrame) {
    super(openChannel, SLOT, count);
    this.#framing = options.framing;
    this.#silenceMs = options.silenceMs;
    this.#stream = options.stream;
    this.#debts = new Debts(options.windows);
    this.#now = options.now ?? (() => performance.now());
  }

  protected send(_slot: number, body: Buffer): void {
    this.#sending = this.#sendWhenSilent(this.#framing.wrap(body), this.#ask);
  }

  forget(slot: number): Buffer | undefined {
    const ask = this.asked.get(slot);
    if (!ask) return undefined;
    this.#debts.add(ask, this.#now());
    if (this.#isAnswerBegun(0)) this.count("truncated");
    else this.#drop();
    this.#received = Buffer.alloc(0);
    this.asked.delete(slot);
    this.channel?.check?.();
    return this.#refusal;
  }

  confusion(ask: Ask): Confusion {
    return this.#debts.confusedMs(ask, this.#now());
  }

  override commandsMs(unit: number): number {
    return this.#debts.commandsMs(unit, this.#now());
  }

  protected override async finish(channel: Channel | undefined, opening: Promise<void>): Promise<void> {
    // A serial port that is still being opened cannot be closed.
    if (channel?.flush) await opening;
    await channel?.close();
    await this.#sending;
  }

  protected take(chunk: Buffer): void {
    this.#quietFromMs = this.#now() + this.#silenceMs;
    this.#received = Buffer.concat([this.#received, chunk]).subarray(-this.#framing.maxReceived);
    if (this.#isEchoBegun()) return;
    this.#cutEcho();
    let at = 0;
    let keepFrom: number | undefined;
    while (at < this.#received.length) {
      const piece = this.#framing.answerAt(this.#received, at);
      if (piece.kind === "broken") {
        this.#broken();
        return;
      }
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
    this.#received = this.#received.subarray(this.#stream ? (keepFrom ?? at) : at);
  }

  get #ask(): Ask | undefined {
    return this.asked.get(SLOT);
  }

  async #sendWhenSilent(bytes: Buffer, ask: Ask | undefined): Promise<void> {
    // While the line is silent there is time for it; after the silence it would be lost.
    await this.channel?.flush?.();
    if (await this.#silence()) await this.channel?.flush?.();
    if (!this.isOpen || !ask || this.#ask !== ask) return;
    this.#drop();
    this.#sent = bytes;
    // Where question and answer are the same bytes, only the questions before tell whether one of them is an echo.
    this.#echoSeen = !this.#framing.hearsItself || (echoes(ask) && !this.#hearsItself);
    this.#corruptSeen = false;
    this.#refusal = undefined;
    this.channel?.write(bytes);
  }

  /**
   * Waits until the line has been silent for long enough: not less, or the unit takes the question for a part of what was
   * before, and little more, or the line is not used. A timer knows whole milliseconds, and counts from when the present turn
   * of the event loop began, so that it may come too early. @returns whether it took much longer.
   */
  async #silence(): Promise<boolean> {
    const leftMs = () => this.#quietFromMs - this.#now();
    if (leftMs() <= 0) return false;
    for (let ms = leftMs(); ms > 0; ms = leftMs()) await (ms >= 1 ? pause(Math.floor(ms)) : nextTurn());
    return leftMs() < -OVERSLEPT_MS;
  }

  #sort(frame: Buffer): void {
    if (!this.#echoSeen && frame.equals(this.#sent)) {
      this.#echo();
      return;
    }
    const body = this.#framing.bodyOf(frame);
    const ask = this.#ask;
    const found = ask ? match(ask, body) : "foreign";
    const taken = found === "answer" || found === "exception";
    if (taken && ask && !echoes(ask)) this.#hearsItself = this.#echoSeen && this.#framing.hearsItself;
    if (ask && found === "exception" && this.#owes(ask)) this.#refusal = body;
    else if (taken) this.settle(SLOT, body, found);
    else if (this.#debts.came(body, this.#now())) this.count("late");
    // Not the end of waiting: the answer itself may still come, and must then not meet the next question.
    else this.count(found === "malformed" ? "malformed" : "foreign");
  }

  #owes({ unit, functionCode }: Ask): boolean {
    return this.#debts.owesFunction(unit, functionCode, this.#now());
  }

  /** On a line that hears itself the question comes back first; until it is whole it is not looked into. */
  #isEchoBegun(): boolean {
    const { length } = this.#received;
    return !this.#echoSeen && length < this.#sent.length && this.#sent.subarray(0, length).equals(this.#received);
  }

  #cutEcho(): void {
    const { length } = this.#sent;
    if (this.#echoSeen || length === 0 || !this.#received.subarray(0, length).equals(this.#sent)) return;
    this.#received = this.#received.subarray(length);
    this.#echo();
  }

  #echo(): void {
    this.#echoSeen = true;
    this.count("echo");
  }

  #isAnswerBegun(at: number): boolean {
    const ask = this.#ask;
    const head = ask && this.#framing.headAt(this.#received, at);
    if (!ask || !head || head[0] !== ask.unit || head[1] !== ask.functionCode) return false;
    return isCommand(ask) ? head[2] === ask.address >> 8 : head[2] === dataBytes(ask);
  }

  #countCorrupt(at: number): void {
    if (this.#corruptSeen || !this.#isAnswerBegun(at)) return;
    this.#corruptSeen = true;
    this.count("crc");
  }

  #broken(): void {
    this.#received = Buffer.alloc(0);
    this.count(this.#stream ? "framing" : "noise");
    if (this.#stream) this.give("the far side does not send Modbus TCP frames");
  }

  /** What was received and is no frame. */
  #drop(): void {
    if (this.#received.length > 0) this.count("noise");
    this.#received = Buffer.alloc(0);
  }
}
