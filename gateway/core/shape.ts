import type { Value } from "./sample.ts";

/**
 * What is made of a good value after its driver has read it, in this order: a value that means "no value" makes the sample
 * `bad` (`error value`); scale; offset; clamp; a value outside the range makes it `bad` (`out of range`); text for a number.
 */
export interface Shape {
  /** Values as the driver gives them; numbers are `bigint` only beyond 2^53. */
  readonly errorValues?: readonly Value[];
  /** Not 0. Only where the driver does not scale by itself. */
  readonly scale?: number;
  readonly offset?: number;
  readonly clamp?: Span;
  /** A value outside is `bad`. */
  readonly limits?: Span;
  /** Text by value; a value that is not in it becomes its digits. */
  readonly texts?: ReadonlyMap<string, string>;
}

/** Both ends are inside. */
export type Span = readonly [least: number, greatest: number];
