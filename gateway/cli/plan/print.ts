import { formatDuration, formatSize } from "../../core/options/units.ts";
import { STREAMS } from "../../core/record.ts";
import { table } from "../table.ts";
import { describeCard } from "../wear.ts";
import { assumptions } from "./assumptions.ts";
import type { Loss } from "./book.ts";
import type { Plan } from "./model.ts";
import type { Outage } from "./outage.ts";
import { funnelLines, senderLines } from "./print-queueing.ts";
import { duration, number, percent, perDay, rate, size } from "./units.ts";

const MOST_FLOWS = 12;

/** The plan for people: tables and sentences. */
export function printPlan(plan: Plan): string {
  const parts = [
    `${plan.gateway}  ${plan.file}`,
    inLines(plan),
    lineLines(plan),
    uplinkLines(plan),
    bufferLines(plan),
    outageLines(plan),
    cardLines(plan),
    senderLines(plan.senders),
    funnelLines(plan.funnel),
    `Assumed\n${assumptions(plan)
      .map((text) => `  ${text}`)
      .join("\n")}`,
  ];
  return `${parts.filter((part) => part !== "").join("\n\n")}\n`;
}

function inLines({ flows, streams }: Plan): string {
  if (flows.length === 0) return "What comes in: nothing is scanned, and no rate was given (--captured, --rate)";
  const sorted = [...flows].sort((a, b) => b.flow.perSecond * b.diskBytes - a.flow.perSecond * a.diskBytes);
  const rows = sorted
    .slice(0, MOST_FLOWS)
    .map(({ flow, storedBytes, diskBytes }) => [
      flow.name,
      flow.stream,
      rate(flow.perSecond),
      flow.values === 0 ? "message" : number(flow.values),
      `${Math.round(storedBytes)} B`,
      `${size(flow.perSecond * diskBytes)}/s`,
      size(flow.perSecond * diskBytes * 86_400),
    ]);
  const left = sorted.length - rows.length;
  const sums = STREAMS.filter((stream) => streams[stream].recordsPerSecond > 0).map((stream) => {
    const { recordsPerSecond, storedPerSecond, diskPerSecond } = streams[stream];
    const each = `${Math.round(storedPerSecond / recordsPerSecond)} B`;
    const share = sorted.filter(({ flow }) => flow.stream === stream).length;
    return [
      `all of ${stream} (${share})`,
      stream,
      rate(recordsPerSecond),
      "",
      each,
      `${size(diskPerSecond)}/s`,
      size(diskPerSecond * 86_400),
    ];
  });
  const head = ["WHAT COMES IN", "STREAM", "RECORDS", "VALUES", "A RECORD", "ON DISK", "A DAY"];
  const more = left > 0 ? [[`and ${left} more`, "", "", "", "", "", ""]] : [];
  return table([head, ...rows, ...more, ...sums]);
}

function lineLines({ lines }: Plan): string {
  if (lines.length === 0) return "";
  const rows = lines.map(({ link, driver, requestsPerSecond, askedPercent, percent: load, kept }) => [
    link,
    driver,
    rate(requestsPerSecond),
    load === undefined ? "unknown" : percent(load),
    askedPercent !== undefined && askedPercent > 100
      ? `asked for ${percent(askedPercent)}: only ${percent(100 * kept)} of the scans are made`
      : "",
  ]);
  return table([["LINE", "DRIVER", "REQUESTS", "BUS LOAD", ""], ...rows]);
}

function uplinkLines({ uplinks }: Plan): string {
  if (uplinks.length === 0) return "No uplink: nothing is sent, and nothing is kept for anybody.";
  const rows = uplinks.map(({ name, type, format, recordsPerSecond, live }) => {
    const messages = recordsPerSecond * live.messages;
    const bytes = recordsPerSecond * live.bytes;
    return [
      name,
      `${type}, ${format}`,
      rate(recordsPerSecond),
      rate(messages),
      live.messages === 0 ? "" : `${Math.round(live.bytes / live.messages)} B`,
      `${size(bytes)}/s`,
      perDay(messages),
      size(bytes * 86_400),
    ];
  });
  return table([["UPLINK", "TYPE", "RECORDS", "MESSAGES", "A MESSAGE", "BYTES", "MESSAGES A DAY", "A DAY"], ...rows]);
}

function bufferLines({ buffer, uplinks }: Plan): string {
  const { capacity, maxBytes, reserve, boundBy, freeBytes, seconds } = buffer;
  const lines = [
    `Buffer: ${formatSize(maxBytes)} (queue.maxBytes), ${formatSize(reserve)} of it a reserve for when the disk is full; ` +
      `${formatSize(capacity)} for records, bound by ${boundBy}` +
      (freeBytes === undefined ? "" : ` (${formatSize(freeBytes)} free now)`),
    seconds === undefined
      ? "  lasts for ever: nothing comes in"
      : uplinks.length === 0
        ? "  never full: without an uplink nothing is kept"
        : `  full after ${duration(seconds)} with every uplink away`,
  ];
  const limited = uplinks.filter(({ maxBacklog }) => maxBacklog.bytes !== undefined || maxBacklog.age !== undefined);
  for (const { name, maxBacklog, byStream } of limited) {
    const stored = byStream.events.storedPerSecond + byStream.telemetry.storedPerSecond;
    const limits = [
      maxBacklog.bytes === undefined || stored === 0
        ? ""
        : `${formatSize(maxBacklog.bytes)} after ${duration(maxBacklog.bytes / stored)}`,
      maxBacklog.age === undefined ? "" : `an age of ${formatDuration(maxBacklog.age)}`,
    ];
    lines.push(`  ${name} is owed at most ${limits.filter((text) => text !== "").join(", and ")} (maxBacklog)`);
  }
  return lines.join("\n");
}

function outageLines({ outage, beyond, uplinks, settings }: Plan): string {
  const head = `An outage of ${duration(outage.seconds)}, all uplinks`;
  const rows = uplinks.map(({ name, recordsPerSecondAtMost, limitedBy, drainPerSecond, order }, at) => [
    name,
    Math.round(outage.owed[at] ?? 0).toLocaleString("en-US"),
    rate(recordsPerSecondAtMost),
    limitedBy,
    order,
    drainPerSecond > 0 ? rate(drainPerSecond) : "none",
    drainText(outage.drainSeconds[at]),
  ]);
  const columns = ["UPLINK", "OWED", "TAKES AT MOST", "LIMITED BY", "ORDER", "BACKLOG SHRINKS", "DRAINED AFTER"];
  const parts = [
    `${head}: ${formatSize(outage.diskBytes)} on disk at its end`,
    ...(rows.length === 0 ? [] : [indent(table([columns, ...rows]))]),
    ...lossLines(outage, beyond, settings.outageSeconds),
  ];
  return parts.join("\n");
}

function drainText(seconds: number | undefined): string {
  return seconds === undefined ? "never: more comes in than it takes" : duration(seconds);
}

function lossLines(outage: Outage, beyond: Outage, seconds: number): string[] {
  if (outage.losses.length > 0) return ["  Lost, in this order:", ...outage.losses.map(lossText)];
  const [first] = beyond.losses;
  if (first === undefined) return ["  Nothing is lost."];
  return [
    `  Nothing is lost in ${duration(seconds)}. What would go first in a longer one:`,
    ...beyond.losses.slice(0, 3).map(lossText),
  ];
}

function lossText({ stream, how, uplink, atSeconds, records, fromSeconds, toSeconds }: Loss, at: number): string {
  const who = uplink === undefined ? "" : ` for ${uplink} alone`;
  const taken = `taken ${duration(fromSeconds)} to ${duration(toSeconds)} after its beginning`;
  const many = Math.round(records).toLocaleString("en-US");
  return `  ${at + 1}. after ${duration(atSeconds)}: ${WORDS[how](stream)}${who}; ${many} records, ${taken}`;
}

const WORDS: Readonly<Record<Loss["how"], (stream: string) => string>> = {
  dropped: (stream) => `the oldest ${stream} is dropped and told as a gap`,
  refused: (stream) =>
    stream === "events"
      ? "new events are refused: local clients get no acknowledgement, scans are told as a gap"
      : "new telemetry is refused: scans are told as a gap",
  "maxBacklog.bytes": (stream) => `the oldest ${stream} is given up (maxBacklog.bytes)`,
  "maxBacklog.age": (stream) => `the oldest ${stream} is given up (maxBacklog.age)`,
};

function cardLines({ card }: Plan): string {
  const { bytesPerDay, fsyncsPerDay } = card;
  const written = `${size(bytesPerDay)} and ${number(fsyncsPerDay)} fsyncs a day`;
  return `Card: the queue writes ${written} while the uplinks are connected\n  ${describeCard(card)}`;
}

function indent(text: string): string {
  return text.replace(/^/gm, "  ");
}
