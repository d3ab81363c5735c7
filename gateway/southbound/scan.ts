import type { Instant } from "../core/clock.ts";
import type { Device, Tag } from "../core/driver.ts";
import type { StreamName } from "../core/record.ts";
import type { Sample } from "../core/sample.ts";

/** Tags of one device with the same `every` and the same stream: the unit of collection. */
export interface ScanGroup {
  readonly device: Device;
  /** Names the group within its device: `1000ms`, or `200ms-events` in the events stream. Stable while tags change. */
  readonly name: string;
  readonly stream: StreamName;
  readonly everyMs: number;
  /** Also those that are derived. */
  readonly tags: readonly Tag[];
}

/**
 * What one run of a scan group gave, after deadband: only the samples that are due, at least one. Besides real scans,
 * one with every tag `bad` is given for each group of a device when it stops answering (`timeout`) or when its link
 * goes down (`link down`), and again once a minute while that lasts.
 */
export interface Scan {
  readonly device: Device;
  /** `ScanGroup.name`. */
  readonly group: string;
  readonly stream: StreamName;
  readonly everyMs: number;
  /** When the last reply of the scan was in. Each sample has its own time. */
  readonly taken: Instant;
  /** Monotonic milliseconds at which the run's first request was due on the wire; undefined where nothing was asked. */
  readonly beganMs?: number | undefined;
  readonly samples: readonly Sample[];
  /** Every tag of the group, whether it has a sample here or not. */
  readonly tags: readonly Tag[];
  /** Somebody waits until this is on disk: told once, with an error where it is not and the device may say it again. */
  readonly stored?: (error?: Error) => void;
}

/** The scan groups of a device, fastest first. */
export function scanGroups(device: Device): ScanGroup[] {
  const groups = new Map<string, { stream: StreamName; everyMs: number; tags: Tag[] }>();
  for (const tag of [...device.tags, ...(device.derived ?? [])]) {
    const name = tag.stream === "telemetry" ? `${tag.everyMs}ms` : `${tag.everyMs}ms-${tag.stream}`;
    const group = groups.get(name);
    if (group) group.tags.push(tag);
    else groups.set(name, { stream: tag.stream, everyMs: tag.everyMs, tags: [tag] });
  }
  return [...groups].map(([name, group]) => ({ device, name, ...group })).sort((a, b) => a.everyMs - b.everyMs);
}
