import { Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { messageOf, QueueFullError } from "../../core/errors.ts";
import type { Queue } from "../../core/queue.ts";
import { type Entry, type NewRecord, STREAMS, type StreamName } from "../../core/record.ts";
import { selectorOf } from "../../core/selector.ts";
import { type CliIo, EXIT, parseCommand, UsageError } from "../io.ts";
import { random } from "./numbers.ts";
import type { SelftestDeps } from "./parts.ts";
import { LANES, recordOf, streamOf, tokenOf, tokenText } from "./tokens.ts";

const OPTIONS = {
  dir: { type: "string" },
  seed: { type: "string" },
  cycle: { type: "string" },
  drain: { type: "boolean" },
} as const;

const UPLINK = "selftest";
/** As small as they may be: the kills are to fall into the making, sealing and removing of segments too. */
const SEGMENT_BYTES = 64 * 1024;
const SYNC_MS = 200;
const MOST_OWED = 2000;
const MOST_BATCH = 8;
/** Part of the telemetry appends that ask for an fsync of their own. */
const DURABLE = 0.3;
/** Nothing came for so long although something is owed: it is not going to come. */
const NO_PROGRESS_MS = 10_000;

/**
 * The process that `selftest storage` kills: appends to a scratch queue in four lanes, reads and settles it, and says on
 * stdout what it was promised and what it was given, as `Ledger` reads it. Ends when its stdin does, so that it never
 * outlives whoever started it. With `--drain` it reads what is owed to the end, and stops.
 */
export async function runVictim(args: string[], io: CliIo, deps: SelftestDeps): Promise<number> {
  const { values } = parseCommand(args, OPTIONS);
  if (values.dir === undefined) throw new UsageError("--dir is needed");
  const cycle = Number(values.cycle ?? 0);
  const queue = deps.queue(values.dir, { segment: SEGMENT_BYTES, sync: SYNC_MS });
  const orphaned = new AbortController();
  const stdin = new Socket({ fd: 0 }).on("error", () => {}).on("close", () => orphaned.abort());
  stdin.resume();
  const signal = AbortSignal.any([io.signal, orphaned.signal]);
  const say = (...words: (string | number)[]) => io.out(`${words.join(" ")}\n`);
  const part: Part = { queue, deps, cycle, say, signal, next: random(Number(values.seed ?? 0) + cycle) };
  try {
    await queue.start();
    await queue.open(UPLINK, { selector: selectorOf(["#"]), from: "oldest", required: true });
    say("ready");
    if (values.drain) await drain(part);
    else await Promise.all([...LANES.map((lane) => append(part, lane)), ...STREAMS.map((s) => forward(part, s))]);
    return EXIT.ok;
  } catch (error) {
    if (signal.aborted) return EXIT.ok;
    io.err(`${messageOf(error)}\n`);
    return EXIT.ioError;
  } finally {
    await queue.close();
    stdin.destroy();
  }
}

interface Part {
  readonly queue: Queue;
  readonly deps: SelftestDeps;
  readonly cycle: number;
  readonly signal: AbortSignal;
  readonly say: (...words: (string | number)[]) => void;
  readonly next: () => number;
}

async function append(part: Part, lane: string): Promise<void> {
  const { queue, say, signal, next } = part;
  const stream = streamOf(lane);
  let n = 0;
  while (!signal.aborted) {
    if (owed(queue, stream) > MOST_OWED) {
      await pause(10, undefined, { signal });
      continue;
    }
    const count = 1 + Math.floor(next() * MOST_BATCH);
    const durable = stream === "events" || next() < DURABLE;
    try {
      await queue.append(stream, batch(part, lane, { after: n, count, durable }));
    } catch (error) {
      if (!(error instanceof QueueFullError)) throw error;
      await pause(10, undefined, { signal });
      continue;
    }
    n += count;
    say("a", tokenText({ cycle: part.cycle, lane, n }));
  }
}

function batch(
  { deps, cycle }: Part,
  lane: string,
  { after, count, durable }: { after: number; count: number; durable: boolean },
): NewRecord[] {
  const taken = deps.clock.now();
  return Array.from({ length: count }, (_, index) => recordOf({ cycle, lane, n: after + 1 + index }, taken, durable));
}

function owed(queue: Queue, stream: StreamName): number {
  return queue.stats().uplinks.find(({ name }) => name === UPLINK)?.streams[stream].depth ?? 0;
}

/** Reads and settles until told to end. */
async function forward(part: Part, stream: StreamName): Promise<void> {
  const check = new OrderCheck(part);
  while (!part.signal.aborted) await step(part, stream, check, part.signal);
}

/** @returns the tokens of what it read. */
async function step(part: Part, stream: StreamName, check: OrderCheck, signal: AbortSignal): Promise<string[]> {
  const entries = await part.queue.read(UPLINK, { stream, lane: "fifo", maxRecords: 64, maxBytes: 256 * 1024 }, signal);
  const tokens: string[] = [];
  for (const entry of entries) {
    check.saw(entry);
    const token = tokenOf(entry.content);
    if (token) tokens.push(tokenText(token));
    else part.say("x", entry.stream, entry.seq);
  }
  // Before it is settled: from then on nobody is given it again.
  if (tokens.length > 0) part.say("d", ...tokens);
  await part.queue.settle(
    UPLINK,
    stream,
    entries.map(({ seq }) => seq),
  );
  return tokens;
}

/** Within an epoch seqs only rise. */
class OrderCheck {
  readonly #part: Part;
  #epoch = -1;
  #seq = 0;

  constructor(part: Part) {
    this.#part = part;
  }
  saw({ stream, epoch, seq }: Entry): void {
    if (epoch === this.#epoch && seq <= this.#seq) this.#part.say("o", stream, seq);
    this.#epoch = epoch;
    this.#seq = seq;
  }
}

/** Appends one record to each stream and reads up to it: everything older comes before it. */
async function drain(part: Part): Promise<void> {
  for (const stream of STREAMS) {
    const lane = stream === "events" ? "e9" : "t9";
    const last = { cycle: part.cycle, lane, n: 1 };
    await part.queue.append(stream, batch(part, lane, { after: 0, count: 1, durable: true }));
    part.say("a", tokenText(last));
    const check = new OrderCheck(part);
    for (let seen: string[] = []; !seen.includes(tokenText(last)); ) {
      const late = AbortSignal.timeout(NO_PROGRESS_MS);
      try {
        seen = await step(part, stream, check, AbortSignal.any([part.signal, late]));
      } catch (error) {
        if (!late.aborted) throw error;
        break;
      }
    }
  }
  // A kill leaves seqs that were reserved and never given; that is no record.
  const gone = part.queue.gaps(UPLINK).filter(({ reason }) => reason !== "power-loss");
  part.say(
    "g",
    gone.reduce((sum, { count }) => sum + count, 0),
  );
  part.say("done");
}
