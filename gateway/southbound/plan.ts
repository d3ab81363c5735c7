import { isDerived } from "../core/derived.ts";
import type { Device, Driver, Request, Tag } from "../core/driver.ts";
import { type ScanGroup, scanGroups } from "./scan.ts";

/** A scan group and the wire transactions that one run of it costs. */
export interface GroupPlan {
  readonly group: ScanGroup;
  readonly requests: readonly Request[];
  /** Between two runs: makes the plan anew where the driver has learnt something. */
  refresh?(): void;
  /** What its driver has learnt about the device. */
  learnt?(): unknown;
}

/** A plan that follows what its driver learns. */
class LivePlan implements GroupPlan {
  readonly group: ScanGroup;
  readonly #driver: Planning;
  readonly #tags: readonly Tag[];
  #revision: number | undefined;
  #requests: readonly Request[];

  constructor(driver: Planning, group: ScanGroup) {
    this.group = group;
    this.#driver = driver;
    this.#tags = group.tags.filter((tag) => !isDerived(tag));
    this.#revision = driver.revision?.(group.device);
    this.#requests = this.#plan();
  }

  get requests(): readonly Request[] {
    return this.#requests;
  }

  refresh(): void {
    const revision = this.#driver.revision?.(this.group.device);
    if (revision === this.#revision) return;
    this.#revision = revision;
    this.#requests = this.#plan();
  }

  #plan(): readonly Request[] {
    return this.#tags.length === 0 ? [] : this.#driver.plan(this.group.device, this.#tags, {});
  }

  learnt(): unknown {
    return this.#driver.learnt?.(this.group.device);
  }
}

type Planning = Pick<Driver, "plan" | "revision" | "learnt">;

/**
 * Plans every scan group of a link. No I/O, so `check` uses it on a driver that is never connected.
 * @throws ConfigError naming the tag.
 */
export function planLink(driver: Planning, devices: readonly Device[]): GroupPlan[] {
  return devices.flatMap(scanGroups).map((group) => new LivePlan(driver, group));
}

/**
 * How busy the bus will be, in percent of its time; above 100 the rates cannot be kept. Requests whose time on the wire
 * is unknown (0) count nothing.
 */
export function predictLoad(plans: readonly GroupPlan[]): number {
  let share = 0;
  for (const { group, requests } of plans) {
    for (const request of requests) share += (request.busyMs ?? request.wireMs) / group.everyMs;
  }
  return share * 100;
}
