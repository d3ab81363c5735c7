import { setTimeout as pause } from "node:timers/promises";
import { z } from "zod";
import { messageOf } from "../../core/errors.ts";
import { type CliIo, EXIT } from "../io.ts";
import { backlogOf, type StatusReport, statusReport } from "../status/report.ts";
import { fetchJson, gatewayOf } from "../status.ts";
import { table } from "../table.ts";
import type { Card, Writes } from "./card.ts";
import { type Counters, parseMetrics, sumOf } from "./metrics-text.ts";
import type { Plan } from "./model.ts";
import type { UplinkLoad } from "./types.ts";
import { duration, percent, rate, size } from "./units.ts";

export interface LiveOptions {
  readonly config: string | undefined;
  readonly url: string | undefined;
  readonly forMs: number;
  readonly json: boolean;
}

/** One quantity, as planned and as measured; `error` in percent of what was measured. */
export interface Compared {
  readonly what: string;
  readonly unit: "per second" | "bytes per second" | "percent" | "seconds";
  readonly predicted: number;
  readonly measured: number;
  readonly error?: number;
}

/** What a running gateway says at one moment. */
export interface Look {
  readonly atMs: number;
  readonly status: StatusReport;
  readonly counters: Counters;
}

/** The plan beside what the running gateway does; resolves with a sysexits code. */
export async function compareLive(plan: Plan, options: LiveOptions, io: CliIo): Promise<number> {
  const { base } = await gatewayOf(options, io);
  if (!base.startsWith("http:")) {
    io.err(`millrace plan: --live reads metrics over plain HTTP on loopback, and http of this gateway speaks TLS\n`);
    return EXIT.unavailable;
  }
  let [before, after]: Look[] = [];
  try {
    before = await look(base, io.signal);
    if (before === undefined) return notOurs(base, io);
    if (before.status.gateway !== plan.gateway)
      io.err(
        `millrace plan: the gateway at ${base} is ${before.status.gateway}, the configuration is of ${plan.gateway}\n`,
      );
    if (!options.json) io.err(`measuring for ${duration(options.forMs / 1000)} ...\n`);
    await pause(options.forMs, undefined, { signal: io.signal });
    after = await look(base, io.signal);
  } catch (error) {
    if (io.signal.aborted) return EXIT.unavailable;
    io.err(`millrace plan: no gateway answers at ${base}: ${messageOf(error)}\n`);
    return EXIT.unavailable;
  }
  if (after === undefined) return notOurs(base, io);
  const compared = compare(plan, before, after);
  io.out(
    options.json
      ? `${JSON.stringify({ gateway: plan.gateway, compared }, null, 2)}\n`
      : printCompared(plan, compared, before.status),
  );
  return EXIT.ok;
}

function notOurs(base: string, io: CliIo): number {
  io.err(`millrace plan: what answers at ${base} is not a millrace gateway\n`);
  return EXIT.unavailable;
}

async function look(base: string, signal: AbortSignal): Promise<Look | undefined> {
  const [json, response] = await Promise.all([
    fetchJson(new URL("/status", base), signal),
    fetch(new URL("/metrics", base), { signal: AbortSignal.any([signal, AbortSignal.timeout(5_000)]) }),
  ]);
  const status = statusReport.safeParse(json);
  if (!status.success || !response.ok) return undefined;
  return { atMs: performance.now(), status: status.data, counters: parseMetrics(await response.text()) };
}

const written = z.looseObject({
  streams: z.looseObject({
    events: z.looseObject({ nextSeq: z.number() }),
    telemetry: z.looseObject({ nextSeq: z.number() }),
  }),
});

/** What the plan says beside what happened between two looks. */
export function compare(plan: Plan, before: Look, after: Look): Compared[] {
  const seconds = (after.atMs - before.atMs) / 1000;
  const grown = (name: string, labels: Readonly<Record<string, string>> = {}) =>
    (sumOf(after.counters, name, labels) - sumOf(before.counters, name, labels)) / seconds;
  const { streams, lines, uplinks, card } = plan;
  const records = streams.events.recordsPerSecond + streams.telemetry.recordsPerSecond;
  const seqs = (seqsOf(after.status) - seqsOf(before.status)) / seconds;
  const writes = writesNow(card, after.status);
  const rows: Compared[] = [
    row(TAKEN, "per second", records, seqs),
    row(
      "written to disk",
      "bytes per second",
      writes.bytesPerDay / 86_400,
      grown("millrace_queue_written_bytes_total"),
    ),
    row("fsyncs", "per second", writes.fsyncsPerDay / 86_400, grown("millrace_queue_fsyncs_total")),
  ];
  for (const { link, percent: load, requestsPerSecond } of lines) {
    rows.push(row(`${link}: requests`, "per second", requestsPerSecond, grown("millrace_requests_total", { link })));
    const busy = (100 * grown("millrace_link_busy_seconds_total", { link })) / concurrencyOf(plan, link);
    if (load !== undefined) rows.push(row(`${link}: bus load`, "percent", load, busy));
  }
  for (const uplink of uplinks) rows.push(...uplinkRows(uplink, before, after, grown, seconds));
  const away = uplinks.some(({ name }) => !isConnected(after.status, name));
  const { secondsToFull, bytes } = after.status.queue;
  if (away && secondsToFull !== undefined)
    rows.push(row("buffer is full in", "seconds", secondsLeft(plan, bytes), secondsToFull));
  return rows;
}

/** Without what is written for uplinks that are away. */
function writesNow(card: Card, status: StatusReport): Writes {
  let { bytesPerDay, fsyncsPerDay }: Writes = card;
  for (const [name, own] of Object.entries(card.uplinks)) {
    if (isConnected(status, name)) continue;
    bytesPerDay -= own.bytesPerDay;
    fsyncsPerDay -= own.fsyncsPerDay;
  }
  return { bytesPerDay, fsyncsPerDay };
}

function uplinkRows(
  { name, recordsPerSecond, drainPerSecond }: UplinkLoad,
  before: Look,
  after: Look,
  grown: (metric: string, labels: Readonly<Record<string, string>>) => number,
  seconds: number,
): Compared[] {
  const [then, now] = [before, after].map(({ status }) => backlogOf(status, name) ?? 0);
  const connected = isConnected(after.status, name);
  // More than what is on its way: it catches up.
  const behind = (then ?? 0) > 2 * Math.max(recordsPerSecond, 50);
  const growth = connected ? (behind ? -drainPerSecond : 0) : recordsPerSecond;
  const acked = grown("millrace_uplink_records_total", { uplink: name, result: "acked" });
  return [
    row(`${name}: records acknowledged`, "per second", recordsPerSecond - growth, acked),
    row(`${name}: backlog grows`, "per second", growth, ((now ?? 0) - (then ?? 0)) / seconds),
  ];
}

function isConnected(status: StatusReport, name: string): boolean {
  return status.uplinks.some((uplink) => uplink.name === name && uplink.state === "connected");
}

function secondsLeft({ buffer, streams }: Plan, bytes: number): number {
  const perSecond = streams.events.diskPerSecond + streams.telemetry.diskPerSecond;
  return Math.max(0, buffer.capacity + buffer.reserve - bytes) / perSecond;
}

function seqsOf(status: StatusReport): number {
  const streams = written.safeParse(status.queue).data?.streams;
  return streams === undefined ? 0 : streams.events.nextSeq + streams.telemetry.nextSeq;
}

function concurrencyOf({ lines }: Plan, link: string): number {
  return lines.find((line) => line.link === link)?.concurrency ?? 1;
}

function row(what: string, unit: Compared["unit"], predicted: number, measured: number): Compared {
  // Against nothing there is no percentage.
  const error = measured === 0 || predicted === 0 ? undefined : 100 * (predicted / measured - 1);
  return { what, unit, predicted, measured, ...(error === undefined ? {} : { error }) };
}

function printCompared(plan: Plan, compared: readonly Compared[], { health }: StatusReport): string {
  const rows = compared.map(({ what, unit, predicted, measured, error }) => [
    what,
    shown(unit, predicted),
    shown(unit, measured),
    error === undefined ? "" : `${error >= 0 ? "+" : ""}${error.toFixed(1)} %`,
  ]);
  return [
    table([["", "PREDICTED", "MEASURED", "ERROR"], ...rows]),
    ...notesOf(plan, compared),
    ...(health.ok ? [] : [`The gateway is not healthy: ${health.reasons.join("; ")}`]),
    "",
  ].join("\n");
}

/** Why the plan may be far off, where it is. */
function notesOf({ deadbanded, settings }: Plan, compared: readonly Compared[]): string[] {
  const taken = compared.find(({ what }) => what === TAKEN);
  if (taken?.error === undefined || Math.abs(taken.error) < 10) return [];
  const percentage = percent(100 * settings.change);
  return [
    deadbanded > 0
      ? `${deadbanded} tags have a deadband and were taken to move beyond it at ${percentage} of the readings: try another --change.`
      : "Is a device away, or does it refuse tags? See millrace status and millrace requests.",
  ];
}

const TAKEN = "records taken";

function shown(unit: Compared["unit"], value: number): string {
  if (unit === "percent") return percent(value);
  if (unit === "bytes per second") return `${size(value)}/s`;
  return unit === "seconds" ? duration(value) : value < 0 ? `-${rate(-value)}` : rate(value);
}
