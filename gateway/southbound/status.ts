import type { DeviceState } from "./breaker.ts";

/** `down` waits for its next attempt; `failed` has a configuration that cannot work and does not try again. */
export type LinkState = "stopped" | "connecting" | "connected" | "down" | "failed";

/** Times are Unix milliseconds; counts are since the start of the link. */
export interface DeviceStatus {
  readonly name: string;
  readonly state: DeviceState;
  readonly since: number;
  readonly lastReply?: number;
  /** Wire transactions, answered or not. */
  readonly requests: number;
  readonly scans: number;
  readonly overruns: number;
  readonly timeouts: number;
  readonly errors: number;
  /** Percent of the last minute in which the wire was in use for it. */
  readonly loadPercent: number;
}

export interface LinkStatus {
  readonly name: string;
  readonly state: LinkState;
  readonly since: number;
  readonly lastReply?: number;
  /** Why it is not connected, or why the last connection ended. */
  readonly lastError?: string;
  readonly overruns: number;
  readonly errors: number;
  /** Percent of the last minute in which the wire was in use. */
  readonly loadPercent: number;
  readonly devices: readonly DeviceStatus[];
}
