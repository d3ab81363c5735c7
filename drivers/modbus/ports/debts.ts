import { dataBytes, type Question } from "../wire.ts";

interface Debt {
  readonly functionCode: number;
  readonly bytes: number;
  readonly untilMs: number;
}

/**
 * Answers that units still owe on a serial line, where nothing but unit, function and length tells one answer from
 * another. A question that looks like an owed one must not be asked before the owed answer came, cannot come any more, or
 * was overtaken: a unit answers in order, so an answer to a different question settles what it owed before.
 */
export class Debts {
  readonly #byUnit = new Map<number, Debt[]>();

  add(question: Question, untilMs: number): void {
    const { unit, functionCode } = question;
    this.#byUnit.set(unit, [...this.#of(unit), { functionCode, bytes: dataBytes(question), untilMs }]);
  }

  /** Milliseconds during which an answer to `question` could be that to another one. */
  confusedMs(question: Question, nowMs: number): number {
    const same = this.#of(question.unit).filter(
      (debt) => debt.functionCode === question.functionCode && debt.bytes === dataBytes(question),
    );
    return Math.max(0, ...same.map((debt) => debt.untilMs - nowMs));
  }

  /** Whether an exception to this function could still be meant for an older question. */
  owesFunction(unit: number, functionCode: number, nowMs: number): boolean {
    return this.#of(unit).some((debt) => debt.functionCode === functionCode && debt.untilMs > nowMs);
  }

  /** A data frame that nobody waits for. @returns whether it was owed. */
  pay(unit: number, functionCode: number, bytes: number): boolean {
    const debts = this.#of(unit);
    const index = debts.findIndex((debt) => debt.functionCode === functionCode && debt.bytes === bytes);
    if (index === -1) return false;
    this.#byUnit.set(
      unit,
      debts.filter((_, at) => at !== index),
    );
    return true;
  }

  /** The unit answered a question that could not be confused: whatever it owed before will not come any more. */
  clear(unit: number): void {
    this.#byUnit.delete(unit);
  }

  #of(unit: number): readonly Debt[] {
    return this.#byUnit.get(unit) ?? [];
  }
}
