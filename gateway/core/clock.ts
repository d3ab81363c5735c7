/** Whether the wall clock could be trusted when a record was taken. `corrected` is only ever computed at send time. */
export type ClockState = "unsynced" | "synced";
export type SentClockState = ClockState | "corrected";

/**
 * Why a clock counts as set: a time service says so, or there is no time service and the time is none that this machine
 * has already lived through.
 */
export type ClockSource = "timesyncd" | "chrony" | "plausible";

/** One moment on both clocks. `monoMs` counts from the boot of the machine and never steps; `wallMs` is Unix time. */
export interface Instant {
  readonly wallMs: number;
  readonly monoMs: number;
  readonly clock: ClockState;
}

export interface Clock {
  /** The kernel's boot id; `monoMs` of two instants compare only within one boot. */
  readonly bootId: string;
  now(): Instant;
  /** Why the clock counts as set; `plausible` where it is absent. Means nothing while the clock is not set. */
  source?(): ClockSource;
  /** A time this machine has lived through (Unix ms): where no time service vouches for it, an earlier one is wrong. */
  floor?(wallMs: number): void;
}

/** How the monotonic time of one boot lies on the wall clock. */
export interface BootOffset {
  readonly bootId: string;
  /** Wall minus monotonic, in milliseconds. */
  readonly offsetMs: number;
  /** The offset may be wrong by this much, either way. */
  readonly uncertaintyMs: number;
  readonly source: ClockSource;
  /** When it became known, on the monotonic clock. */
  readonly knownAtMonoMs: number;
}

/** The time of a record as far as it is known when it is sent. */
export interface SentTime {
  readonly wallMs: number;
  readonly clock: SentClockState;
  /** Present when `clock` is `corrected`: `wallMs` may be wrong by this much, either way. */
  readonly uncertaintyMs?: number;
}
