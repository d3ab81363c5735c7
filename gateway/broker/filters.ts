import { filterCovers } from "../core/selector.ts";

/** The least of these filters that match the same topics: what is subscribed to twice may come twice. */
export function leastFilters(filters: readonly string[]): readonly string[] {
  const once = [...new Set(filters)];
  return once.filter((filter) => !once.some((other) => other !== filter && filterCovers(other, filter)));
}
