import type { StoreStats } from "../../core/inspect.ts";
import { formatDuration, formatSize } from "../../core/options/units.ts";
import { epochText, STREAMS } from "../../core/record.ts";
import { onDiskText } from "../on-disk.ts";
import { table } from "../table.ts";
import { describeWear } from "../wear.ts";

/** `queue stats` for people. */
export function describeStats(stats: StoreStats): string {
  const parts = [head(stats), streams(stats), uplinks(stats), stats.wear ? describeWear(stats.wear) : ""];
  if (!stats.running) parts.push("Stopped: there are no rates, and nothing is counted since a start.");
  return `${parts.filter((part) => part !== "").join("\n\n")}\n`;
}

function head(stats: StoreStats): string {
  const { bytes, maxBytes, secondsToFull, dropped, quarantine, healthy } = stats;
  const facts = [
    onDiskText(bytes, maxBytes, Object.values(stats.streams)),
    secondsToFull === undefined ? "" : `full in ${formatDuration(secondsToFull * 1000)} at this rate`,
    dropped === 0 ? "" : `${count(dropped)} records dropped since the start`,
    quarantine.segments === 0 ? "" : `${quarantine.segments} segments in quarantine (${formatSize(quarantine.bytes)})`,
    stats.unclean === true ? "not stopped cleanly: the next start tells what that cost" : "",
    healthy ? "" : "THE DISK REFUSES WRITES",
  ];
  return facts.filter((text) => text !== "").join(", ");
}

function streams({ streams: all, now }: StoreStats): string {
  const rows = STREAMS.map((stream) => {
    const { segments, bytes, nextSeq, epoch, oldestWallMs } = all[stream];
    return [stream, String(segments), formatSize(bytes), count(nextSeq), epochText(epoch), age(oldestWallMs, now)];
  });
  return table([["STREAM", "SEGMENTS", "BYTES", "NEXT SEQ", "EPOCH", "OLDEST"], ...rows]);
}

function uplinks({ uplinks: all, now, running }: StoreStats): string {
  if (all.length === 0) return "no uplink has been seen";
  const rows = all.flatMap((uplink) => {
    const gone = uplink.configured === false;
    const drain = uplink.secondsToDrain === undefined ? "never, at this rate" : within(uplink.secondsToDrain);
    const note = gone ? "not in the configuration; millrace queue forget frees it" : "";
    const sums = [count(uplink.gapsPending), count(uplink.lost ?? 0), running ? drain : "", note];
    return STREAMS.map((stream, index) => {
      const { depth, bytes, oldestWallMs, lastTaken, lastAcked } = uplink.streams[stream];
      const debt = [stream, count(depth), formatSize(bytes), age(oldestWallMs, now)];
      const seqs = gone ? ["", ""] : [count(lastTaken), count(lastAcked)];
      return [index === 0 ? uplink.name : "", ...debt, ...seqs, ...(index === 0 ? sums : [])];
    });
  });
  const titles = [
    "UPLINK",
    "STREAM",
    "OWED",
    "BYTES",
    "OLDEST",
    "TAKEN",
    "ACKED",
    "GAPS",
    "LOST",
    "DRAINED IN",
    "NOTE",
  ];
  return table([titles, ...rows]);
}

function within(seconds: number): string {
  return seconds === 0 ? "is empty" : formatDuration(seconds * 1000);
}

function age(wallMs: number | undefined, now: number): string {
  return wallMs === undefined ? "" : formatDuration(Math.max(0, now - wallMs));
}

function count(value: number): string {
  return value.toLocaleString("en-US");
}
