import { formatSize } from "../core/options/units.ts";

/** `queue  40 MiB of 8 GiB on disk (32 MiB of it a reserve for when the disk is full)`. What no stream has is the reserve. */
export function onDiskText(
  bytes: number,
  maxBytes: number,
  streams: Iterable<{ readonly bytes: number }> = [],
): string {
  const limit = maxBytes > 0 ? ` of ${formatSize(maxBytes)}` : "";
  const all = [...streams];
  const kept = bytes - all.reduce((sum, stream) => sum + stream.bytes, 0);
  const note = all.length === 0 || kept <= 0 ? "" : ` (${formatSize(kept)} of it a reserve for when the disk is full)`;
  return `queue  ${formatSize(bytes)}${limit} on disk${note}`;
}
