import type { QueueReader } from "../core/queue.ts";
import { type Gap, STREAMS, type StreamName } from "../core/record.ts";
import { ClockDebt } from "./clock-debt.ts";
import { Cursor, type CursorState } from "./cursor.ts";
import type { CursorFile } from "./cursor-file.ts";
import { Refusals } from "./refusals.ts";
import { Retention } from "./retention.ts";
import type { Row } from "./row.ts";
import type { Slot } from "./slots.ts";

export type PerStream<T> = Readonly<Record<StreamName, T>>;

/** Gives one thing per stream. */
export function perStream<T>(make: (stream: StreamName) => T): PerStream<T> {
  return { events: make("events"), telemetry: make("telemetry") };
}

/** One uplink of the store, whether the configuration still has it or not. */
export class UplinkState {
  readonly name: string;
  readonly file: CursorFile;
  readonly cursors: PerStream<Cursor>;
  /** In the same file as the cursors: whoever was acknowledged a record without a time is sure to be told its clock. */
  readonly clocks: ClockDebt;
  readonly refusals: Refusals;
  readonly retention: Retention;
  readonly #rows: PerStream<Row>;
  readonly #gapListeners = new Set<() => void>();
  #slots: readonly Slot[];
  /** How it takes part; undefined while nobody has opened it in this run. */
  reader: QueueReader | undefined;

  constructor(
    name: string,
    parts: {
      file: CursorFile;
      rows: PerStream<Row>;
      slots: readonly Slot[];
      states: PerStream<CursorState>;
      onGap: (uplink: string, gap: Gap) => void;
      /** What the cursor file held. */
      content?: unknown;
    },
  ) {
    this.name = name;
    this.file = parts.file;
    this.#slots = parts.slots;
    this.clocks = ClockDebt.of(parts.content);
    this.refusals = Refusals.of(parts.content);
    this.retention = Retention.of(parts.content);
    this.#rows = parts.rows;
    const gap = (found: Gap) => {
      parts.onGap(name, found);
      this.ring();
    };
    this.cursors = perStream((stream) => new Cursor(parts.rows[stream], parts.slots, parts.states[stream], gap));
    this.file.use(() => this.#snapshot());
  }

  get slots(): readonly Slot[] {
    return this.#slots;
  }
  /** The present slot. */
  get slot(): Slot | undefined {
    return this.#slots.at(-1);
  }
  /** The selection has changed: a new chain begins. */
  setSlots(slots: readonly Slot[]): void {
    this.#slots = slots;
    for (const stream of STREAMS) this.cursors[stream].setSlots(slots);
  }

  get gaps(): readonly Gap[] {
    return STREAMS.flatMap((stream) => {
      const refused = this.refusals.gaps(stream, this.#rows[stream].timeOf);
      const { gaps } = this.cursors[stream];
      return refused.length === 0 ? gaps : [...gaps, ...refused].sort((a, b) => a.from - b.from);
    });
  }
  /** There is a gap to be told that was not there before. */
  ring(): void {
    for (const listener of [...this.#gapListeners]) listener();
  }
  onGap(listener: () => void): () => void {
    this.#gapListeners.add(listener);
    return () => this.#gapListeners.delete(listener);
  }

  /** Only a required uplink that the configuration has can cause `refuse`. */
  get required(): boolean {
    return this.reader?.required === true;
  }

  #snapshot(): unknown {
    return {
      format: 1,
      uplink: this.name,
      unsynced: this.clocks,
      refused: this.refusals,
      retention: this.retention,
      streams: perStream((stream) => this.cursors[stream].state()),
    };
  }
}

/** Owes nothing yet, and everything from `seq` on. */
export function owedFrom(seq: number): CursorState {
  return { owed: [{ from: seq, to: null, prev: 0 }], gaps: [], done: {} };
}

/**
 * Owes everything that is retained, and everything from `next` on. `tail` is the first seq that may have been given and
 * is on no disk: what follows the last record up to `next` is owed as well, from there at most; absent where nothing is.
 */
export function owedAll(
  held: readonly { readonly first: number; readonly last: number }[],
  next: number,
  tail?: number,
): CursorState {
  const owed: { from: number; to: number | null; prev: number }[] = [];
  for (const { first, last } of held) {
    const before = owed.at(-1);
    if (before?.to === first - 1) before.to = last;
    else if (last >= first) owed.push({ from: first, to: last, prev: 0 });
  }
  const before = owed.at(-1);
  if (before?.to && (tail !== undefined || before.to >= next - 1)) before.to = null;
  else owed.push({ from: tail ?? next, to: null, prev: 0 });
  return { owed, gaps: [], done: {} };
}

/** The cursors in a file; undefined where it has none that can be trusted. */
export function cursorStates(content: unknown): PerStream<CursorState> | undefined {
  if (typeof content !== "object" || content === null || !("streams" in content)) return undefined;
  const streams = content.streams as Partial<PerStream<unknown>> | null;
  const { events, telemetry } = streams ?? {};
  return isCursorState(events) && isCursorState(telemetry) ? { events, telemetry } : undefined;
}

function isCursorState(found: unknown): found is CursorState {
  if (typeof found !== "object" || found === null) return false;
  const state = found as Partial<Record<keyof CursorState, unknown>>;
  return (
    Array.isArray(state.owed) && Array.isArray(state.gaps) && typeof state.done === "object" && state.done !== null
  );
}
