import type { Request } from "../core/driver.ts";
import type { Sample } from "../core/sample.ts";
import { Deadband } from "./deadband.ts";
import type { GroupPlan } from "./plan.ts";

/** After a connection or a return, a group is read within this time, even if its regular turn is hours away. */
const FIRST_WITHIN_MS = 1000;

/** Against the rounding of (a + n * b - a) / b. */
const EPSILON = 1e-9;

/** A request handed out, to be given back with its samples. */
export interface Turn {
  readonly run: GroupRun;
  readonly request: Request;
  /** Tells whether the run this was part of is still the present one. */
  readonly generation: number;
  /** Runs that were never begun because this one came too late. */
  readonly missed: number;
}

/**
 * The fixed-rate schedule of one scan group. Runs are released at phase + n * every on the monotonic clock, so nothing
 * drifts, and a run never begins before the last one ended. When several releases have passed, the newest is run and the
 * older ones are missed. The phase is a hash of device and group, so that groups do not fire together.
 */
export class GroupRun {
  readonly plan: GroupPlan;
  readonly deadband: Deadband;
  readonly #fraction: number;
  readonly #baseMs: number;
  #n = 0;
  #releaseMs = Number.POSITIVE_INFINITY;
  #dueMs = Number.POSITIVE_INFINITY;
  /** Of the present run: the plan as it was when it began, and what came in place of refused requests. */
  #requests: readonly Request[] = [];
  #taken = 0;
  #beganMs: number | undefined;
  #back = 0;
  #samples: Sample[] = [];
  #generation = 0;
  #late = false;
  /** Runs left out before the present one was begun. */
  #begunLate = 0;
  #servedMs = Number.NEGATIVE_INFINITY;

  /** `originMs`: monotonic time from which phases count; the same for all groups of a link. */
  constructor(plan: GroupPlan, originMs: number) {
    this.plan = plan;
    this.deadband = new Deadband(plan.group.tags);
    this.#fraction = spread(`${plan.group.device.name}\0${plan.group.name}`);
    this.#baseMs = originMs + this.#fraction * plan.group.everyMs;
  }

  /** When the present run must be done: the key of earliest deadline first. It does not move while the run waits. */
  get dueMs(): number {
    return this.#dueMs;
  }

  /** The last run came too late: the line cannot keep the rate of this group. */
  get late(): boolean {
    return this.#late;
  }

  /** Since when the request to take has waited: since the release, or since the one before it, where that was later. */
  get waitingMs(): number {
    return Math.max(this.#releaseMs, this.#servedMs);
  }

  /** When `ready` turns true by time alone. */
  get wakeMs(): number {
    return this.#taken === 0 ? this.#releaseMs : Number.POSITIVE_INFINITY;
  }

  /** Whether there is a request to take. */
  ready(nowMs: number): boolean {
    return this.#taken === 0 ? this.#releaseMs <= nowMs : this.#taken < this.#requests.length;
  }

  /** What `take` would give; only when `ready`. Another one where the plan is made anew meanwhile. */
  get next(): Request | undefined {
    return this.#taken === 0 ? this.plan.requests[0] : this.#requests[this.#taken];
  }

  /** Begins (again) to release runs: the next regular one, or one before it where that is far away. */
  resume(nowMs: number): void {
    this.suspend();
    if (this.plan.requests.length === 0) return;
    this.#n = this.#newest(nowMs);
    const nextMs = this.#at(this.#n + 1);
    if (nextMs - nowMs <= FIRST_WITHIN_MS) {
      this.#n++;
      this.#release(nextMs);
    } else {
      this.#release(nowMs + this.#fraction * FIRST_WITHIN_MS);
      this.#n = this.#newest(this.#releaseMs);
    }
  }

  /** Stops releasing runs. @returns what the run that was under way had given so far. */
  suspend(): Sample[] {
    this.#late = false;
    this.#releaseMs = Number.POSITIVE_INFINITY;
    this.#dueMs = Number.POSITIVE_INFINITY;
    return this.#empty();
  }

  /** When the newest run was begun, monotonic milliseconds. */
  get beganMs(): number | undefined {
    return this.#beganMs;
  }

  /** The next request of the present run; only when `ready`. */
  take(nowMs: number): Turn | undefined {
    const missed = this.#taken === 0 ? this.#begin(nowMs) : 0;
    const request = this.#requests[this.#taken];
    if (!request) return undefined;
    this.#taken++;
    return { run: this, request, generation: this.#generation, missed };
  }

  /**
   * Gives a request back. What belongs to a run that was cut short is dropped.
   * @returns when this was the last one: the samples of the run, and the runs missed meanwhile.
   */
  give(turn: Turn, samples: readonly Sample[], nowMs: number): { samples: Sample[]; missed: number } | undefined {
    if (turn.generation !== this.#generation) return undefined;
    this.#servedMs = nowMs;
    const instead = turn.request.instead?.() ?? [];
    if (instead.length > 0) this.#requests = [...this.#requests, ...instead];
    else if (this.#samples.length === 0) this.#samples = [...samples];
    else for (const sample of samples) this.#samples.push(sample);
    this.#back++;
    if (this.#back < this.#requests.length) return undefined;
    const all = this.#empty();
    this.#n++;
    const missed = this.#skipTo(nowMs);
    this.#late = missed + this.#begunLate > 0;
    this.#release(this.#at(this.#n));
    return { samples: all, missed };
  }

  #release(atMs: number): void {
    this.#releaseMs = atMs;
    this.#dueMs = atMs + this.plan.group.everyMs;
  }

  #begin(nowMs: number): number {
    this.#beganMs = nowMs;
    this.plan.refresh?.();
    this.#requests = this.plan.requests;
    this.#begunLate = this.#skipTo(nowMs);
    return this.#begunLate;
  }

  /** Replaces a run that was not begun by the newest that is released. */
  #skipTo(nowMs: number): number {
    const newest = this.#newest(nowMs);
    const missed = Math.max(0, newest - this.#n);
    this.#n += missed;
    return missed;
  }

  #empty(): Sample[] {
    const samples = this.#samples;
    this.#samples = [];
    this.#taken = 0;
    this.#back = 0;
    this.#generation++;
    return samples;
  }

  #newest(nowMs: number): number {
    return Math.floor((nowMs - this.#baseMs) / this.plan.group.everyMs + EPSILON);
  }

  #at(n: number): number {
    return this.#baseMs + n * this.plan.group.everyMs;
  }
}

/** Evenly from 0 to below 1 (FNV-1a, 32 bit, with a final mix: names that differ in the last letter are far apart). */
function spread(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}
