import type { LinkStatus } from "./southbound/status.ts";

/** Links, devices and uplinks by name, and whether each is well. */
export function conditionOf(
  links: readonly LinkStatus[],
  uplinks: readonly { readonly name: string; readonly state: string }[],
): ReadonlyMap<string, boolean> {
  const lines = links.flatMap(({ name, state, devices }) => {
    const units = devices.map((device) => [`device ${device.name}`, device.state === "online"] as const);
    return [[`link ${name}`, state === "connected"] as const, ...units];
  });
  return new Map([...lines, ...uplinks.map(({ name, state }) => [`uplink ${name}`, state === "connected"] as const)]);
}
