import type { RecordedPacket, Recording } from "../../../gateway/core/recording.ts";
import { type Ask, answerOf, type Command, isCommand } from "../command.ts";
import { HEADER } from "../ports/mbap.ts";
import { match } from "../ports/port.ts";
import { mbapWire } from "../simulator/wires.ts";

/** A question of a recording and what became of it. Bodies are unit, function and data. */
export interface Exchange {
  readonly key: string;
  readonly unit: number;
  readonly askedMs: number;
  /** Undefined where there was no answer. */
  answer: Buffer | undefined;
  /** The answer only says that a command was done: it is made from the question at hand. */
  confirms: boolean;
  delayMs: number;
}

interface Pending {
  readonly exchange: Exchange;
  readonly question: Buffer;
  readonly ask: Ask | undefined;
  /** Its answer cannot be one; on a line it may be that to an older question, and the right one may follow. */
  doubtful: boolean;
}

/** A question that has no answer at the end of the recording may have got one afterwards. */
const CUT_OFF_MS = 1_000;

/** The questions of a recording in their order. Whatever is no frame is passed over. */
export function exchangesOf(recording: Recording): Exchange[] {
  const isLine = recording.transport !== "tcp" && recording.transport !== "udp";
  const book = isLine ? new LineBook() : new IdBook(recording.transport === "tcp");
  for (const packet of recording.packets) book.take(packet);
  const endMs = recording.packets.at(-1)?.atMs ?? 0;
  return book.exchanges.filter(({ answer, askedMs }) => answer !== undefined || endMs - askedMs >= CUT_OFF_MS);
}

/** Questions that one sequence of answers belongs to; what a command writes makes no difference. */
export function keyOf(question: Buffer): string {
  const ask = askIn(question);
  if (!ask || !isCommand(ask)) return question.toString("hex");
  return [ask.unit, ask.functionCode, ask.address, ask.count].join(" ");
}

/** The question in a body; undefined where the function is not known here, or the length is wrong. */
export function askIn(body: Buffer): Ask | undefined {
  const [unit = 0, functionCode = 0] = body;
  if (body.length < 6) return undefined;
  const address = body.readUInt16BE(2);
  if (isRead(functionCode)) {
    return body.length === 6 ? { unit, functionCode, address, count: body.readUInt16BE(4) } : undefined;
  }
  const command = commandIn(functionCode, body);
  return command && { unit, address, ...command };
}

function isRead(code: number): code is 1 | 2 | 3 | 4 {
  return code >= 1 && code <= 4;
}

function commandIn(functionCode: number, body: Buffer): Pick<Command, "functionCode" | "count" | "data"> | undefined {
  if (functionCode === 5 || functionCode === 6) return { functionCode, count: 1, data: body.subarray(4) };
  if (functionCode === 22) return { functionCode, count: 1, data: body.subarray(4) };
  if (functionCode !== 15 && functionCode !== 16) return undefined;
  return { functionCode, count: body.readUInt16BE(4), data: body.subarray(7) };
}

abstract class Book {
  readonly exchanges: Exchange[] = [];

  abstract take(packet: RecordedPacket): void;

  protected asked(question: Buffer, atMs: number): Pending {
    const exchange: Exchange = {
      key: keyOf(question),
      unit: question[0] ?? 0,
      askedMs: atMs,
      answer: undefined,
      confirms: false,
      delayMs: 0,
    };
    this.exchanges.push(exchange);
    return { exchange, question, ask: askIn(question), doubtful: false };
  }

  /** @returns whether the body answers the question. */
  protected answered(pending: Pending, body: Buffer, atMs: number): boolean {
    const { ask, doubtful, exchange, question } = pending;
    if ((exchange.answer && !doubtful) || body[0] !== question[0] || ((body[1] ?? 0) & 0x7f) !== question[1])
      return false;
    const found = ask ? match(ask, body) : "answer";
    // An echo is no answer, unless it is one.
    if (found === "foreign" || (found === "malformed" && body.equals(question))) return false;
    if (found === "malformed" && doubtful) return false;
    pending.doubtful = found === "malformed";
    exchange.answer = body;
    exchange.confirms = found === "answer" && ask !== undefined && isCommand(ask) && body.equals(answerOf(ask));
    exchange.delayMs = Math.max(0, atMs - exchange.askedMs);
    return true;
  }
}

class LineBook extends Book {
  #pending: Pending | undefined;

  take({ bytes, fromDevice, noise, atMs }: RecordedPacket): void {
    if (noise || bytes.length < 4) return;
    const body = bytes.subarray(0, -2);
    if (!fromDevice) this.#pending = this.asked(body, atMs);
    else if (this.#pending) this.answered(this.#pending, body, atMs);
  }
}

interface Stream {
  sent: Buffer;
  received: Buffer;
  readonly pending: Map<number, Pending>;
}

class IdBook extends Book {
  readonly #isStream: boolean;
  readonly #streams = new Map<number, Stream>();

  constructor(isStream: boolean) {
    super();
    this.#isStream = isStream;
  }

  take({ bytes, connection, fromDevice, atMs }: RecordedPacket): void {
    const stream = this.#streamOf(connection);
    const name = fromDevice ? "received" : "sent";
    const { questions, rest, broken } = mbapWire.cut(this.#isStream ? Buffer.concat([stream[name], bytes]) : bytes);
    stream[name] = broken ? Buffer.alloc(0) : rest;
    for (const frame of questions) {
      const id = frame.readUInt16BE(0);
      const body = frame.subarray(HEADER);
      if (fromDevice) this.#answer(stream, id, body, atMs);
      else stream.pending.set(id, this.asked(body, atMs));
    }
  }

  #answer({ pending }: Stream, id: number, body: Buffer, atMs: number): void {
    const own = pending.get(id);
    if (own && this.answered(own, body, atMs)) {
      pending.delete(id);
      return;
    }
    // Some gateways answer with an id of their own: then the order has to do.
    if (own) return;
    for (const [other, question] of pending) {
      if (!this.answered(question, body, atMs)) continue;
      pending.delete(other);
      return;
    }
  }

  #streamOf(connection: number): Stream {
    const known = this.#streams.get(connection);
    if (known) return known;
    const made = { sent: Buffer.alloc(0), received: Buffer.alloc(0), pending: new Map<number, Pending>() };
    this.#streams.set(connection, made);
    return made;
  }
}
