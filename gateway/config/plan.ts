import type { Clock } from "../core/clock.ts";
import { isDerived } from "../core/derived.ts";
import type { Device, Driver, DriverContext, Tag } from "../core/driver.ts";
import { ConfigError } from "../core/errors.ts";
import type { LearntStore } from "../core/learnt.ts";
import { silentLogger } from "../core/log.ts";
import { noMetrics } from "../core/metrics.ts";
import type { Faults, Path } from "./faults.ts";
import type { LinkDraft } from "./links.ts";
import type { LoadedLink, ScanGroup } from "./types.ts";

/** A driver is only made to plan; it is never connected, so that its clock is never read. */
const noClock: Clock = { bootId: "", now: () => ({ wallMs: 0, monoMs: 0, clock: "unsynced" }) };

/** Plans every scan group of a link, without I/O. Adds what the driver objects to; then the result is undefined. */
export async function planLink(
  draft: LinkDraft,
  faults: Faults,
  learnt?: LearntStore,
): Promise<LoadedLink | undefined> {
  const context: DriverContext = {
    link: draft.name,
    clock: noClock,
    log: silentLogger,
    metrics: noMetrics,
    ...(learnt && { learnt }),
  };
  const driver = makeDriver(draft, context, faults);
  if (driver === undefined) return undefined;
  const groups = draft.devices.flatMap((device, index) =>
    scanGroups(device).map((group) => planGroup(driver, group, [...draft.path, "devices", index], faults)),
  );
  const { concurrency } = driver;
  await driver.close();
  const planned = groups.filter((group) => group !== undefined);
  if (planned.length < groups.length) return undefined;
  const { name, options, devices, recorder } = draft;
  return { name, driver: draft.driver, options, devices, recorder, groups: planned, concurrency };
}

function makeDriver(draft: LinkDraft, context: DriverContext, faults: Faults): Driver | undefined {
  try {
    return draft.driver.create(draft.options, context);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    faults.add(draft.path, error.message);
    return undefined;
  }
}

/** Tags of a device with the same `every` and the same stream are read together. */
function scanGroups(device: Device): Omit<ScanGroup, "requests">[] {
  const groups = new Map<string, Tag[]>();
  for (const tag of [...device.tags, ...(device.derived ?? [])]) {
    const key = `${tag.everyMs} ${tag.stream}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [tag]);
    else group.push(tag);
  }
  return [...groups.values()].flatMap((all) => {
    const first = all[0];
    if (first === undefined) return [];
    const [tags, derived] = [all.filter((tag) => !isDerived(tag)), all.filter(isDerived)];
    return [{ device, everyMs: first.everyMs, stream: first.stream, tags, derived }];
  });
}

function planGroup(
  driver: Driver,
  group: Omit<ScanGroup, "requests">,
  path: Path,
  faults: Faults,
): ScanGroup | undefined {
  try {
    return { ...group, requests: group.tags.length === 0 ? [] : driver.plan(group.device, group.tags, {}) };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    faults.add(tagPath(group.device, error.message, path), error.message);
    return undefined;
  }
}

/** `plan` names the tag in its message: that is where the fault is. */
function tagPath(device: Device, message: string, path: Path): Path {
  const index = device.tags.findIndex(({ name }) => message.includes(`"${name}"`));
  return index < 0 ? path : [...path, "tags", index];
}

/** Percent of a link's time that its scans keep the wire busy; undefined where the driver cannot predict it. */
export function busLoad(link: Pick<LoadedLink, "groups" | "concurrency">): number | undefined {
  let busy = 0;
  for (const { everyMs, requests } of link.groups) {
    for (const { wireMs, busyMs = wireMs } of requests) busy += busyMs / everyMs;
  }
  return busy === 0 ? undefined : (100 * busy) / link.concurrency;
}
