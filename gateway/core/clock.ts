/** Whether the wall clock could be trusted when a record was taken. `corrected` is only ever computed at send time. */
export type ClockState = "unsynced" | "synced";
export type SentClockState = ClockState | "corrected";

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
}
