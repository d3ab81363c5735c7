import { existsSync, readFileSync } from "node:fs";
import { uptime } from "node:os";
import type { Clock, ClockState, Instant } from "../core/clock.ts";

/** Where the system's state is read; tests give their own. */
export interface ClockSources {
  /** The kernel's boot id. */
  readonly bootIdFile: string;
  /** systemd-timesyncd's folder; the file `synchronized` in it appears when the clock was set from the network. */
  readonly timesyncDir: string;
  /** Least time between two looks at it. */
  readonly askEveryMs: number;
  /** Unix milliseconds. */
  wallMs(): number;
}

const REAL: ClockSources = {
  bootIdFile: "/proc/sys/kernel/random/boot_id",
  timesyncDir: "/run/systemd/timesync",
  askEveryMs: 1000,
  wallMs: () => Date.now(),
};
/** No gateway of this version ran before 2025: a wall clock that says so was never set. */
const FLOOR_MS = Date.UTC(2025, 0, 1);

/**
 * The machine's clocks. The wall clock counts as set when systemd-timesyncd says so; where it runs and has not said so
 * yet, it is not (a board without a battery-backed clock comes up with the time of its last shutdown); where there is no
 * timesyncd, any time since 2025 is believed.
 */
export class SystemClock implements Clock {
  readonly bootId: string;
  readonly #sources: ClockSources;
  /** Milliseconds from the boot to the zero of `performance.now()`, which is CLOCK_MONOTONIC with another zero. */
  readonly #zeroMs: number;
  #state: ClockState = "unsynced";
  #askedAt = Number.NEGATIVE_INFINITY;

  constructor(sources: Partial<ClockSources> = {}) {
    this.#sources = { ...REAL, ...sources };
    this.#zeroMs = uptime() * 1000 - performance.now();
    this.bootId = readFileSync(this.#sources.bootIdFile, "utf8").trim();
  }

  now(): Instant {
    const ownMs = performance.now();
    const wallMs = this.#sources.wallMs();
    return { wallMs, monoMs: this.#zeroMs + ownMs, clock: this.#stateAt(ownMs, wallMs) };
  }

  /** Once set, a clock stays set: it only drifts. */
  #stateAt(ownMs: number, wallMs: number): ClockState {
    if (this.#state === "synced" || ownMs - this.#askedAt < this.#sources.askEveryMs) return this.#state;
    this.#askedAt = ownMs;
    const { timesyncDir } = this.#sources;
    const believed = existsSync(timesyncDir) ? existsSync(`${timesyncDir}/synchronized`) : true;
    if (believed && wallMs >= FLOOR_MS) this.#state = "synced";
    return this.#state;
  }
}
