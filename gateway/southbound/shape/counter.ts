import { difference } from "../../core/decimal.ts";
import type { CounterRule } from "../../core/derived.ts";

/** A counter that was read: how far it advanced since the last time, or why nobody knows. */
export type Advance = { readonly by: number | bigint; readonly inMs: number } | { readonly reason: string };

/**
 * Follows a counter from reading to reading. What it says adds up to the counter, over rollovers and over any time in which
 * it could not be read. A step back is a rollover where that makes an advance of at most `maxStep` (half the modulus), else
 * a reset, after which it counts from the new reading on.
 */
export class CounterWatch {
  readonly #rule: CounterRule;
  #last: { readonly value: number | bigint; readonly monoMs: number } | undefined;

  constructor(rule: CounterRule) {
    this.#rule = rule;
  }

  read(value: number | bigint, monoMs: number): Advance {
    const last = this.#last;
    this.#last = { value, monoMs };
    if (!last) return { reason: "first reading since the start" };
    const inMs = monoMs - last.monoMs;
    const { modulus, maxStep } = this.#rule;
    const by = difference(value, last.value);
    if (by >= 0) return maxStep !== undefined && by > maxStep ? { reason: "the counter jumped" } : { by, inMs };
    if (modulus === undefined) return { reason: "the counter was reset" };
    const around = difference(by, -modulus);
    const most = maxStep ?? Number(modulus) / 2;
    return around >= 0 && around <= most ? { by: around, inMs } : { reason: "the counter was reset" };
  }
}
