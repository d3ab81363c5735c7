import type { BackoffOptions } from "./backoff.ts";
import type { BatchOptions } from "./batcher.ts";

/** Caps of all that is sent, per second. */
export interface MaxRate {
  readonly messages?: number | undefined;
  readonly bytes?: number | undefined;
}

/** What a forwarder may be told to do differently; durations in milliseconds. */
export interface ForwarderOptions {
  /** `live-first`: after a connection began, what is new goes at once and what was owed before beside it. */
  readonly order: "fifo" | "live-first";
  readonly maxRate: MaxRate;
  /** Several records in one message, where the encoder can join them; absent: one each. */
  readonly batch?: BatchOptions | undefined;
  /** Records read and held back to fill messages with, at most. */
  readonly maxBatched: number;
  /** Messages carry a key, for uplinks that keep the order of each. */
  readonly keys: boolean;
  /** Pauses between connections that failed or were lost. */
  readonly backoff: BackoffOptions;
  /** Pauses after a fault that only a person can cure. */
  readonly alarmBackoff: BackoffOptions;
  /** Between two connections at least, whatever the back-off says. */
  readonly leastPauseMs: number;
  /** A pause that a busy server asks for is at most this long. */
  readonly busyCapMs: number;
  /** Messages in flight, but no verdict for so long: the connection is given up. For uplinks that name no limit. */
  readonly ackTimeoutMs: number;
  /** Between two status messages. */
  readonly statusEveryMs: number;
  /** At `stop`: how long acknowledgements in flight are waited for, and then the status `offline`. */
  readonly drainMs: number;
  readonly farewellMs: number;
  /** First pause before a message that was refused for the moment is sent again, doubled up to the greatest. */
  readonly retryBaseMs: number;
  readonly retryCapMs: number;
  /** Pause after the queue failed to read or to settle. */
  readonly storagePauseMs: number;
  /** Payload bytes in flight at which no more is sent (one message may go beyond). */
  readonly maxInFlightBytes: number;
  /** Bytes of one read of the queue. */
  readonly readBytes: number;
  /** How many records of `events` go for one of `telemetry` while both are owed. */
  readonly eventsWeight: number;
  /** A gap that has no record behind it waits so long for one that belongs before it. */
  readonly gapHoldMs: number;
}

export const FORWARDER_DEFAULTS: ForwarderOptions = {
  order: "fifo",
  maxRate: {},
  maxBatched: 4096,
  keys: false,
  backoff: { baseMs: 1000, capMs: 120_000, stableMs: 30_000 },
  alarmBackoff: { baseMs: 120_000, capMs: 600_000, stableMs: 600_000 },
  leastPauseMs: 0,
  busyCapMs: 600_000,
  ackTimeoutMs: 30_000,
  statusEveryMs: 60_000,
  drainMs: 2000,
  farewellMs: 1000,
  retryBaseMs: 500,
  retryCapMs: 30_000,
  storagePauseMs: 1000,
  maxInFlightBytes: 1024 * 1024,
  readBytes: 1024 * 1024,
  eventsWeight: 8,
  gapHoldMs: 50,
};
