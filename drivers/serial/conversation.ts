import { TimeoutError } from "../../gateway/core/driver.ts";
import { NotConnectedError } from "../../gateway/core/errors.ts";
import type { Fields } from "./parse/parser.ts";
import type { Talker } from "./parse/talker.ts";

/** What a device answered: fields, or why its answer cannot be read. */
export type Answer = { readonly fields: Fields } | { readonly unreadable: string };

interface Question {
  readonly talker: Talker;
  readonly echoes: Buffer[];
  misread: string | undefined;
  settle(answer: Answer): void;
}

/** A question that was given up; until then its answer may still come. */
interface Debt {
  readonly key: string;
  readonly talker: Talker;
  readonly untilMs: number;
}

/**
 * One question at a time, and its answer. Nothing in a telegram says which question it answers: so after one that was given up,
 * nothing is asked that the late answer could be taken for, until it came or will hardly come any more.
 */
export class Conversation {
  #question: Question | undefined;
  #debt: Debt | undefined;
  #debtPaid: () => void = () => {};
  #gone: Error | undefined;
  readonly #hangUps = new Set<(reason: Error) => void>();

  /**
   * `send` puts the question on the wire. `echoes`: the telegrams that come back on a line which hears itself.
   * @throws TimeoutError, NotConnectedError, or the signal's reason.
   */
  async ask(talker: Talker, echoes: readonly Buffer[], send: () => void, signal: AbortSignal): Promise<Answer> {
    signal.throwIfAborted();
    await this.#waitForDebt(talker, signal);
    signal.throwIfAborted();
    try {
      return await this.#patiently<Answer>(talker.timeoutMs, signal, (settle) => {
        this.#question = { talker, echoes: [...echoes], misread: undefined, settle };
        send();
      });
    } catch (error) {
      const misread = this.#question?.misread;
      if (error instanceof TimeoutError && misread !== undefined) return { unreadable: misread };
      const { timeoutMs, parser } = talker;
      if (misread === undefined) this.#debt = { key: parser.key, talker, untilMs: performance.now() + timeoutMs };
      throw error;
    } finally {
      this.#question = undefined;
    }
  }

  /** @returns what the telegram was in this conversation; `other` when it belongs to none, with the reason if it was tried. */
  hear(telegram: Buffer): "answer" | "echo" | "late" | { readonly other: string | undefined } {
    const question = this.#question;
    if (question?.echoes[0]?.equals(telegram)) {
      question.echoes.shift();
      return "echo";
    }
    let reason: string | undefined;
    if (question) {
      const parsed = question.talker.parser.parse(telegram);
      if ("fields" in parsed) {
        question.settle(parsed);
        return "answer";
      }
      reason = parsed.reason;
    }
    const debt = this.#debt;
    if (debt && performance.now() < debt.untilMs && "fields" in debt.talker.parser.parse(telegram)) {
      this.#debt = undefined;
      this.#debtPaid();
      return "late";
    }
    return { other: reason };
  }

  /** The device that is being asked, if any. */
  get asked(): Talker | undefined {
    return this.#question?.talker;
  }

  /** Something came that is no answer; the answer may still come, but the device is not silent. */
  misread(reason: string): void {
    if (this.#question) this.#question.misread ??= reason;
  }

  /** The line is gone. */
  hangUp(reason: Error): void {
    this.#gone = reason;
    for (const hangUp of this.#hangUps) hangUp(reason);
  }

  async #waitForDebt(talker: Talker, signal: AbortSignal): Promise<void> {
    const debt = this.#debt;
    if (!debt) return;
    const leftMs = debt.untilMs - performance.now();
    if (leftMs > 0 && debt.key !== talker.parser.key) return;
    if (leftMs > 0) {
      try {
        await this.#patiently<void>(Math.ceil(leftMs), signal, (settle) => {
          this.#debtPaid = () => settle();
        });
      } catch (error) {
        if (!(error instanceof TimeoutError)) throw error;
      } finally {
        this.#debtPaid = () => {};
      }
    }
    this.#debt = undefined;
  }

  /** Until `begin`'s callback is called, the time is over, the signal aborts or the line is gone. */
  async #patiently<T>(ms: number, signal: AbortSignal, begin: (settle: (value: T) => void) => void): Promise<T> {
    if (this.#gone) throw this.#gone;
    let finish = () => {};
    try {
      return await new Promise<T>((resolve, reject) => {
        const abort = () => reject(signal.reason);
        const timer = setTimeout(() => reject(new TimeoutError("no answer")), ms);
        signal.addEventListener("abort", abort);
        this.#hangUps.add(reject);
        finish = () => {
          clearTimeout(timer);
          signal.removeEventListener("abort", abort);
          this.#hangUps.delete(reject);
        };
        begin(resolve);
      });
    } finally {
      finish();
    }
  }
}

export function notConnected(): NotConnectedError {
  return new NotConnectedError("not connected");
}
