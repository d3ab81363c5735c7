/** The field's qualities; Sparkplug's 192, 0 and 500. */
export type Quality = "good" | "bad" | "stale";

/** A decoded value. Integers beyond 2^53 are `bigint`; NaN and infinities never get this far (they are `bad`). */
export type Value = boolean | number | bigint | string | Uint8Array;

/** One value of one tag at one time, as a driver read it. */
export interface Sample {
  readonly tag: string;
  readonly quality: Quality;
  /** Present when the quality is `good`; the last known value when it is `stale`. */
  readonly value?: Value;
  /** Why it is not good, in a few words fit for a person: `timeout`, `illegal address`, `not a number`. */
  readonly reason?: string;
  /** When the reply was received, or the request gave up; monotonic milliseconds of this boot. */
  readonly monoMs: number;
}
