import { randomBytes } from "node:crypto";
import type { SentTime } from "../core/clock.ts";
import { type Gap, STREAMS, type StreamName } from "../core/record.ts";
import type { StoredTime } from "./boots.ts";

/** It is told when nothing was refused for so long, or when it has gone on for so long. Monotonic milliseconds. */
const QUIET_MS = 2000;
const LONGEST_MS = 60_000;
/** While so many of a stream wait to be acknowledged, the last one goes on. */
const MOST_TOLD = 16;

/** Records that were refused about the same time, before they had seqs. */
interface Refusal {
  readonly id: string;
  readonly stream: StreamName;
  readonly epoch: number;
  readonly chain: string;
  /** The last seq that was given before. */
  readonly after: number;
  readonly first: StoredTime;
  last: StoredTime;
  count: number;
  bytes: number;
  exact: boolean;
}

export interface RefusedOne {
  readonly stream: StreamName;
  readonly epoch: number;
  readonly chain: string;
  readonly after: number;
  readonly time: StoredTime;
  readonly bytes: number;
  readonly exact: boolean;
}

/**
 * What was refused of one uplink's selection before it had a seq: one gap with a count while it lasts. Stored with the
 * cursors. One that is told grows no more: what comes after is another.
 */
export class Refusals {
  readonly #told: Refusal[] = [];
  readonly #open = new Map<StreamName, { readonly refusal: Refusal; readonly sinceMs: number; lastMs: number }>();

  /** Out of the content of a cursor file. */
  static of(content: unknown): Refusals {
    const refusals = new Refusals();
    const found = typeof content === "object" && content !== null && "refused" in content ? content.refused : [];
    if (Array.isArray(found)) refusals.#told.push(...found.filter(isRefusal));
    return refusals;
  }

  add(one: RefusedOne, nowMs: number): void {
    const { stream, epoch, chain, after, time, bytes, exact } = one;
    let open = this.#open.get(stream);
    if (open && (open.refusal.chain !== chain || open.refusal.epoch !== epoch)) {
      this.#told.push(open.refusal);
      open = undefined;
    }
    if (!open) {
      const id = randomBytes(4).toString("hex");
      const refusal = { id, stream, epoch, chain, after, first: time, last: time, count: 0, bytes: 0, exact: true };
      open = { refusal, sinceMs: nowMs, lastMs: nowMs };
      this.#open.set(stream, open);
    }
    const { refusal } = open;
    refusal.last = time;
    refusal.count++;
    refusal.bytes += bytes;
    refusal.exact &&= exact;
    open.lastMs = nowMs;
  }

  /** Ends those that are over. Gives whether there are gaps that were not there before. */
  look(nowMs: number): boolean {
    let any = false;
    for (const [stream, { refusal, sinceMs, lastMs }] of this.#open) {
      if (nowMs - lastMs < QUIET_MS && nowMs - sinceMs < LONGEST_MS) continue;
      if (this.#told.filter((told) => told.stream === stream).length >= MOST_TOLD) continue;
      this.#open.delete(stream);
      this.#told.push(refusal);
      any = true;
    }
    return any;
  }

  /** The gaps to be told of one stream. */
  gaps(stream: StreamName, timeOf: (stored: StoredTime) => SentTime): Gap[] {
    return this.#told.filter((told) => told.stream === stream).map((told) => gapOf(told, timeOf));
  }

  /** Gives whether it was to be told. */
  settle({ refusal }: Gap): boolean {
    const index = this.#told.findIndex(({ id }) => id === refusal);
    if (index >= 0) this.#told.splice(index, 1);
    return index >= 0;
  }

  toJSON(): readonly Refusal[] {
    return [...this.#told, ...[...this.#open.values()].map(({ refusal }) => refusal)];
  }
}

function gapOf(
  { id, stream, epoch, chain, after, first, last, count, bytes, exact }: Refusal,
  timeOf: (stored: StoredTime) => SentTime,
): Gap {
  const from = timeOf(first);
  const to = timeOf(last);
  return {
    stream,
    epoch,
    chain,
    from: after + 1,
    to: after,
    prev: after,
    ...(from.clock === "unsynced" ? {} : { tFrom: from.wallMs }),
    ...(to.clock === "unsynced" ? {} : { tTo: to.wallMs }),
    count,
    bytes,
    reason: "refused",
    refusal: id,
    exact,
  };
}

function isRefusal(found: unknown): found is Refusal {
  if (typeof found !== "object" || found === null) return false;
  const refusal = found as Partial<Record<keyof Refusal, unknown>>;
  return (
    typeof refusal.id === "string" &&
    STREAMS.some((stream) => stream === refusal.stream) &&
    [refusal.epoch, refusal.after, refusal.count, refusal.bytes].every(Number.isSafeInteger) &&
    typeof refusal.chain === "string" &&
    typeof refusal.exact === "boolean" &&
    [refusal.first, refusal.last].every(isTime)
  );
}

function isTime(found: unknown): found is StoredTime {
  if (typeof found !== "object" || found === null) return false;
  const { bootId, monoMs, wallMs, clock } = found as Partial<Record<keyof StoredTime, unknown>>;
  return (
    typeof bootId === "string" &&
    [monoMs, wallMs].every(Number.isFinite) &&
    (clock === "synced" || clock === "unsynced")
  );
}
