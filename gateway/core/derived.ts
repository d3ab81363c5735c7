import type { Tag } from "./driver.ts";
import type { Node } from "./expression/parse.ts";

/** How a derived value is made. Numbers are those that the tags it is made from have after scaling. */
export type Rule =
  | { readonly kind: "expression"; readonly node: Node }
  | { readonly kind: "bits"; readonly first: number; readonly last: number; readonly single: boolean }
  | ({ readonly kind: "difference" } & CounterRule)
  /** Per so many milliseconds. */
  | ({ readonly kind: "rate"; readonly perMs: number } & CounterRule);

export interface CounterRule {
  /** Where the counter begins again at 0; absent where it never does. */
  readonly modulus?: number | bigint;
  /** A greater advance between two readings is taken for a reset; half the modulus where absent. */
  readonly maxStep?: number;
}

/** A tag worked out from others of its device. Its `everyMs` is that of the fastest of them, and its options are empty. */
export interface DerivedTag extends Tag {
  readonly rule: Rule;
  /** Names of the tags it is made from. */
  readonly inputs: readonly string[];
  /** It is worked out when one of these has a new sample. */
  readonly triggers: readonly string[];
}

export function isDerived(tag: Tag): tag is DerivedTag {
  return "rule" in tag;
}
