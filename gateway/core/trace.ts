import type { Entry } from "./record.ts";

/** Who is told of records on their way up; most of them are not traced, and cost a look into an almost empty table. */
export interface WayTracer {
  /** These are on the wire of an uplink. */
  sent(uplink: string, entries: readonly Entry[]): void;
  /** The far side has answered: acknowledged, or not. */
  answered(uplink: string, entries: readonly Entry[], acknowledged: boolean): void;
}
