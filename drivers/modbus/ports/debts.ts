import { type Ask, shapeOf, shapeOfBody } from "../command.ts";

/** Functions 1 to 4 read. */
const LAST_READ_CODE = 4;

interface Debt {
  readonly functionCode: number;
  readonly shape: string;
  readonly atMs: number;
  /** Something came that looks like it. */
  came: boolean;
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
 * stays owed until its window has passed: answers to other questions prove nothing, because not every far side answers in
 * order, and what looks like the owed answer may be another's, or come twice.
 */
export class Debts {
  readonly #windows: LateWindows;
  readonly #byUnit = new Map<number, Debt[]>();

  constructor(windows: LateWindows) {
    this.#windows = windows;
  }

  add(ask: Ask, nowMs: number): void {
    const debt = { functionCode: ask.functionCode, shape: shapeOf(ask), atMs: nowMs, came: false };
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

  /** Milliseconds during which the answer to some command could be that to an older one. */
  commandsMs(unit: number, nowMs: number): number {
    const commands = this.#of(unit, nowMs).filter((debt) => debt.functionCode > LAST_READ_CODE);
    const sinceMs = nowMs - Math.max(Number.NEGATIVE_INFINITY, ...commands.map((debt) => debt.atMs));
    return Math.max(0, this.#windows.closedMs - sinceMs);
  }

  /** Whether an exception to this function could be meant for an older question. */
  owesFunction(unit: number, functionCode: number, nowMs: number): boolean {
    return this.#of(unit, nowMs).some(
      (debt) => debt.functionCode === functionCode && nowMs - debt.atMs < this.#windows.closedMs,
    );
  }

  /** A frame that nobody waits for. @returns whether it was owed. */
  came(body: Buffer, nowMs: number): boolean {
    const code = body[1] ?? 0;
    const shape = shapeOfBody(body);
    const owed = this.#of(body[0] ?? 0, nowMs).find(
      (debt) => !debt.came && (code & 0x80 ? debt.functionCode === (code & 0x7f) : debt.shape === shape),
    );
    if (owed) owed.came = true;
    return owed !== undefined;
  }

  #of(unit: number, nowMs: number): Debt[] {
    const owed = (this.#byUnit.get(unit) ?? []).filter((debt) => nowMs - debt.atMs < this.#windows.waryMs);
    this.#byUnit.set(unit, owed);
    return owed;
  }
}
