import { formatSize } from "../../core/options/units.ts";
import { inMemory } from "./mount.ts";
import { formatCount, formatMs } from "./numbers.ts";
import type { Report } from "./verdict.ts";

const MEANING = {
  good: "use it",
  slow: "it keeps everything, but is slow",
  bad: "do not use it for the data folder",
} as const;

/** The report for people. */
export function describeReport(report: Report): string {
  const { disk, fsync, kills } = report;
  const lines = [
    `disk    ${disk.type} on ${disk.mountPoint} (${disk.source}), ${formatSize(disk.freeBytes)} free; ${disk.options.join(",")}`,
  ];
  if (fsync) {
    const { p50Ms, p99Ms, maxMs, count } = fsync;
    const figures = `p50 ${formatMs(p50Ms)}, p99 ${formatMs(p99Ms)}, max ${formatMs(maxMs)}`;
    lines.push(`fsync   ${figures}  (200 bytes appended, ${formatCount(count)} times)`);
  }
  for (const [index, { atOnce, perSecond, latency }] of report.rates.entries()) {
    const rate = `${formatCount(perSecond)} records/s`.padStart(18);
    lines.push(
      `${index === 0 ? "queue" : ""}`.padEnd(8) +
        `${`${atOnce}`.padStart(4)} at once ${rate}   acknowledged p50 ${formatMs(latency.p50Ms)}, p99 ${formatMs(latency.p99Ms)}`,
    );
  }
  if (kills) lines.push(...killLines(kills));
  lines.push(...lifeLines(report));
  for (const warning of report.warnings) lines.push("", `Warning: ${warning}`);
  lines.push("", `Verdict: ${report.verdict.toUpperCase()} - ${meaning(report)}`);
  for (const reason of report.reasons) lines.push(`  ${reason}`);
  return `${lines.join("\n")}\n`;
}

function meaning({ verdict, warnings, disk }: Report): string {
  const text = MEANING[verdict];
  if (verdict === "bad" || warnings.length === 0) return text;
  if (inMemory(disk)) return "against a kill; it is no home for the data folder";
  return `${text}, but mind the ${warnings.length === 1 ? "warning" : `${warnings.length} warnings`}`;
}

function killLines(kills: NonNullable<Report["kills"]>): string[] {
  if (kills.cycles === 0) return ["kills   none made: whether acknowledged records survive was not tested"];
  const { acknowledged, lost, changed, outOfOrder, duplicates } = kills;
  const ended = `${kills.cycles} ${kills.cycles === 1 ? "kill" : "kills"} (SIGKILL, seed ${kills.seed})`;
  const sent = `${acknowledged.toLocaleString("en-GB")} records acknowledged`;
  return [
    `kills   ${ended}, ${sent}`,
    `        ${lost} lost, ${changed} changed, ${outOfOrder} out of order, ${duplicates} delivered twice`,
  ];
}

function lifeLines({ life, bytesPerFsync, measured, enduranceBytes }: Report): string[] {
  if (life.length === 0) return [];
  const how = measured ? "measured, what others wrote meanwhile included" : "the usual; this disk does not say";
  const width = Math.max(...life.map(({ load }) => load.length));
  return [
    `card    ${formatSize(bytesPerFsync)} reach the device per fsync (${how}); made for ${formatBytes(enduranceBytes)} written`,
    ...life.map(
      ({ load, bytesPerDay, years }) =>
        `        ${load.padEnd(width)}  ${formatBytes(bytesPerDay)} a day: ${formatYears(years)}`,
    ),
  ];
}

/** As card makers count. */
function formatBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(bytes) / 3)));
  const value = bytes / 1000 ** power;
  return `${value < 10 ? Math.round(value * 10) / 10 : Math.round(value)} ${units[power]}`;
}

function formatYears(years: number): string {
  if (years > 50) return "more than 50 years";
  if (years >= 2) return `${Math.round(years * 10) / 10} years`;
  return years >= 0.2 ? `${Math.round(years * 12)} months` : `${Math.max(1, Math.round(years * 365))} days`;
}
