import type { QueueOptions } from "../../core/options/queue.ts";
import { STREAMS } from "../../core/record.ts";
import { Book, type Loss } from "./book.ts";
import type { StreamLoads } from "./buffer.ts";
import type { UplinkLoad } from "./types.ts";

export interface OutageInput {
  readonly seconds: number;
  readonly loads: StreamLoads;
  readonly uplinks: readonly UplinkLoad[];
  readonly queue: Pick<QueueOptions, "segment" | "shares" | "eventsPolicy" | "telemetryPolicy">;
  readonly capacity: number;
  /** On disk at the beginning, and owed to nobody. */
  readonly inUse: number;
}

export interface CurvePoint {
  /** From the beginning of the outage. */
  readonly seconds: number;
  readonly diskBytes: number;
  /** Records that each uplink is owed, in the order of the configuration. */
  readonly owed: readonly number[];
  /** What they take on disk. */
  readonly owedBytes: readonly number[];
}

export interface Outage {
  readonly seconds: number;
  readonly curve: readonly CurvePoint[];
  readonly losses: readonly Loss[];
  /** At its end. */
  readonly owed: readonly number[];
  readonly diskBytes: number;
  /** Until each uplink has everything; absent where it never has. */
  readonly drainSeconds: readonly (number | undefined)[];
}

const POINTS = 400;
const MOST_STEPS = 20_000;
/** A step adds at most so much of a segment, so that what is dropped is dropped in the right order. */
const PART = 1 / 8;

/** An outage of all uplinks, and what follows, played in steps with the rules of the queue. */
export function playOutage(input: OutageInput): Outage {
  const { seconds, loads, uplinks } = input;
  const book = new Book(input);
  const curve: CurvePoint[] = [book.point(0)];
  const steps = stepsOf(input);
  const step = seconds / steps;
  const every = Math.max(1, Math.floor(steps / POINTS));
  for (let n = 1; n <= steps; n++) {
    // Whoever comes first is refused first: both streams in turn.
    for (const stream of n % 2 === 0 ? STREAMS : [...STREAMS].reverse())
      book.append(stream, loads[stream], step, n * step);
    book.age(n * step);
    if (n % every === 0 || n === steps) curve.push(book.point(n * step));
  }
  const { owed, diskBytes } = book.point(seconds);
  const drainSeconds = uplinks.map(({ drainPerSecond }, at) => drainTime(owed[at] ?? 0, drainPerSecond));
  curve.push(...drainCurve(book, uplinks, drainSeconds, seconds));
  return { seconds, curve, losses: book.losses(), owed, diskBytes, drainSeconds };
}

export function drainTime(owed: number, perSecond: number): number | undefined {
  if (owed === 0) return 0;
  return perSecond > 0 ? owed / perSecond : undefined;
}

function stepsOf({ seconds, loads, queue }: OutageInput): number {
  const fastest = Math.max(...STREAMS.map((stream) => loads[stream].diskPerSecond));
  const perSegment = fastest === 0 ? 0 : (seconds * fastest) / (queue.segment * PART);
  return Math.ceil(Math.min(MOST_STEPS, Math.max(POINTS, perSegment)));
}

function drainCurve(
  book: Book,
  uplinks: readonly UplinkLoad[],
  drainSeconds: readonly (number | undefined)[],
  from: number,
): CurvePoint[] {
  const known = drainSeconds.filter((seconds) => seconds !== undefined);
  // Where it never ends, as long again as the outage shows enough.
  const end = Math.max(...known, known.length < drainSeconds.length ? from : 0, 0);
  if (end === 0) return [];
  const step = end / POINTS;
  const points: CurvePoint[] = [];
  for (let n = 1; n <= POINTS; n++) {
    for (const [at, { drainPerSecond }] of uplinks.entries()) book.deliver(at, drainPerSecond * step);
    points.push(book.point(from + n * step));
  }
  return points;
}
