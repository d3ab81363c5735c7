import { formatDuration, formatSize } from "../../core/options/units.ts";
import { STREAMS } from "../../core/record.ts";
import { table } from "../table.ts";
import { describeWear } from "../wear.ts";
import { backlogOf, type StatusReport } from "./report.ts";

/** The report for people, as aligned tables. `nowMs` is Unix time. */
export function describeStatus(report: StatusReport, nowMs: number): string {
  const parts = [head(report), links(report, nowMs), queue(report), streams(report, nowMs), uplinks(report, nowMs)];
  return `${parts.filter((part) => part !== "").join("\n\n")}\n`;
}

function head(report: StatusReport): string {
  const health = report.health.ok ? "healthy" : `NOT HEALTHY: ${report.health.reasons.join("; ")}`;
  return `${report.gateway}  ${health}${report.clock === undefined ? "" : `, clock ${report.clock}`}`;
}

function links(report: StatusReport, nowMs: number): string {
  if (report.links.length === 0) return "";
  const rows = report.links.flatMap((link) => [
    [
      link.name,
      link.state,
      since(link.since, nowMs),
      link.loadPercent === undefined ? "" : `${link.loadPercent.toFixed(0)} %`,
      link.state === "connected" ? "" : (link.lastError ?? ""),
    ],
    ...link.devices.map((device) => {
      const { overruns, timeouts, errors } = device;
      const troubles = [told("overruns", overruns), told("timeouts", timeouts), told("errors", errors)];
      const note = troubles.filter((text) => text !== "").join(", ");
      return [`  ${device.name}`, device.state, since(device.since, nowMs), "", note];
    }),
  ]);
  return table([["LINK", "STATE", "SINCE", "LOAD", "NOTE"], ...rows]);
}

function queue(report: StatusReport): string {
  const { bytes, maxBytes, secondsToFull, secondsToDrain, dropped, quarantined } = report.queue;
  const facts = [
    `queue  ${formatSize(bytes)} of ${formatSize(maxBytes)} on disk`,
    secondsToFull === undefined ? "" : `full in ${formatDuration(secondsToFull * 1000)} at this rate`,
    secondsToDrain === undefined ? "" : `drained in ${formatDuration(secondsToDrain * 1000)}`,
    told("records dropped", dropped),
    told("segments in quarantine", quarantined),
  ];
  return facts.filter((text) => text !== "").join(", ");
}

function streams({ queue: { streams: held, wear } }: StatusReport, nowMs: number): string {
  const parts: string[] = [];
  if (held) {
    const rows = STREAMS.map((stream) => {
      const { segments, bytes, nextSeq, oldestWallMs } = held[stream];
      return [stream, String(segments), formatSize(bytes), nextSeq.toLocaleString("en-US"), since(oldestWallMs, nowMs)];
    });
    parts.push(table([["STREAM", "SEGMENTS", "BYTES", "NEXT SEQ", "OLDEST"], ...rows]));
  }
  if (wear) parts.push(describeWear(wear));
  return parts.join("\n\n");
}

function uplinks(report: StatusReport, nowMs: number): string {
  if (report.uplinks.length === 0) return "";
  const rows = report.uplinks.map((uplink) => {
    const debt = report.queue.uplinks.find((entry) => entry.name === uplink.name);
    const oldest = Math.min(
      debt?.streams.events.oldestWallMs ?? Number.POSITIVE_INFINITY,
      debt?.streams.telemetry.oldestWallMs ?? Number.POSITIVE_INFINITY,
    );
    return [
      uplink.name,
      uplink.state,
      since(uplink.sinceMs, nowMs),
      (backlogOf(report, uplink.name) ?? 0).toLocaleString("en-US"),
      Number.isFinite(oldest) ? formatDuration(Math.max(nowMs - oldest, 0)) : "",
      String(debt?.gapsPending ?? 0),
      uplink.alarm ?? (uplink.state === "connected" ? "" : (uplink.lastError ?? "")),
    ];
  });
  return table([["UPLINK", "STATE", "SINCE", "BACKLOG", "OLDEST", "GAPS", "NOTE"], ...rows]);
}

function since(ms: number | undefined, nowMs: number): string {
  return ms === undefined ? "" : formatDuration(Math.max(nowMs - ms, 0));
}

function told(name: string, value: number | undefined): string {
  return value === undefined || value === 0 ? "" : `${value.toLocaleString("en-US")} ${name}`;
}
