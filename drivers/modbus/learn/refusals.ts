import type { AreaRange } from "../plan/hole.ts";

/** Refused alone so often in a row, a value is left out. */
const STRIKES = 2;
const RETRY_MS = 3_600_000;
/** So many of a unit are tried at a time. */
const AT_ONCE = 8;

interface Refusal extends AreaRange {
  strikes: number;
  retryMs: number;
}

/**
 * Values that a unit refuses although they are asked for alone. They are left out and tried again in an hour, after a
 * reconnect, and as soon as another one has come back; a few at a time.
 */
export class Refusals {
  readonly #refusals: Refusal[];
  #trial: ReadonlySet<Refusal> = new Set();
  #checkMs = Number.NEGATIVE_INFINITY;
  #version = 0;

  constructor(saved: readonly AreaRange[]) {
    // A restart is a reconnect.
    this.#refusals = saved.map((range) => ({ ...range, strikes: STRIKES, retryMs: Number.NEGATIVE_INFINITY }));
  }

  /** Left out; what was refused only once is not among them. */
  get left(): readonly AreaRange[] {
    return this.#refusals
      .filter(({ strikes }) => strikes >= STRIKES)
      .map(({ area, start, end }) => ({ area, start, end }));
  }

  /** Changes when other values are left out or tried than before. */
  version(nowMs: number): number {
    if (nowMs >= this.#checkMs) this.#chooseTrial(nowMs);
    return this.#version;
  }

  /** Every refused value. Those on trial are asked alone, the others not at all. */
  get all(): readonly AreaRange[] {
    return this.#refusals;
  }

  excludes(value: AreaRange): boolean {
    return this.#refusals.some((refusal) => !this.#trial.has(refusal) && within(refusal, value));
  }

  /** @returns whether it is left out from now on, and was not before. */
  refused(value: AreaRange, nowMs: number): boolean {
    let refusal = this.#refusals.find((each) => same(each, value));
    if (!refusal) {
      refusal = { area: value.area, start: value.start, end: value.end, strikes: 0, retryMs: 0 };
      this.#refusals.push(refusal);
    }
    refusal.strikes++;
    refusal.retryMs = refusal.strikes < STRIKES ? nowMs : nowMs + RETRY_MS;
    this.#chooseTrial(nowMs);
    return refusal.strikes === STRIKES;
  }

  /** @returns whether something that was refused is back. */
  answered(range: AreaRange, nowMs: number): boolean {
    if (this.#refusals.length === 0) return false;
    const left = this.#refusals.filter((each) => !within(each, range));
    if (left.length === this.#refusals.length) return false;
    this.#refusals.splice(0, this.#refusals.length, ...left);
    // What came back seldom comes alone.
    this.retry(nowMs);
    this.#chooseTrial(nowMs);
    return true;
  }

  /** All are tried again, a few at a time. */
  retry(nowMs: number): void {
    for (const refusal of this.#refusals) refusal.retryMs = Math.min(refusal.retryMs, nowMs);
    this.#checkMs = Math.min(this.#checkMs, nowMs);
  }

  #chooseTrial(nowMs: number): void {
    const due = this.#refusals.filter(({ retryMs }) => retryMs <= nowMs).sort((a, b) => a.retryMs - b.retryMs);
    this.#trial = new Set(due.slice(0, AT_ONCE));
    const later = this.#refusals.filter((each) => !due.includes(each)).map(({ retryMs }) => retryMs);
    this.#checkMs = Math.min(Number.POSITIVE_INFINITY, ...later);
    this.#version++;
  }
}

function same(a: AreaRange, b: AreaRange): boolean {
  return a.area === b.area && a.start === b.start && a.end === b.end;
}

function within(inner: AreaRange, outer: AreaRange): boolean {
  return inner.area === outer.area && outer.start <= inner.start && inner.end <= outer.end;
}
