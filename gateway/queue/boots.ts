import type { BootOffset, ClockSource, ClockState, SentTime } from "../core/clock.ts";

/** From `fromMonoMs` on, wall minus monotonic was `offsetMs`; the clock was believed. */
export interface Era {
  readonly fromMonoMs: number;
  readonly offsetMs: number;
  readonly uncertaintyMs: number;
  readonly source: ClockSource;
}

/** What is stored about the time of a record. */
export interface StoredTime {
  readonly bootId: string;
  readonly monoMs: number;
  readonly wallMs: number;
  readonly clock: ClockState;
}

/** Boots that are remembered; the records of older ones stay as they were taken. */
const MOST_BOOTS = 256;
/** The first era corrects what was taken before it; of the others the latest count. */
const MOST_ERAS = 16;
/** A crystal that nobody disciplines is wrong by so much, at most. */
const DRIFT = 100e-6;

/**
 * What is known about the wall clock in each boot of this machine. The offset of a boot never follows from those of its
 * neighbours: they bound it by minutes at best, and a time that may be minutes wrong is better called unsynced.
 */
export class Boots {
  readonly #eras = new Map<string, readonly Era[]>();

  /** @returns undefined when the content is none that `toJSON` gave. */
  static of(content: unknown): Boots | undefined {
    if (!isObject(content)) return undefined;
    const boots = new Boots();
    for (const [bootId, eras] of Object.entries(content)) {
      if (!Array.isArray(eras) || eras.length === 0 || !eras.every(isEra)) return undefined;
      boots.#eras.set(bootId, eras);
    }
    return boots;
  }

  learn(bootId: string, era: Era): void {
    const eras = this.#eras.get(bootId) ?? [];
    const kept = eras.length < MOST_ERAS ? eras : [...eras.slice(0, 1), ...eras.slice(2)];
    this.#eras.set(bootId, [...kept, era]);
    const [oldest] = this.#eras.keys();
    if (this.#eras.size > MOST_BOOTS && oldest !== undefined) this.#eras.delete(oldest);
  }

  /** The present offset of a boot. */
  latest(bootId: string): Era | undefined {
    return this.#eras.get(bootId)?.at(-1);
  }

  /** What corrects records that were sent before the clock of their boot was known. */
  first(bootId: string): BootOffset | undefined {
    const era = this.#eras.get(bootId)?.[0];
    if (era === undefined) return undefined;
    const { offsetMs, uncertaintyMs, source, fromMonoMs } = era;
    return { bootId, offsetMs, uncertaintyMs, source, knownAtMonoMs: fromMonoMs };
  }

  /** A record that was taken without a known time gets the offset of the first time the clock was set after it. */
  timeOf({ bootId, monoMs, wallMs, clock }: StoredTime): SentTime {
    if (clock === "synced") return { wallMs, clock };
    const eras = this.#eras.get(bootId);
    const era = eras?.find(({ fromMonoMs }) => fromMonoMs >= monoMs) ?? eras?.at(-1);
    if (era === undefined) return { wallMs, clock };
    const drift = Math.abs(era.fromMonoMs - monoMs) * DRIFT;
    return {
      wallMs: monoMs + era.offsetMs,
      clock: "corrected",
      uncertaintyMs: Math.ceil(era.uncertaintyMs + drift),
    };
  }

  toJSON(): Record<string, readonly Era[]> {
    return Object.fromEntries(this.#eras);
  }
}

function isObject(found: unknown): found is Record<string, unknown> {
  return typeof found === "object" && found !== null && !Array.isArray(found);
}

function isEra(found: unknown): found is Era {
  if (!isObject(found)) return false;
  const { fromMonoMs, offsetMs, uncertaintyMs, source } = found;
  return [fromMonoMs, offsetMs, uncertaintyMs].every(Number.isFinite) && typeof source === "string";
}
