import type { Device, Driver, Request } from "../core/driver.ts";
import { type ScanGroup, scanGroups } from "./scan.ts";

/** A scan group and the wire transactions that one run of it costs. */
export interface GroupPlan {
  readonly group: ScanGroup;
  readonly requests: readonly Request[];
}

/**
 * Plans every scan group of a link. No I/O, so `check` uses it on a driver that is never connected.
 * @throws ConfigError naming the tag.
 */
export function planLink(driver: Pick<Driver, "plan">, devices: readonly Device[]): GroupPlan[] {
  return devices.flatMap(scanGroups).map((group) => ({ group, requests: driver.plan(group.device, group.tags, {}) }));
}

/**
 * How busy the bus will be, in percent of its time; above 100 the rates cannot be kept. Requests whose time on the wire
 * is unknown (0) count nothing.
 */
export function predictLoad(plans: readonly GroupPlan[]): number {
  let share = 0;
  for (const { group, requests } of plans) {
    for (const request of requests) share += request.wireMs / group.everyMs;
  }
  return share * 100;
}
