import { AREA_NAMES, AREAS, type Area } from "../address.ts";
import { cover, type Range } from "../plan/cover.ts";
import type { Knowledge } from "../plan/plan.ts";
import type { ReadRequest } from "../plan/request.ts";
import type { ProbeTokens } from "./budget.ts";
import { type Content, readContent } from "./content.ts";
import { LengthLimit } from "./length.ts";
import { Refusals } from "./refusals.ts";
import { ReplyTime } from "./reply-time.ts";
import { type Finding, Splits } from "./splits.ts";

const ILLEGAL_ADDRESS = 2;
const ILLEGAL_VALUE = 3;
/** A turn-around that changed by this much makes another plan worthwhile. */
const OTHER_PACE = 2;
/** So many answers in a row must agree on that: one that was slow says nothing about the unit. */
const OTHER_PACE_ANSWERS = 16;
/** After so many silences in a row an answer counts as a return. */
const AWAY = 2;

export interface LearnerParts {
  readonly saved: unknown;
  readonly save: (content: Content) => void;
  readonly tokens: ProbeTokens;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
}

/** What one unit taught us by its answers, and what follows from it for the plan. */
export class Learner implements Knowledge {
  readonly #parts: LearnerParts;
  #holes: Map<Area, Range[]> = new Map();
  #splits: Map<Area, Splits> = new Map();
  #registers = new LengthLimit(undefined);
  #bits = new LengthLimit(undefined);
  #refusals = new Refusals([]);
  #reply = new ReplyTime(undefined);
  #turnaroundMs: number | undefined;
  #otherPace = 0;
  #silences = 0;
  #version = 0;

  constructor(parts: LearnerParts) {
    this.#parts = parts;
    this.#take(readContent(parts.saved));
  }

  /** Another number when the plan should be made anew. */
  get revision(): number {
    return this.#version + this.#refusals.version(this.#parts.nowMs());
  }

  get turnaroundMs(): number | undefined {
    return this.#turnaroundMs;
  }

  holes(area: Area): readonly Range[] {
    const alone = this.#refusals.all.filter((refusal) => refusal.area === area);
    const edges = alone.flatMap(({ start, end }) => [edge(start), { start, end }, edge(end)]);
    return [...(this.#holes.get(area) ?? []), ...(this.#splits.get(area)?.open ?? []), ...edges];
  }

  excludes(area: Area, value: Range): boolean {
    return this.#refusals.excludes({ area, ...value });
  }

  most(bits: boolean): number | undefined {
    return this.#lengths(bits).most;
  }

  timeoutMs(configuredMs: number): number {
    return this.#reply.timeoutMs(configuredMs);
  }

  /** Forgets everything. */
  forget(): void {
    this.#take(undefined);
    this.#version++;
  }

  /** The link is new: what was refused may be there now. */
  reconnected(): void {
    this.#refusals.retry(this.#parts.nowMs());
  }

  /** The unit answered something else than a read of the plan. */
  heard(): void {
    this.#return();
    for (const bits of [true, false]) this.#lengths(bits).answered(0);
  }

  /** @param tookMs from question to answer, without the time on the wire. */
  answered({ frame, question }: ReadRequest, tookMs: number): void {
    const nowMs = this.#parts.nowMs();
    const { area } = frame;
    const range = { start: question.address, end: question.address + question.count };
    this.#return();
    this.#reply.answered(tookMs);
    let changed = this.#lengths(AREAS[area].bits).answered(question.count);
    if (this.#refusals.answered({ area, ...range }, nowMs)) changed = true;
    if (this.#blame(area, this.#splits.get(area)?.answered(range) ?? [])) changed = true;
    if (this.#pace()) changed = true;
    if (changed) this.#changed();
  }

  /** The unit refused: makes the request give smaller ones in its place, where that may help. */
  refused(request: ReadRequest, exceptionCode: number): void {
    this.#return();
    if (exceptionCode !== ILLEGAL_ADDRESS && exceptionCode !== ILLEGAL_VALUE) return;
    const parts = this.#partsOf(request, exceptionCode);
    if (parts.length > 1 && this.#parts.tokens.take(parts.length, this.#parts.nowMs())) request.replaceWith(parts);
  }

  /** No answer, or one that broke off. */
  silent({ frame, question }: ReadRequest): void {
    this.#silences++;
    this.#reply.silent();
    if (this.#lengths(AREAS[frame.area].bits).silent(question.count)) this.#changed();
  }

  #partsOf(request: ReadRequest, exceptionCode: number): Range[][] {
    const { area, readUs } = request.frame;
    const { address, count } = request.question;
    const values = request.values();
    const [only] = values;
    const lengths = this.#lengths(AREAS[area].bits);
    const splits = this.#splitsOf(area);
    const findings = splits.refused({ start: address, end: address + count });
    if (this.#blame(area, findings)) this.#changed();
    if (!only) return [];
    if (values.length === 1) {
      if (exceptionCode === ILLEGAL_ADDRESS && this.#refusals.refused({ area, ...only }, this.#parts.nowMs()))
        this.#changed();
      return [];
    }
    if (exceptionCode === ILLEGAL_VALUE && lengths.mayBeTooLong(count)) {
      lengths.refused(count);
      this.#changed();
      const widest = Math.max(...values.map(({ start, end }) => end - start));
      const most = Math.max(lengths.most ?? count, widest);
      return cover(values, { most, maxGap: count, holes: this.holes(area) }, readUs);
    }
    const halves = splits.cut(values);
    this.#version++;
    return halves;
  }

  /** @returns whether a plan would be another one now. */
  #blame(area: Area, findings: readonly Finding[]): boolean {
    const lengths = this.#lengths(AREAS[area].bits);
    for (const { between, count } of findings) {
      const known = this.#holes.get(area) ?? [];
      // Neighbours that are only refused together: too many at once, unless as many were answered elsewhere.
      if (between.start === between.end && lengths.mayBeTooLong(count)) lengths.refused(count);
      else if (!known.some(({ start, end }) => start === between.start && end === between.end))
        this.#holes.set(area, [...known, between]);
    }
    return findings.length > 0;
  }

  #pace(): boolean {
    const meanMs = this.#reply.meanMs;
    if (meanMs === undefined) return false;
    const planned = this.#turnaroundMs;
    const isSame = planned !== undefined && meanMs < planned * OTHER_PACE + 1 && meanMs * OTHER_PACE + 1 > planned;
    this.#otherPace = isSame ? 0 : this.#otherPace + 1;
    if (isSame || (planned !== undefined && this.#otherPace < OTHER_PACE_ANSWERS)) return false;
    this.#turnaroundMs = meanMs;
    this.#otherPace = 0;
    return true;
  }

  #return(): void {
    if (this.#silences >= AWAY) this.#refusals.retry(this.#parts.nowMs());
    this.#silences = 0;
  }

  /** All that is known, as it is kept. */
  get content(): Content {
    const reply = this.#reply.stats;
    return {
      version: 1,
      holes: AREA_NAMES.flatMap((area) => (this.#holes.get(area) ?? []).map((hole) => ({ area, ...hole }))),
      refused: [...this.#refusals.left],
      registers: this.#registers.stats,
      bits: this.#bits.stats,
      ...(reply && { reply }),
    };
  }

  #changed(): void {
    this.#version++;
    this.#parts.save(this.content);
  }

  #take(content: Content | undefined): void {
    this.#holes = new Map();
    this.#splits = new Map();
    for (const { area, start, end } of content?.holes ?? []) {
      this.#holes.set(area, [...(this.#holes.get(area) ?? []), { start, end }]);
    }
    this.#registers = new LengthLimit(settled(content?.registers));
    this.#bits = new LengthLimit(settled(content?.bits));
    this.#refusals = new Refusals(content?.refused ?? []);
    this.#reply = new ReplyTime(content?.reply);
    this.#turnaroundMs = this.#reply.meanMs;
  }

  #lengths(bits: boolean): LengthLimit {
    return bits ? this.#bits : this.#registers;
  }

  #splitsOf(area: Area): Splits {
    const splits = this.#splits.get(area) ?? new Splits();
    this.#splits.set(area, splits);
    return splits;
  }
}

function edge(at: number): Range {
  return { start: at, end: at };
}

/** Absent keys stay absent. */
function settled(length: Content["registers"] | undefined) {
  if (!length) return undefined;
  const { answered, refused, most } = length;
  return { answered, ...(refused === undefined ? {} : { refused }), ...(most === undefined ? {} : { most }) };
}
