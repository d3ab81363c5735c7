import { existsSync, readFileSync } from "node:fs";
import { uptime } from "node:os";
import type { Clock, ClockSource, ClockState, Instant } from "../core/clock.ts";
import { type ChronyStatus, chronyStatus } from "./chrony.ts";

/** Where the system's state is read; tests give their own. */
export interface ClockSources {
  /** The kernel's boot id. */
  readonly bootIdFile: string;
  /** systemd-timesyncd's folder; the file `synchronized` in it appears when the clock was set from the network. */
  readonly timesyncDir: string;
  /** chronyd's folder: it is there while chronyd runs. */
  readonly chronyDir: string;
  /** Asks chronyd. */
  chrony(): Promise<ChronyStatus>;
  /** Least time between two looks at a file, and between two questions to chronyd (a child process each). */
  readonly askEveryMs: number;
  readonly askChronyEveryMs: number;
  /** Unix milliseconds. */
  wallMs(): number;
}

const REAL: ClockSources = {
  bootIdFile: "/proc/sys/kernel/random/boot_id",
  timesyncDir: "/run/systemd/timesync",
  chronyDir: "/run/chrony",
  chrony: chronyStatus,
  askEveryMs: 1000,
  askChronyEveryMs: 10_000,
  wallMs: () => Date.now(),
};
/** No gateway of this version ran before 2025: a wall clock that says so was never set, whoever vouches for it. */
const BUILD_MS = Date.UTC(2025, 0, 1);
/** The wall clock against the monotonic one: both are slewed together, so a difference that changes is a step. */
const STEP_MS = 100;
/** The kernel tells its uptime in hundredths of a second, cut off: so well the processes of one boot agree. */
const UPTIME_STEP_MS = 10;

/**
 * The machine's clocks. The wall clock counts as set when timesyncd or chronyd says so; where one of them runs and has not
 * said so yet, it is not (a board without a battery-backed clock comes up with the time of its last shutdown); where
 * there is neither, any time is believed that the machine has not lived through already. Once set it stays set, through
 * steps too, unless it steps to before this version was made.
 */
export class SystemClock implements Clock {
  readonly bootId: string;
  readonly #sources: ClockSources;
  /** Milliseconds from the boot to the zero of `performance.now()`, which is CLOCK_MONOTONIC with another zero. */
  readonly #zeroMs: number;
  #state: ClockState = "unsynced";
  #source: ClockSource = "plausible";
  #floorMs = BUILD_MS;
  /** Wall minus monotonic at the last look. */
  #offsetMs: number | undefined;
  #askedAt = Number.NEGATIVE_INFINITY;
  #chronyAskedAt = Number.NEGATIVE_INFINITY;
  #chrony: ChronyStatus = "absent";

  constructor(sources: Partial<ClockSources> = {}) {
    this.#sources = { ...REAL, ...sources };
    this.#zeroMs = uptime() * 1000 + UPTIME_STEP_MS / 2 - performance.now();
    this.bootId = readFileSync(this.#sources.bootIdFile, "utf8").trim();
  }

  now(): Instant {
    let seen = this.#look();
    this.#offsetMs ??= seen.wallMs - seen.ownMs;
    if (this.#stepped(seen, this.#offsetMs)) {
      // A process that was held up between the two readings sees a difference too, but not twice.
      seen = this.#look();
      if (this.#stepped(seen, this.#offsetMs)) this.#onStep(seen.wallMs);
      this.#offsetMs = seen.wallMs - seen.ownMs;
    }
    const { wallMs, ownMs } = seen;
    return { wallMs, monoMs: this.#zeroMs + ownMs, clock: this.#stateAt(ownMs, wallMs) };
  }

  source(): ClockSource {
    return this.#source;
  }

  floor(wallMs: number): void {
    this.#floorMs = Math.max(BUILD_MS, wallMs);
  }

  #look(): { ownMs: number; wallMs: number } {
    return { ownMs: performance.now(), wallMs: this.#sources.wallMs() };
  }

  #stepped({ ownMs, wallMs }: { ownMs: number; wallMs: number }, offsetMs: number): boolean {
    return Math.abs(wallMs - ownMs - offsetMs) > STEP_MS;
  }

  /** Whoever steps the clock means the new time, unless it is impossible. */
  #onStep(wallMs: number): void {
    if (wallMs < BUILD_MS) this.#state = "unsynced";
    this.#askedAt = Number.NEGATIVE_INFINITY;
  }

  #stateAt(ownMs: number, wallMs: number): ClockState {
    if (this.#state === "synced" || ownMs - this.#askedAt < this.#sources.askEveryMs) return this.#state;
    this.#askedAt = ownMs;
    const source = this.#vouches(ownMs, wallMs);
    if (source !== undefined && wallMs >= BUILD_MS) {
      this.#state = "synced";
      this.#source = source;
    }
    return this.#state;
  }

  #vouches(ownMs: number, wallMs: number): ClockSource | undefined {
    const { timesyncDir, chronyDir } = this.#sources;
    if (existsSync(timesyncDir)) return existsSync(`${timesyncDir}/synchronized`) ? "timesyncd" : undefined;
    if (existsSync(chronyDir)) {
      this.#askChrony(ownMs);
      // Unknown: no chronyc on this machine, or it may not ask. Then the time itself has to do.
      if (this.#chrony === "synced") return "chrony";
      if (this.#chrony === "unsynced" || this.#chrony === "asking") return undefined;
    }
    return wallMs >= this.#floorMs ? "plausible" : undefined;
  }

  /** The answer is there at a later look. */
  #askChrony(ownMs: number): void {
    const { askChronyEveryMs, chrony } = this.#sources;
    if (ownMs - this.#chronyAskedAt < askChronyEveryMs) return;
    this.#chronyAskedAt = ownMs;
    if (this.#chrony === "absent") this.#chrony = "asking";
    void chrony().then((status) => {
      this.#chrony = status;
    });
  }
}
