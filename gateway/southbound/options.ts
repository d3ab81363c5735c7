import { systemTimers, type Timers } from "./timers.ts";

/** The constants of link supervision; the defaults are what users rely on, the rest is for tests. Milliseconds. */
export interface LinkOptions {
  /** Bound of one `connect`. */
  readonly connectTimeoutMs: number;
  /** Bound of one wire transaction, well above any driver's own timeout: it only ends a call that hangs. */
  readonly callLimitMs: number;
  /** What a driver is given to settle after its signal was aborted, and to close. */
  readonly graceMs: number;
  readonly backoffMinMs: number;
  readonly backoffMaxMs: number;
  /** A connection that lived this long begins the next back-off anew. */
  readonly stableMs: number;
  /** Consecutive requests without an answer that make a device `offline`. */
  readonly timeoutsToOffline: number;
  /** First and greatest pause between two probes of one device, where the share of bus time allows it. */
  readonly probeMinMs: number;
  readonly probeMaxMs: number;
  /** Least time that a probe of a device which used to answer waits for an answer. */
  readonly probePatienceMs: number;
  /** Share of the bus time that all devices of a link that do not answer may take together. */
  readonly probeShare: number;
  /** A connection on which no device answers for max(this, 3 x the fastest `every`), although asked, is rebuilt. */
  readonly watchdogMs: number;
  /** Greatest pause between two rebuilds that were of no use, unless `watchdogMs` gives a longer one. */
  readonly watchdogMaxMs: number;
  /** Pause between two repetitions of what is `bad`, and between two summaries in the log. */
  readonly remindMs: number;
  /** Evenly from 0 to below 1. */
  readonly random: () => number;
  readonly timers: Timers;
}

export const defaultOptions: LinkOptions = {
  connectTimeoutMs: 10_000,
  callLimitMs: 30_000,
  graceMs: 1_000,
  backoffMinMs: 1_000,
  backoffMaxMs: 30_000,
  stableMs: 30_000,
  timeoutsToOffline: 2,
  probeMinMs: 500,
  probeMaxMs: 4_000,
  probePatienceMs: 100,
  probeShare: 0.05,
  watchdogMs: 10_000,
  watchdogMaxMs: 60_000,
  remindMs: 60_000,
  random: Math.random,
  timers: systemTimers,
};
