import type { CapturedFrame, Passed, Sifter } from "../../../gateway/core/recording.ts";
import { asciiFraming } from "../ports/ascii-framing.ts";
import type { Framing } from "../ports/framing.ts";
import { withCrc } from "../wire.ts";

/** Functions whose answer is the question. */
const MIRRORED = new Set([5, 6, 22]);

type Chunk = Passed & { kind: "sent" | "received" };

/**
 * Modbus on a line: one packet for a question and one for an answer, whatever pieces it came in, with the time of its last
 * piece. Bytes that are no frame stay as they are. ASCII is written as the RTU frame of the same content, for which there are
 * dissectors, with the text beside it.
 */
export class LineSifter implements Sifter {
  readonly #framing: Framing;
  #received: Buffer = Buffer.alloc(0);
  #lastChunk: Chunk | undefined;
  /** The question that may come back as an echo. */
  #sent: Buffer = Buffer.alloc(0);

  constructor(framing: Framing) {
    this.#framing = framing;
  }

  take(passed: Passed): readonly CapturedFrame[] {
    if (passed.kind === "received") return this.#hear(passed);
    const before = this.end();
    this.#sent = Buffer.alloc(0);
    if (passed.kind !== "sent") return before;
    this.#sent = this.#framing.hearsItself ? passed.bytes : this.#sent;
    return [...before, this.#frame(passed, passed.bytes)];
  }

  end(): readonly CapturedFrame[] {
    const rest = this.#received;
    this.#received = Buffer.alloc(0);
    return this.#lastChunk && rest.length > 0 ? [this.#noise(this.#lastChunk, rest)] : [];
  }

  #hear(chunk: Chunk): readonly CapturedFrame[] {
    this.#lastChunk = chunk;
    this.#received = Buffer.concat([this.#received, chunk.bytes]);
    const frames: CapturedFrame[] = [];
    const { length } = this.#sent;
    // Until an echo is whole it is not looked into.
    if (length > this.#received.length && this.#sent.subarray(0, this.#received.length).equals(this.#received)) {
      return frames;
    }
    if (length > 0 && this.#isEcho(length)) {
      frames.push({ ...this.#frame(chunk, this.#sent), comment: "the question, heard back" });
      this.#received = this.#received.subarray(length);
      this.#sent = Buffer.alloc(0);
    }
    this.#cut(chunk, frames);
    return frames;
  }

  /** Where question and answer are the same bytes, it is the answer, unless more follows. */
  #isEcho(length: number): boolean {
    if (!this.#received.subarray(0, length).equals(this.#sent)) return false;
    const code = this.#framing.bodyOf(this.#sent)[1] ?? 0;
    return this.#received.length > length || !MIRRORED.has(code);
  }

  #cut(chunk: Chunk, frames: CapturedFrame[]): void {
    let at = 0;
    let from = 0;
    while (at < this.#received.length) {
      const piece = this.#framing.answerAt(this.#received, at);
      if (piece.kind === "frame") {
        if (at > from) frames.push(this.#noise(chunk, this.#received.subarray(from, at)));
        frames.push(this.#frame(chunk, this.#received.subarray(at, at + piece.length)));
        at += piece.length;
        from = at;
        continue;
      }
      at++;
    }
    // What is no frame yet may become one.
    const until = Math.max(from, this.#received.length - this.#framing.maxReceived);
    if (until > from) frames.push(this.#noise(chunk, this.#received.subarray(from, until)));
    this.#received = this.#received.subarray(until);
  }

  #frame({ kind, connection, monoMs, wallMs }: Chunk, bytes: Buffer): CapturedFrame {
    const frame = { kind, connection, monoMs, wallMs };
    if (this.#framing !== asciiFraming) return { ...frame, bytes: Buffer.from(bytes) };
    const text = bytes.toString("latin1").trimEnd();
    return { ...frame, bytes: withCrc(this.#framing.bodyOf(bytes)), comment: `on the wire: ${text}` };
  }

  #noise({ kind, connection, monoMs, wallMs }: Chunk, bytes: Buffer): CapturedFrame {
    const comment = `${bytes.length} bytes that are no Modbus frame`;
    return { kind, connection, monoMs, wallMs, bytes: Buffer.from(bytes), noise: true, comment };
  }
}
