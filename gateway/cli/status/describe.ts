import { formatDuration, formatSize } from "../../core/options/units.ts";
import { STREAMS } from "../../core/record.ts";
import { onDiskText } from "../on-disk.ts";
import { table } from "../table.ts";
import { describeWear } from "../wear.ts";
import { backlogOf, type StatusReport } from "./report.ts";

/** The report for people, as aligned tables. `nowMs` is Unix time. */
export function describeStatus(report: StatusReport, nowMs: number): string {
  const parts = [
    head(report),
    broker(report, nowMs),
    links(report, nowMs),
    queue(report),
    streams(report, nowMs),
    uplinks(report, nowMs),
  ];
  return `${parts.filter((part) => part !== "").join("\n\n")}\n`;
}

function head(report: StatusReport): string {
  const health = report.health.ok ? "healthy" : `NOT HEALTHY: ${report.health.reasons.join("; ")}`;
  return `${report.gateway}  ${health}${report.clock === undefined ? "" : `, clock ${report.clock}`}`;
}

function broker({ broker: shown }: StatusReport, nowMs: number): string {
  if (shown?.external === undefined) return "";
  const { external, server, state = "", sinceMs, captured, pending, holding, sessionsLost, alarm, lastError } = shown;
  const trouble = alarm ?? (state === "connected" ? "" : (lastError ?? ""));
  const notes = [trouble, holding === true ? "the queue refuses" : "", told("sessions lost", sessionsLost)];
  return table([
    ["LOCAL BROKER", "STATE", "SINCE", "CAPTURED", "UNANSWERED", "NOTE"],
    [
      server ?? external[0] ?? "",
      state,
      since(sinceMs, nowMs),
      (captured ?? 0).toLocaleString("en-US"),
      String(pending ?? 0),
      notes.filter((text) => text !== "").join("; "),
    ],
  ]);
}

function links(report: StatusReport, nowMs: number): string {
  if (report.links.length === 0) return "";
  const rows = report.links.flatMap((link) => [
    [
      link.name,
      link.state,
      since(link.since, nowMs),
      load(link.loadPercent),
      link.state === "connected" ? "" : (link.lastError ?? ""),
    ],
    ...link.devices.map((device) => {
      const { overruns, timeouts, errors } = device;
      const troubles = [told("overruns", overruns), told("timeouts", timeouts), told("errors", errors)];
      const note = troubles.filter((text) => text !== "").join(", ");
      return [`  ${device.name}`, device.state, since(device.since, nowMs), load(device.loadPercent), note];
    }),
  ]);
  return table([["LINK", "STATE", "SINCE", "LOAD", "NOTE"], ...rows]);
}

function load(percent: number | undefined): string {
  return percent === undefined ? "" : `${percent.toFixed(0)} %`;
}

function queue(report: StatusReport): string {
  const { bytes, maxBytes, secondsToFull, secondsToDrain, dropped, quarantined, streams: held } = report.queue;
  const facts = [
    onDiskText(bytes, maxBytes, held && [held.events, held.telemetry]),
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
      noteOf(uplink),
    ];
  });
  return table([["UPLINK", "STATE", "SINCE", "BACKLOG", "OLDEST", "GAPS", "NOTE"], ...rows]);
}

function noteOf({ alarm, state, lastError, deadLetters }: StatusReport["uplinks"][number]): string {
  const trouble = alarm ?? (state === "connected" ? "" : (lastError ?? ""));
  return [trouble, told("dead letters", deadLetters?.records)].filter((text) => text !== "").join("; ");
}

function since(ms: number | undefined, nowMs: number): string {
  return ms === undefined ? "" : formatDuration(Math.max(nowMs - ms, 0));
}

function told(name: string, value: number | undefined): string {
  return value === undefined || value === 0 ? "" : `${value.toLocaleString("en-US")} ${name}`;
}
