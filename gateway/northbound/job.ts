import type { BootOffset } from "../core/clock.ts";
import type { Entry, Gap } from "../core/record.ts";
import type { Outgoing } from "../core/uplink.ts";
import type { Batched } from "./batcher.ts";
import { STATUS_KEY } from "./poison.ts";

/** Something that is settled as one: a record, several in one message, a gap, a boot's clock, or the gateway's own status. */
export interface Job {
  readonly what: JobContent;
  readonly messages: readonly Outgoing[];
  /** From the past: it gives way to what is live. */
  readonly backfill: boolean;
  /** Messages without an acknowledgement. */
  left: number;
  /** How often one of them was told to try again. */
  tries: number;
  /** One of its messages was rejected: the others do not matter any more. */
  dead: boolean;
}

export type JobContent =
  | { readonly kind: "entry"; readonly entry: Entry }
  | { readonly kind: "batch"; readonly items: readonly Batched[] }
  | { readonly kind: "gap"; readonly gap: Gap }
  | { readonly kind: "clock"; readonly offset: BootOffset }
  | { readonly kind: "status"; readonly done: () => void };

/** One message of a job. */
export interface Part {
  readonly job: Job;
  readonly message: Outgoing;
  /** When it was last sent, on the monotonic clock, and about what it takes on the wire; known only where it matters. */
  sentMs: number;
  bytes: number;
}

export function jobOf(what: JobContent, messages: readonly Outgoing[], backfill = false): Job {
  return { what, messages, backfill, left: messages.length, tries: 0, dead: false };
}

/** Names of the records of a job, the same over all connections; none for what is not a record. */
export function keysOf({ what }: Job): readonly string[] {
  if (what.kind === "entry") return [keyOf(what.entry)];
  if (what.kind === "batch") return what.items.map(({ entry }) => keyOf(entry));
  return what.kind === "status" ? [STATUS_KEY] : [];
}

/** The records of a job; none for what is not a record. */
export function entriesOf({ what }: Job): readonly Entry[] {
  if (what.kind === "entry") return [what.entry];
  return what.kind === "batch" ? what.items.map(({ entry }) => entry) : [];
}

export function keyOf({ stream, epoch, seq }: Entry): string {
  return `${stream}/${epoch}/${seq}`;
}

export function partOf(job: Job, message: Outgoing): Part {
  return { job, message, sentMs: 0, bytes: 0 };
}
