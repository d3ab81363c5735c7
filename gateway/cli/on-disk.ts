import { formatSize } from "../core/options/units.ts";

/** `queue  8 MiB of 8 GiB on disk, besides 32 MiB in reserve for when the disk is full`. What no stream has is the reserve. */
export function onDiskText(
  bytes: number,
  maxBytes: number,
  streams: Iterable<{ readonly bytes: number }> = [],
): string {
  const limit = maxBytes > 0 ? ` of ${formatSize(maxBytes)}` : "";
  const all = [...streams];
  const held = all.reduce((sum, stream) => sum + stream.bytes, 0);
  const reserve = all.length === 0 ? 0 : Math.max(0, bytes - held);
  const note = reserve === 0 ? "" : `, besides ${formatSize(reserve)} in reserve for when the disk is full`;
  return `queue  ${formatSize(bytes - reserve)}${limit} on disk${note}`;
}
