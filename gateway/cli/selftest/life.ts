import type { LoadedConfig } from "../../config/types.ts";
import { parseSize } from "../../core/options/units.ts";
import { estimateBuffer } from "../check/estimate.ts";

/** What the queue does to a card all day. */
export interface Load {
  readonly name: string;
  readonly recordsPerSecond: number;
  /** Stored size. */
  readonly bytesPerRecord: number;
  /** How long a record may wait for its fsync. */
  readonly sync: "always" | number;
}

export interface CardLife {
  readonly load: string;
  readonly bytesPerDay: number;
  readonly years: number;
}

/** A 32 GB card of 300 erase cycles whose controller writes each byte four times. */
export const DEFAULT_ENDURANCE = "2.4TB";
/** What a small fsync writes to an ext4 device, where this one does not say (data block and journal). */
export const USUAL_BYTES_PER_FSYNC = 8500;

const SCANS_PER_SECOND = 10;
const SCAN_BYTES = 230;

/** The loads the estimate is given for; with a configuration also its own. */
export function loadsOf(config: LoadedConfig | undefined): Load[] {
  const scans = { recordsPerSecond: SCANS_PER_SECOND, bytesPerRecord: SCAN_BYTES };
  const loads: Load[] = [
    { name: `${SCANS_PER_SECOND} scans/s, sync 1s`, ...scans, sync: 1000 },
    { name: `${SCANS_PER_SECOND} scans/s, sync always`, ...scans, sync: "always" },
  ];
  if (config === undefined) return loads;
  const { recordsPerSecond, bytesPerRecord } = estimateBuffer(config);
  if (recordsPerSecond === 0) return loads;
  return [{ name: `${config.file}`, recordsPerSecond, bytesPerRecord, sync: config.queue.sync }, ...loads];
}

/** Each record once, each fsync with what it writes beside, and one fsync a second for the cursors. */
export function cardLife(load: Load, bytesPerFsync: number, enduranceBytes: number): CardLife {
  const { recordsPerSecond, bytesPerRecord, sync } = load;
  const fsyncs = sync === "always" ? recordsPerSecond : Math.min(recordsPerSecond, 1000 / sync);
  const cursors = Math.min(recordsPerSecond, 1);
  const bytesPerDay = 86_400 * (recordsPerSecond * bytesPerRecord + (fsyncs + cursors) * bytesPerFsync);
  return { load: load.name, bytesPerDay, years: enduranceBytes / bytesPerDay / 365 };
}

/** `10TB`, as data sheets give it, beside the sizes of the configuration; undefined when it is none. */
export function parseEndurance(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)(TB|TiB|PB)$/.exec(text);
  if (!match) return parseSize(text) || undefined;
  const unit = { TB: 1e12, TiB: 1024 ** 4, PB: 1e15 }[match[2] ?? ""] ?? Number.NaN;
  return Number(match[1]) * unit || undefined;
}
