import { formatDuration, formatSize } from "../../core/options/units.ts";
import type { CheckReport, LinkReport } from "./report.ts";

/** Marks up words where the output is a terminal. */
export interface Paint {
  bold(text: string): string;
  dim(text: string): string;
  warn(text: string): string;
}

const code = (start: number) => (text: string) => `\u001b[${start}m${text}\u001b[0m`;
export const colour: Paint = { bold: code(1), dim: code(2), warn: code(33) };
export const plain: Paint = { bold: (text) => text, dim: (text) => text, warn: (text) => text };

/** The report for people: links with their request plans, uplinks, the buffer, warnings. Ends with a new line. */
export function printReport(report: CheckReport, paint: Paint, plan = false): string {
  const lines = [
    `${paint.bold(report.gateway)}  ${paint.dim(report.file)}`,
    ...brokerLines(report, paint),
    ...report.links.flatMap((link) => [
      "",
      ...linkLines(link, paint),
      ...profileLines(link, report),
      ...(plan ? planLines(link) : []),
    ]),
    "",
    ...report.uplinks.map(
      (uplink) => `uplink ${paint.bold(uplink.name)}  ${uplink.type}, selects ${uplink.select.join(" ")}`,
    ),
    bufferLine(report),
    diskLine(report),
    ...report.warnings.map((warning) => paint.warn(`warning: ${warning}`)),
    report.warnings.length === 0 ? "ok" : `ok, ${count(report.warnings.length, "warning")}`,
  ];
  return `${lines.join("\n")}\n`;
}

function brokerLines({ externalBroker: broker }: CheckReport, paint: Paint): string[] {
  if (broker === undefined) return [];
  const { urls, clientId, subscribes } = broker;
  const shown = subscribes.length > 8 ? [...subscribes.slice(0, 7), `and ${subscribes.length - 7} more`] : subscribes;
  const to = shown.length === 0 ? "nothing" : shown.join(" ");
  return ["", `local broker ${paint.bold(urls.join(", "))}  as ${clientId}, subscribes to ${to}`];
}

function linkLines(link: LinkReport, paint: Paint): string[] {
  const load = link.loadPercent === undefined ? "bus load unknown" : `bus load ${percent(link.loadPercent)}`;
  const head = `link ${paint.bold(link.name)}  ${link.driver}, ${count(link.devices, "device")}, ${count(link.tags, "tag")}, ${load}`;
  const rows = link.groups.flatMap((group, position) => {
    const device = link.groups[position - 1]?.device === group.device ? "" : group.device;
    const { requests, unasked, derived } = group;
    const asked = requests.map((request, index) => [
      index === 0 ? device : "",
      index === 0 ? `every ${formatDuration(group.everyMs)}` : "",
      index === 0 ? group.stream : "",
      request.label,
      count(request.tags.length, "tag"),
      request.busyMs === 0 ? "" : `${request.busyMs.toFixed(1)} ms`,
    ]);
    const others = [
      ["listens", unasked],
      ["derived", derived],
    ] as const;
    const rest = others
      .filter(([, tags]) => tags.length > 0)
      .map(([what, tags], index) => {
        const isFirst = asked.length === 0 && index === 0;
        const every = isFirst && what === "derived" ? `every ${formatDuration(group.everyMs)}` : "";
        return [isFirst ? device : "", every, group.stream, what, count(tags.length, "tag"), ""];
      });
    return [...asked, ...rest];
  });
  return [head, ...align(rows).map((row) => `  ${row}`)];
}

/** Where the tags of its devices come from, where that is a profile. */
function profileLines(link: LinkReport, { profiles }: CheckReport): string[] {
  const rows = profiles
    .filter((used) => used.link === link.name)
    .map(({ device, profile, origin, file, tags, of }) => [
      device,
      `profile ${profile}`,
      origin === "library" ? "of the library" : file,
      tags === of ? count(tags, "tag") : `${tags} of ${count(of, "tag")}`,
    ]);
  return align(rows).map((row) => `  ${row}`);
}

/** What one run of each scan group costs. */
function planLines({ groups }: LinkReport): string[] {
  const rows = groups.map(({ device, everyMs, tags, cost }) => [
    device,
    `every ${formatDuration(everyMs)}`,
    count(tags, "tag"),
    count(cost.requests, "request"),
    `${cost.addresses} read, ${cost.spare} for nothing`,
    `${cost.busyMs.toFixed(1)} ms`,
    percent(cost.percent),
  ]);
  const head = ["scan", "", "", "", "registers or bits", "bus time", "of the bus"];
  return rows.length === 0 ? [] : ["", ...align([head, ...rows]).map((row) => `  ${row}`)];
}

/** Columns two spaces apart; the last one is aligned to the right. */
function align(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_cell, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const last = widths.length - 1;
  return rows.map((row) =>
    row
      .map((cell, column) => (column === last ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0)))
      .join("  ")
      .trimEnd(),
  );
}

function bufferLine({ buffer }: CheckReport): string {
  const size = formatSize(buffer.maxBytes);
  if (buffer.seconds === undefined) return `buffer: ${size} on disk; nothing is scanned, captured messages fill it`;
  const rate = `${number(buffer.samplesPerSecond)} samples/s`;
  const each = `${number(buffer.recordsPerSecond)} records/s of about ${Math.round(buffer.bytesPerRecord)} bytes`;
  return `buffer: ${size} on disk, about ${long(buffer.seconds)} at ${rate} (${each})`;
}

function diskLine({ buffer }: CheckReport): string {
  const free = buffer.freeBytes === undefined ? "free space unknown" : `${formatSize(buffer.freeBytes)} free now`;
  return `disk: ${buffer.dataDir}, ${free}`;
}

/** Whole hours up to a week, then days: nobody plans with more digits. */
function long(seconds: number): string {
  const hours = seconds / 3600;
  if (hours < 2) return formatDuration(seconds * 1000);
  if (hours < 168) return `${Math.round(hours)} h`;
  return hours < 24 * 730 ? `${Math.round(hours / 24)} d` : `${Math.round(hours / 24 / 365)} years`;
}

function percent(value: number): string {
  return value < 0.1 ? "below 0.1 %" : `${value.toFixed(1)} %`;
}

function number(value: number): string {
  return String(value >= 10 ? Math.round(value) : Math.round(value * 10) / 10);
}

function count(n: number, word: string): string {
  return `${n} ${word}${n === 1 ? "" : "s"}`;
}
