import type { LoadedConfig, LoadedLink, ScanGroup } from "../../config/types.ts";
import type { Tag } from "../../core/driver.ts";

/** Runs a second of a scan group, and what each of them sends. */
export interface GroupRate {
  readonly group: ScanGroup;
  /** As configured, and as the line can do it. */
  readonly wantedPerSecond: number;
  readonly runsPerSecond: number;
  /** Records a second, and values in each on average. */
  readonly recordsPerSecond: number;
  readonly values: number;
  /** Whether each run is a record. */
  readonly periodic: boolean;
}

export interface LineLoad {
  readonly link: string;
  readonly driver: string;
  /** Wire transactions at once. */
  readonly concurrency: number;
  /** Wire transactions a second. */
  readonly requestsPerSecond: number;
  /** Of the line's time as configured, over 100 where it cannot; absent where the driver cannot say. */
  readonly askedPercent?: number;
  readonly percent?: number;
  /** Part of the runs that are made. */
  readonly kept: number;
}

/** The load of a line, and how often its groups are really read. */
export function lineRates(link: LoadedLink): { readonly load: LineLoad; readonly runs: readonly number[] } {
  const wanted = link.groups.map(({ everyMs }) => 1000 / everyMs);
  const asks = link.groups.map(({ requests }) => requests.length);
  const busyMs = link.groups.map(({ requests }) =>
    requests.reduce((sum, { wireMs, busyMs: busy = wireMs }) => sum + busy, 0),
  );
  const load = percentOf(link, wanted, busyMs);
  const share = load > 100 ? shareOf(wanted, asks, busyMs, 1000 * link.concurrency) : Infinity;
  const runs = wanted.map((rate, at) => Math.min(rate, share / Math.max(1, asks[at] ?? 1)));
  const requestsPerSecond = runs.reduce((sum, rate, at) => sum + rate * (asks[at] ?? 0), 0);
  const [made, all] = [runs, wanted].map((rates) => rates.reduce((sum, rate) => sum + rate, 0));
  return {
    runs,
    load: {
      link: link.name,
      driver: link.driver.name,
      concurrency: link.concurrency,
      requestsPerSecond,
      ...(load === 0 ? {} : { askedPercent: load, percent: Math.min(100, percentOf(link, runs, busyMs)) }),
      kept: all === 0 || all === undefined ? 1 : (made ?? 0) / all,
    },
  };
}

function percentOf({ concurrency }: LoadedLink, runs: readonly number[], busyMs: readonly number[]): number {
  return runs.reduce((sum, rate, at) => sum + (rate * (busyMs[at] ?? 0)) / 10, 0) / concurrency;
}

/** Requests a second that each group is given on a line that is asked for too much: the same for all that want more. */
function shareOf(wanted: readonly number[], asks: readonly number[], busyMs: readonly number[], ms: number): number {
  let [low, high] = [0, Math.max(...wanted.map((rate, at) => rate * Math.max(1, asks[at] ?? 1)))];
  for (let step = 0; step < 60; step++) {
    const share = (low + high) / 2;
    const used = wanted.reduce(
      (sum, rate, at) => sum + Math.min(rate, share / Math.max(1, asks[at] ?? 1)) * (busyMs[at] ?? 0),
      0,
    );
    if (used > ms) high = share;
    else low = share;
  }
  return low;
}

/**
 * @param change part of the readings, 0 to 1, at which a tag with a deadband has moved far enough.
 * @param runsPerSecond how often the group is read.
 */
export function groupRate(group: ScanGroup, runsPerSecond: number, change: number): GroupRate {
  const wantedPerSecond = 1000 / group.everyMs;
  const tags = [...sent(group), ...group.derived];
  const shares = tags.map((tag) => shareSent(tag, runsPerSecond, change));
  const perRun = shares.reduce((sum, share) => sum + share, 0);
  // Tags move independently: a run without anything to send is no record.
  const records = 1 - shares.reduce((none, share) => none * (1 - share), 1);
  const periodic = records > 1 - 1e-9;
  const recordsPerSecond = runsPerSecond * records;
  return {
    group,
    wantedPerSecond,
    runsPerSecond,
    recordsPerSecond,
    values: records === 0 ? 0 : perRun / records,
    periodic,
  };
}

/** Tags that a request gives; what is only listened for comes when it comes. */
function sent({ tags, requests }: ScanGroup): Tag[] {
  const asked = new Set(
    requests.flatMap(({ tags: read, excluded = [] }) => {
      const out = new Set(excluded.map(({ tag }) => tag));
      return read.filter((tag) => !out.has(tag));
    }),
  );
  return tags.filter((tag) => asked.has(tag));
}

/** Part of the readings of a tag that are sent. */
export function shareSent(
  { deadband, maxSilenceMs, minIntervalMs = 0 }: Pick<Tag, "deadband" | "maxSilenceMs" | "minIntervalMs">,
  runsPerSecond: number,
  change: number,
): number {
  const most = minIntervalMs > 0 ? Math.min(1, 1000 / minIntervalMs / runsPerSecond) : 1;
  if (deadband === undefined) return most;
  if (maxSilenceMs === undefined) return Math.min(most, change);
  // Until it is sent again: the first change, or so many readings that the silence would be too long.
  const readings = Math.max(1, Math.floor((maxSilenceMs / 1000) * runsPerSecond + 1e-9));
  const mean = change === 0 ? readings : (1 - (1 - change) ** readings) / change;
  return Math.min(most, 1 / mean);
}

/** Tags that are only sent when they change, in all groups. */
export function deadbanded(config: LoadedConfig): number {
  const all = config.links.flatMap(({ devices }) => devices.flatMap(({ tags, derived = [] }) => [...tags, ...derived]));
  return all.filter(({ deadband }) => deadband !== undefined).length;
}
