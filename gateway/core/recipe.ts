import type { Value } from "./sample.ts";

/** A tag and what it is to hold, or to be given. */
export interface TagValue {
  readonly tag: string;
  readonly value: Value;
}

/** A named set of writes to one device, with a handshake after them. */
export interface Recipe {
  readonly name: string;
  readonly device: string;
  /** Begins when this tag comes to hold this; `atStart`: also when it does so at the first look. Absent: by command alone. */
  readonly trigger?: (TagValue & { readonly atStart: boolean }) | undefined;
  /** What is always written, in this order. */
  readonly values: readonly TagValue[];
  /** Tags that a command gives values for; written after those. */
  readonly parameters: readonly string[];
  /** Written last, when all others were: tells the PLC that it may take them. `reset`: what it holds when all is over. */
  readonly ready?: (TagValue & { readonly reset?: Value | undefined }) | undefined;
  /** Held by the PLC when it has taken them. */
  readonly done?: TagValue | undefined;
  /** How long the PLC may take, and how long after its trigger a recipe may still begin. */
  readonly withinMs: number;
}
