import { ClockBook, type ClockSummary, type SavedClocks } from "./clock-book.ts";
import { PartBook, type SavedParts } from "./parts.ts";
import { type Range, RangeSet, union } from "./ranges.ts";
import { type Heard, readMessages, type UserProperties } from "./wire.ts";

export interface TrackerOptions {
  /** The first record of each chain must name 0 as its `prev`: the receiver was there from the beginning. */
  readonly fromStart?: boolean;
  /** Ids whose content is remembered, to find an id that comes again with other content. */
  readonly recentIds?: number;
}

export interface GapSummary {
  readonly reason: string;
  readonly gaps: number;
  readonly records: number;
  /** False where at least one of them may overstate what is missing. */
  readonly exact: boolean;
}

/** One chain: what one uplink sends of one stream in one epoch. */
export interface ChainReport {
  readonly gateway: string;
  readonly stream: string;
  readonly epoch: string;
  readonly chain: string;
  /** Different records received. */
  readonly received: number;
  readonly duplicates: number;
  /** First sendings that arrived after a later one. Information: completeness does not need order. */
  readonly outOfOrder: number;
  /** Ids that came again with other content. */
  readonly conflicts: number;
  /** The receiver's first record followed this seq; 0 when it has the chain from its beginning. */
  readonly base: number;
  /** Every record after `base` up to this seq was received or told as a gap. */
  readonly completeTo: number;
  /** Seqs that are neither received nor told as a gap; each range lacks at least one record. */
  readonly missing: readonly Range[];
  readonly gaps: readonly GapSummary[];
  /** From the gateway's last status. */
  readonly lastTaken?: number;
  readonly lastAcked?: number;
}

export interface Verdict {
  readonly chains: readonly ChainReport[];
  readonly received: number;
  readonly duplicates: number;
  readonly missingRanges: number;
  readonly conflicts: number;
  readonly malformed: number;
  readonly other: number;
  /** Records told as lost in gaps whose count is exact. */
  readonly exactLoss: number;
  /** Of the records received, those whose time was not known when they were taken. */
  readonly clock: ClockSummary;
  /** Nothing is missing, no id came with two contents, nothing was malformed. */
  readonly complete: boolean;
  /** Everything up to what the last status of each chain says was taken is here. */
  readonly caughtUp: boolean;
}

interface KnownGap {
  readonly to: number;
  readonly count: number;
  readonly reason: string;
  readonly exact: boolean;
}

interface Chain {
  readonly gateway: string;
  readonly stream: string;
  readonly epoch: string;
  readonly chain: string;
  received: number;
  duplicates: number;
  outOfOrder: number;
  conflicts: number;
  /** Highest seq received live and from history, for the order of each lane. */
  readonly lane: { live: number; historical: number };
  /** For each record the range (prev, seq]: the chain has nothing else between. */
  readonly covered: RangeSet;
  /** For each gap the range (prev, to]. */
  readonly told: RangeSet;
  readonly gaps: Map<number, KnownGap>;
  /** By id. */
  readonly refused: Map<string, { readonly count: number; readonly exact: boolean }>;
  status?: { lastTaken: number; lastAcked: number };
  /** What was acknowledged when the first status came live, before any record. */
  statusBase?: number;
}

/** What `save` gives and `restore` takes; JSON. */
export interface TrackerState {
  readonly format: 1;
  readonly malformed: number;
  readonly other: number;
  readonly clocks?: SavedClocks;
  readonly parts?: SavedParts;
  readonly chains: readonly (Omit<Chain, "covered" | "told" | "gaps" | "refused"> & {
    readonly refused?: readonly (readonly [string, { readonly count: number; readonly exact: boolean }])[];
    readonly covered: readonly Range[];
    readonly told: readonly Range[];
    readonly gaps: readonly (readonly [number, KnownGap])[];
  })[];
}

const RECENT_IDS = 16_384;

/**
 * Proves from received messages alone that none is missing: every `prev` must be received, told as a gap, 0, or the
 * place where this receiver began. Each record covers what lies between its `prev` and itself, so a chain that is
 * complete is a single range, however many records it has.
 */
export class CompletenessTracker {
  readonly #options: TrackerOptions;
  readonly #chains = new Map<string, Chain>();
  readonly #recent = new Map<string, { readonly crc: number; readonly clock: string }>();
  #clocks = new ClockBook();
  #parts = new PartBook();
  #malformed = 0;
  #other = 0;

  constructor(options: TrackerOptions = {}) {
    this.#options = options;
  }

  /** Takes one message; `retained` is the retain flag it was delivered with. @returns what it was, or the first in it. */
  message(payload: Uint8Array, properties: UserProperties, retained: boolean): Heard {
    const heard = readMessages(payload, properties);
    for (const one of heard) this.take(one, retained);
    return heard[0] ?? { kind: "other" };
  }

  take(heard: Heard, retained = false): void {
    if (heard.kind === "record") {
      const record = this.#parts.take(heard);
      if (record !== undefined) this.#record(record);
    } else if (heard.kind === "gap") this.#gap(heard);
    else if (heard.kind === "refused") this.#chain(heard).refused.set(heard.id, heard);
    else if (heard.kind === "status") this.#status(heard, retained);
    else if (heard.kind === "clock") this.#clocks.told(heard.gateway, heard.boot);
    else if (heard.kind === "malformed") this.#malformed += 1;
    else this.#other += 1;
  }

  report(): Verdict {
    const chains = [...this.#chains.values()].map((chain) => this.#reportOf(chain)).sort(byName);
    const sum = (pick: (chain: ChainReport) => number) => chains.reduce((total, chain) => total + pick(chain), 0);
    const missingRanges = sum((chain) => chain.missing.length);
    const conflicts = sum((chain) => chain.conflicts);
    const exactLoss = sum((chain) => chain.gaps.reduce((n, gap) => n + (gap.exact ? gap.records : 0), 0));
    const stated = chains.filter((chain) => chain.lastTaken !== undefined);
    return {
      chains,
      received: sum((chain) => chain.received),
      duplicates: sum((chain) => chain.duplicates),
      missingRanges,
      conflicts,
      malformed: this.#malformed,
      other: this.#other,
      exactLoss,
      clock: this.#clocks.summary(),
      complete: missingRanges === 0 && conflicts === 0 && this.#malformed === 0,
      caughtUp:
        stated.length > 0 &&
        missingRanges === 0 &&
        stated.every((chain) => (chain.lastTaken ?? 0) <= Math.max(chain.completeTo, chain.base)),
    };
  }

  save(): TrackerState {
    return {
      format: 1,
      malformed: this.#malformed,
      other: this.#other,
      clocks: this.#clocks.save(),
      parts: this.#parts.save(),
      chains: [...this.#chains.values()].map((chain) => ({
        ...chain,
        covered: [...chain.covered],
        told: [...chain.told],
        gaps: [...chain.gaps],
        refused: [...chain.refused].map(([id, { count, exact }]) => [id, { count, exact }] as const),
      })),
    };
  }

  /** Goes on where `save` was called; what is already there is replaced. */
  restore(state: TrackerState): void {
    this.#malformed = state.malformed;
    this.#other = state.other;
    this.#clocks = ClockBook.of(state.clocks);
    this.#parts = PartBook.of(state.parts);
    this.#chains.clear();
    for (const saved of state.chains) {
      this.#chains.set(keyOf(saved), {
        ...saved,
        covered: RangeSet.of(saved.covered),
        told: RangeSet.of(saved.told),
        gaps: new Map(saved.gaps),
        refused: new Map(saved.refused),
      });
    }
  }

  #record(record: Extract<Heard, { kind: "record" }>): void {
    const chain = this.#chain(record);
    const again = chain.covered.has(record.seq);
    this.#clocks.record(record, again);
    if (again) {
      chain.duplicates += 1;
      // A corrected clock rightly changes the body of a record that is sent again.
      const before = this.#recent.get(record.id);
      const corrected = record.clock === "corrected" || before?.clock === "corrected";
      if (before !== undefined && before.crc !== record.crc && !corrected) chain.conflicts += 1;
      return;
    }
    chain.received += 1;
    this.#remember(record);
    const lane = record.historical ? "historical" : "live";
    if (record.seq < chain.lane[lane]) chain.outOfOrder += 1;
    else chain.lane[lane] = record.seq;
    chain.covered.add(record.prev + 1, record.seq);
  }

  #gap(gap: Extract<Heard, { kind: "gap" }>): void {
    const chain = this.#chain(gap);
    chain.told.add(gap.prev + 1, gap.to);
    // A gap that grew before it was acknowledged is told again with the same beginning.
    const known = chain.gaps.get(gap.from);
    if (known === undefined || known.to <= gap.to) chain.gaps.set(gap.from, gap);
  }

  #status(status: Extract<Heard, { kind: "status" }>, retained: boolean): void {
    for (const row of status.streams) {
      const chain = this.#chain({ gateway: status.gateway, ...row });
      // A retained status may be a minute old, so it says nothing about where this receiver began.
      if (!retained && chain.received === 0) chain.statusBase ??= row.lastAcked;
      chain.status = {
        lastTaken: Math.max(row.lastTaken, chain.status?.lastTaken ?? 0),
        lastAcked: Math.max(row.lastAcked, chain.status?.lastAcked ?? 0),
      };
    }
  }

  #reportOf(chain: Chain): ChainReport {
    const known = union(chain.covered, chain.told);
    const base = this.#baseOf(chain, known.lowest);
    const missing = [...known.holes()];
    if (known.lowest !== undefined && known.lowest - 1 > base) missing.unshift([base + 1, known.lowest - 1]);
    const top = known.highest ?? base;
    // Acknowledged by the far side, and this receiver never got it.
    if (chain.status && chain.status.lastAcked > top) missing.push([top + 1, chain.status.lastAcked]);
    const first = missing[0];
    return {
      gateway: chain.gateway,
      stream: chain.stream,
      epoch: chain.epoch,
      chain: chain.chain,
      received: chain.received,
      duplicates: chain.duplicates,
      outOfOrder: chain.outOfOrder,
      conflicts: chain.conflicts,
      base,
      completeTo: first === undefined ? top : first[0] - 1,
      missing,
      gaps: summarise([
        ...chain.gaps.values(),
        ...[...chain.refused.values()].map((gap) => ({ ...gap, reason: "refused" })),
      ]),
      ...chain.status,
    };
  }

  #baseOf(chain: Chain, lowest: number | undefined): number {
    if (this.#options.fromStart) return 0;
    const status = chain.statusBase ?? (lowest === undefined ? chain.status?.lastAcked : undefined);
    const began = lowest === undefined ? undefined : lowest - 1;
    return Math.min(status ?? Number.MAX_SAFE_INTEGER, began ?? Number.MAX_SAFE_INTEGER);
  }

  #chain(name: { gateway: string; stream: string; epoch: string; chain: string }): Chain {
    const key = keyOf(name);
    let chain = this.#chains.get(key);
    if (!chain) {
      chain = {
        gateway: name.gateway,
        stream: name.stream,
        epoch: name.epoch,
        chain: name.chain,
        received: 0,
        duplicates: 0,
        outOfOrder: 0,
        conflicts: 0,
        lane: { live: 0, historical: 0 },
        covered: new RangeSet(),
        told: new RangeSet(),
        gaps: new Map(),
        refused: new Map(),
      };
      this.#chains.set(key, chain);
    }
    return chain;
  }

  #remember({ id, crc, clock }: Extract<Heard, { kind: "record" }>): void {
    this.#recent.set(id, { crc, clock });
    if (this.#recent.size <= (this.#options.recentIds ?? RECENT_IDS)) return;
    const oldest = this.#recent.keys().next();
    if (!oldest.done) this.#recent.delete(oldest.value);
  }
}

function keyOf(name: { gateway: string; stream: string; epoch: string; chain: string }): string {
  return `${name.gateway}\0${name.stream}\0${name.epoch}\0${name.chain}`;
}

function byName(a: ChainReport, b: ChainReport): number {
  const left = keyOf(a);
  const right = keyOf(b);
  return left < right ? -1 : Number(left > right);
}

function summarise(gaps: Iterable<Pick<KnownGap, "reason" | "count" | "exact">>): GapSummary[] {
  const byReason = new Map<string, { gaps: number; records: number; exact: boolean }>();
  for (const gap of gaps) {
    const entry = byReason.get(gap.reason) ?? { gaps: 0, records: 0, exact: true };
    entry.gaps += 1;
    entry.records += gap.count;
    entry.exact &&= gap.exact;
    byReason.set(gap.reason, entry);
  }
  return [...byReason].map(([reason, entry]) => ({ reason, ...entry }));
}
