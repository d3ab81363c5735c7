import { type Ask, shapeOf, shapeOfBody } from "../command.ts";

interface Debt {
  readonly functionCode: number;
  readonly shape: string;
  readonly atMs: number;
}

/** How long an answer that did not come may still come, in milliseconds. */
export interface LateWindows {
  /** So long no question is asked whose answer would look the same. */
  readonly closedMs: number;
  /** So long another question is preferred. */
  readonly waryMs: number;
}

/**
 * Answers that units still owe where nothing but unit, function and length tells one answer from another. An owed answer
 * stays owed until it came or its window has passed; answers to other questions prove nothing, because not every far side
 * answers in order.
 */
export class Debts {
  readonly #windows: LateWindows;
  readonly #byUnit = new Map<number, Debt[]>();

  constructor(windows: LateWindows) {
    this.#windows = windows;
  }

  add(ask: Ask, nowMs: number): void {
    const debt = { functionCode: ask.functionCode, shape: shapeOf(ask), atMs: nowMs };
    this.#byUnit.set(ask.unit, [...this.#of(ask.unit, nowMs), debt]);
  }

  /** Milliseconds during which the answer to `ask` could be that to an older question. */
  confusedMs(ask: Ask, nowMs: number): { readonly closedMs: number; readonly waryMs: number } {
    const shape = shapeOf(ask);
    const same = this.#of(ask.unit, nowMs).filter((debt) => debt.shape === shape);
    const { closedMs, waryMs } = this.#windows;
    const sinceMs = nowMs - Math.max(Number.NEGATIVE_INFINITY, ...same.map((debt) => debt.atMs));
    return { closedMs: Math.max(0, closedMs - sinceMs), waryMs: Math.max(0, waryMs - sinceMs) };
  }

  /** Whether an exception to this function could be meant for an older question. */
  owesFunction(unit: number, functionCode: number, nowMs: number): boolean {
    return this.#of(unit, nowMs).some(
      (debt) => debt.functionCode === functionCode && nowMs - debt.atMs < this.#windows.closedMs,
    );
  }

  /** A frame that nobody waits for. @returns whether it was owed. */
  pay(body: Buffer, nowMs: number): boolean {
    const unit = body[0] ?? 0;
    const owed = this.#of(unit, nowMs);
    const code = body[1] ?? 0;
    const shape = shapeOfBody(body);
    const refused = owed.filter((debt) => debt.functionCode === (code & 0x7f));
    if (code & 0x80) {
      // Which of several it refuses cannot be known.
      if (refused.length === 1)
        this.#byUnit.set(
          unit,
          owed.filter((debt) => debt !== refused[0]),
        );
      return refused.length > 0;
    }
    const index = owed.findIndex((debt) => debt.shape === shape);
    if (index === -1) return false;
    owed.splice(index, 1);
    return true;
  }

  #of(unit: number, nowMs: number): Debt[] {
    const owed = (this.#byUnit.get(unit) ?? []).filter((debt) => nowMs - debt.atMs < this.#windows.waryMs);
    this.#byUnit.set(unit, owed);
    return owed;
  }
}
