import type { Device, Request } from "../core/driver.ts";
import type { Sample } from "../core/sample.ts";
import type { Breaker } from "./breaker.ts";
import type { GroupRun } from "./group-run.ts";

/** One device at run time. */
export interface Station {
  readonly device: Device;
  readonly runs: readonly GroupRun[];
  readonly breaker: Breaker;
  /** Unix milliseconds of the last change of the breaker's state. */
  sinceMs: number;
  /** Unix milliseconds of the last answer. */
  lastReplyMs: number | undefined;
  /** Why all its tags are `bad`, and the monotonic time when that was last sent; absent from an answer on. */
  bad: { readonly reason: string; readonly atMs: number } | undefined;
}

/** One `bad` sample for each tag of a request. */
export function badSamples(tags: Request["tags"], reason: string, monoMs: number): Sample[] {
  return tags.map((tag) => ({ tag: tag.name, quality: "bad", reason, monoMs }));
}
