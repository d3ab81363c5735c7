import type { Random } from "../../../support/random.ts";
import { bytesOf, contentOf, frameOf, hasHeader, readQuestion, type WireKind, type WireQuestion } from "./wires.ts";

interface Reply {
  readonly question: WireQuestion;
  readonly frame: Buffer;
}
interface Owed extends Reply {
  readonly atMs: number;
}

/** What goes onto the wire for one question. */
export interface Delivery {
  readonly question: WireQuestion;
  readonly chunks: readonly Buffer[];
}

const LATE = [1, 2, 255, 256, 257];
const REMEMBERED = 300;

/** Without ids, an answer later than this is told from a right one by nobody. */
export const LATE_MS = 1000;

/** Answers questions in every wrong way there is, and sometimes rightly. */
export class FarSide {
  readonly #kind: WireKind;
  readonly #random: Random;
  /** Answers that were never sent, the latest last. */
  #owed: Owed[] = [];
  readonly #now: () => number;
  deliveries = 0;

  constructor(kind: WireKind, random: Random, now: () => number) {
    this.#kind = kind;
    this.#now = now;
    this.#random = random;
  }

  /** Frames that are, at this moment, late answers to older questions which a client can tell. */
  get owed(): () => readonly Buffer[] {
    const owed = this.#owed;
    const hasIds = this.#kind === "tcp" || this.#kind === "udp";
    const sinceMs = hasIds ? Number.NEGATIVE_INFINITY : this.#now() - LATE_MS;
    return () => owed.filter((reply) => reply.atMs > sinceMs).map((reply) => reply.frame);
  }

  /** So much time has passed that nothing late comes any more. */
  forget(): void {
    this.#owed = [];
  }

  reply(asked: Buffer): Delivery {
    this.deliveries++;
    const question = readQuestion(this.#kind, asked);
    const frame = this.#frame(question, question.id);
    const { bytes, sent } = this.#spoil({ question, frame }, asked);
    if (!sent) this.#owed = [...this.#owed, { question, frame, atMs: this.#now() }].slice(-REMEMBERED);
    return { question, chunks: this.#cut(bytes) };
  }

  /** `sent`: the right answer will not come later any more. */
  #spoil(reply: Reply, asked: Buffer): { bytes: Buffer; sent: boolean } {
    const { frame } = reply;
    const random = this.#random;
    switch (random.whole(0, 15)) {
      case 0:
        return { bytes: frame.subarray(0, random.whole(0, frame.length - 1)), sent: true };
      case 1:
        return { bytes: this.#flipped(frame), sent: true };
      case 2:
        return { bytes: Buffer.concat([this.#noise(), frame, this.#noise()]), sent: true };
      case 3: {
        const at = random.whole(1, frame.length - 1);
        return { bytes: Buffer.concat([frame.subarray(0, at), this.#noise(), frame.subarray(at)]), sent: true };
      }
      case 4:
        return { bytes: Buffer.concat([frame, frame]), sent: true };
      case 5:
        return { bytes: this.#late(reply.question), sent: false };
      case 6:
        return { bytes: Buffer.concat([this.#late(reply.question), frame]), sent: true };
      case 7:
        return { bytes: Buffer.concat([frame, this.#late(reply.question)]), sent: true };
      case 8:
        return { bytes: this.#misdirected(reply.question), sent: true };
      case 9:
        return { bytes: this.#resized(reply.question), sent: true };
      case 10:
        return { bytes: this.#noise(), sent: false };
      case 11:
        return { bytes: this.#refusal(reply.question), sent: true };
      case 12:
        return { bytes: Buffer.concat([asked, frame]), sent: true };
      case 13:
        return { bytes: Buffer.alloc(0), sent: false };
      case 14:
        return { bytes: asked, sent: true };
      default:
        return { bytes: frame, sent: true };
    }
  }

  #frame(question: WireQuestion, id: number): Buffer {
    const head = Buffer.of(question.unit, question.code, bytesOf(question));
    return frameOf(this.#kind, id, Buffer.concat([head, contentOf(question)]));
  }

  /**
   * An answer that was never sent: one that looks like the right one where there is such a one, or, on TCP, preferably so
   * many questions old that small counters wrap.
   */
  #late(to: WireQuestion): Buffer {
    const back = LATE[this.#random.whole(0, LATE.length - 1)] ?? 1;
    const alike = this.#owed.findLast(
      ({ question }) => question.unit === to.unit && question.code === to.code && bytesOf(question) === bytesOf(to),
    );
    const late = (this.#random.chance(0.5) ? alike : undefined) ?? this.#owed[Math.max(0, this.#owed.length - back)];
    this.#owed = this.#owed.filter((reply) => reply !== late);
    return late?.frame ?? Buffer.alloc(0);
  }

  #flipped(frame: Buffer): Buffer {
    const copy = Buffer.from(frame);
    for (let left = this.#random.whole(1, 3); left > 0; left--) {
      const at = this.#random.whole(0, copy.length - 1);
      copy[at] = (copy[at] ?? 0) ^ (1 << this.#random.whole(0, 7));
    }
    return copy;
  }

  #noise(): Buffer {
    return this.#random.bytes(this.#random.whole(0, 20));
  }

  /** A whole frame with a right checksum, and with another id, unit, function or place. */
  #misdirected(question: WireQuestion): Buffer {
    const other = [
      { ...question, unit: question.unit + 1 },
      { ...question, code: (question.code % 4) + 1 },
      { ...question, unit: 0 },
    ][this.#random.whole(0, 2)];
    const step = [1, -1, 255, 256, 257][this.#random.whole(0, 4)] ?? 1;
    if (hasHeader(this.#kind) && this.#kind !== "tcp without ids" && this.#random.chance(0.5)) {
      return this.#frame({ ...question, address: question.address + 1 }, (question.id + step) & 0xffff);
    }
    return this.#frame(other ?? question, question.id);
  }

  /** A whole frame with a right checksum, and more or fewer values, or a byte count that lies. */
  #resized(question: WireQuestion): Buffer {
    const step = question.code <= 2 ? 8 : 1;
    const count = Math.max(step, question.count + step * this.#random.whole(-2, 2));
    if (count !== question.count && this.#random.chance(0.5)) return this.#frame({ ...question, count }, question.id);
    const data = contentOf(question);
    const lie = (data.length + this.#random.whole(1, 255)) & 255;
    return frameOf(this.#kind, question.id, Buffer.concat([Buffer.of(question.unit, question.code, lie), data]));
  }

  #refusal(question: WireQuestion): Buffer {
    const body = Buffer.of(question.unit, question.code | 0x80, this.#random.whole(0, 255));
    return frameOf(this.#kind, question.id, body);
  }

  /** In one piece, in two, or byte by byte; datagrams stay whole. */
  #cut(bytes: Buffer): Buffer[] {
    if (this.#kind === "udp" || this.#random.chance(0.6)) return [bytes];
    if (this.#random.chance(0.2)) return Array.from(bytes, (byte) => Buffer.of(byte));
    const at = this.#random.whole(0, bytes.length);
    return [bytes.subarray(0, at), bytes.subarray(at)];
  }
}
