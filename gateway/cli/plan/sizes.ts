import type { Flow, PlanTools, Sender, Sized } from "./types.ts";

/** What the log of a segment adds to a record: type, lengths and key. */
const PAIR_BYTES = 12;
/** And to a write: the head of the batch and of its frame. */
const WRITE_BYTES = 19;
/** Writes a second that the queue makes at most; beyond, records share one. */
const WRITES = 1000;
/** Records that are made to find an average. */
const SAMPLES = 24;

/** Sizes of the records of a flow, from the real record format. `perSecond`: of the whole stream. */
export function sizeOf(flow: Flow, uplinks: number, perSecond: number, tools: PlanTools): Sized {
  const storedBytes = averageOver(flow.values, (values, n) => tools.storedBytes(flow.record(values, n), uplinks));
  const { content } = flow.record(Math.max(1, Math.round(flow.values)), 0);
  const shared = Math.max(1, perSecond / WRITES);
  return {
    flow,
    storedBytes,
    diskBytes: storedBytes + PAIR_BYTES + WRITE_BYTES / shared,
    dictionaryBytes: content.kind === "samples" ? tools.dictionaryBytes(content.source) : 0,
  };
}

/** Messages and bytes on the wire per record of a flow, when so many go together. */
export function costOf(
  flow: Flow,
  sender: Sender,
  together: number,
  historical: boolean,
): { messages: number; bytes: number } {
  const rounds = Math.max(1, Math.ceil(SAMPLES / together));
  let [messages, bytes, records] = [0, 0, 0];
  for (let round = 0; round < rounds; round++) {
    const batch = Array.from({ length: together }, (_, at) => {
      const n = round * together + at;
      return flow.record(valuesOf(flow.values, n), n);
    });
    for (const size of sender.messages(batch, historical)) {
      messages++;
      bytes += size;
    }
    records += together;
  }
  return { messages: messages / records, bytes: bytes / records };
}

/** Records of one flow in a message: at most as its limits say. */
export function fullBatch(flow: Flow, { batch, messages }: Sender): number {
  if (batch === undefined) return 1;
  const [two = 0] = messages(
    [flow.record(valuesOf(flow.values, 0), 0), flow.record(valuesOf(flow.values, 1), 1)],
    true,
  );
  const [one = 0] = messages([flow.record(valuesOf(flow.values, 0), 0)], true);
  const each = Math.max(1, two - one);
  return Math.max(1, Math.min(batch.count, Math.floor(batch.bytes / each)));
}

/**
 * Records that a message gathers while its first one waits: those that are released periodically come together exactly,
 * others on average.
 */
export function gathered(perSecond: number, periodic: boolean, lingerMs: number): number {
  const more = (perSecond * lingerMs) / 1000;
  if (!periodic) return 1 + more;
  const whole = Math.round(more);
  // The one that comes just when the time is over is in it or not.
  if (whole > 0 && Math.abs(more - whole) < 1e-6) return whole + 0.5;
  return 1 + Math.floor(more);
}

/** A whole number of values, on average as many as `values`. */
function valuesOf(values: number, n: number): number {
  return Math.max(1, Math.floor((n + 1) * values) - Math.floor(n * values));
}

function averageOver(values: number, size: (values: number, n: number) => number): number {
  let sum = 0;
  for (let n = 0; n < SAMPLES; n++) sum += size(valuesOf(values, n), n);
  return sum / SAMPLES;
}
