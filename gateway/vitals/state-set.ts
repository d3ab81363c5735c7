import type { Gauge, Labels } from "../core/metrics.ts";

/** One row for each state there can be, 1 for the one that holds: so that a state which never came is a 0 and not nothing. */
export function setState(gauge: Gauge, states: readonly string[], state: string, labels: Labels): void {
  for (const one of states) gauge.set(one === state ? 1 : 0, { ...labels, state: one });
}
