import { lstat } from "node:fs/promises";
import { dirname } from "node:path";
import type { BrokerOptions, CaptureOptions } from "../core/options/broker.ts";
import type { HttpOptions } from "../core/options/http.ts";
import type { QueueOptions } from "../core/options/queue.ts";
import type { TelemetryOptions } from "../core/options/telemetry.ts";
import { formatSize } from "../core/options/units.ts";
import { type Faults, type Path, pathText } from "./faults.ts";
import { LOOPBACK } from "./local-broker.ts";
import { checkFilter, overlap } from "./topics.ts";
import type { LoadedLink, LoadedUplink } from "./types.ts";

/** What schemas cannot say, because it concerns two places of the file or the machine. */

const MIN_SEGMENTS = 8;

export function checkPorts(broker: BrokerOptions | undefined, http: HttpOptions | undefined, faults: Faults): void {
  const taken: { readonly host: string; readonly port: number; readonly path: Path }[] = [];
  const claim = (host: string, port: number, path: Path): void => {
    const other = taken.find((item) => item.port === port && sameHost(item.host, host));
    if (port !== 0 && other !== undefined) {
      const line = faults.position(other.path).line;
      faults.add(
        path,
        `port ${port} is already taken by ${pathText(other.path.slice(0, -1))} (line ${line}); use another`,
      );
    }
    taken.push({ host, port, path });
  };
  for (const [index, { host, port }] of (broker?.external ? [] : (broker?.listeners ?? [])).entries()) {
    claim(host, port, ["broker", "listeners", index, "port"]);
  }
  if (http !== undefined) claim(http.host, http.port, ["http", "port"]);
}

/** Passwords and values do not cross a network in the clear. */
/** Traces name devices: they are nobody's business on the way. */
export function checkTelemetry(telemetry: TelemetryOptions | undefined, faults: Faults): void {
  const { endpoint } = telemetry?.otlp ?? {};
  if (endpoint === undefined) return;
  const path = ["telemetry", "otlp", "endpoint"];
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (!url) {
    faults.add(path, "is no URL; write one such as http://127.0.0.1:4318");
    return;
  }
  if (url.username !== "" || url.password !== "")
    faults.add(path, "a password does not belong here; let a collector on this machine hold it and pass traces on");
  if (url.protocol === "http:" && !LOOPBACK.test(url.hostname.replace(/^\[(.*)\]$/, "$1")))
    faults.warn(
      path,
      "traces cross the network in clear; use https, or a collector on this machine that passes them on",
    );
}

export function checkHttp(http: HttpOptions | undefined, faults: Faults): void {
  if (http === undefined || http.tls || LOOPBACK.test(http.host)) return;
  faults.add(
    ["http", "host"],
    `"${http.host}" is not loopback and there is no "tls"; add tls: { cert: FILE, key: FILE }, or use 127.0.0.1`,
  );
}

function sameHost(a: string, b: string): boolean {
  const any = (host: string): boolean => host === "0.0.0.0" || host === "::";
  const plain = (host: string): string => (host === "localhost" ? "127.0.0.1" : host);
  return any(a) || any(b) || plain(a) === plain(b);
}

export function checkCapture(capture: CaptureOptions, faults: Faults): void {
  for (const [index, rule] of capture.entries()) {
    for (const [i, filter] of rule.topics.entries()) checkFilter(filter, ["capture", index, "topics", i], faults);
  }
}

export function checkQueue(queue: QueueOptions, faults: Faults): void {
  const shares = (queue.shares?.events ?? 0) + (queue.shares?.telemetry ?? 0);
  if (shares > queue.maxBytes) {
    faults.add(
      ["queue", "shares"],
      `together ${formatSize(shares)}, more than "maxBytes" (${formatSize(queue.maxBytes)}); use smaller shares`,
    );
  }
  if (queue.maxBytes >= MIN_SEGMENTS * queue.segment) return;
  const least = formatSize(MIN_SEGMENTS * queue.segment);
  faults.add(
    ["queue", "maxBytes"],
    `${formatSize(queue.maxBytes)} is less than ${MIN_SEGMENTS} segments of ${formatSize(queue.segment)}; ` +
      `use at least ${least.replace(" ", "")}, or a smaller "segment"`,
  );
}

/** Whole segments are given up: a backlog of less than two would be empty now and then. */
export function checkBacklogs(uplinks: readonly LoadedUplink[], queue: QueueOptions, faults: Faults): void {
  for (const [index, { shared }] of uplinks.entries()) {
    const { bytes } = shared.maxBacklog;
    if (bytes === undefined || bytes >= 2 * queue.segment) continue;
    const least = formatSize(2 * queue.segment);
    faults.add(
      ["uplinks", index, "maxBacklog", "bytes"],
      `${formatSize(bytes)} is less than 2 segments of ${formatSize(queue.segment)}; ` +
        `use at least ${least.replace(" ", "")}, or a smaller "segment" in queue`,
    );
  }
}

/** What works, but is seldom meant. */
export function warnOfOddities(
  links: readonly LoadedLink[],
  uplinks: readonly LoadedUplink[],
  capture: CaptureOptions,
  faults: Faults,
): void {
  if (links.length === 0 && capture.length === 0)
    faults.warn([], "neither links nor capture: there is nothing to collect");
  if (uplinks.length === 0) faults.warn([], "no uplinks: records are kept until the queue is full, and sent nowhere");
  const topics = new Map<string, string>();
  for (const [i, link] of links.entries()) {
    for (const [j, device] of link.devices.entries()) {
      const other = topics.get(device.topic);
      if (other === undefined) topics.set(device.topic, device.name);
      else
        faults.warn(
          ["links", i, "devices", j, "topic"],
          `"${device.topic}" is the topic of ${other} too: both mix there`,
        );
    }
  }
  const sources = [...topics.keys(), ...capture.flatMap((rule) => rule.topics)];
  for (const [index, { shared }] of uplinks.entries()) {
    if (sources.length === 0 || shared.select.some((filter) => sources.some((source) => overlap(filter, source))))
      continue;
    faults.warn(["uplinks", index, "select"], "selects no device and no captured topic: nothing will be sent");
  }
}

/** The data folder is made when the gateway starts; what would make that impossible is said now. */
export async function checkDataDir(dataDir: string, faults: Faults): Promise<void> {
  const there = await nearest(dataDir);
  if (there.isFolder) return;
  const what = there.path === dataDir ? "is" : `lies below ${there.path}, which is`;
  faults.add(["gateway", "dataDir"], `${what} not a folder; name a folder on a disk that survives a restart`);
}

async function nearest(path: string): Promise<{ readonly path: string; readonly isFolder: boolean }> {
  const stats = await lstat(path).catch(() => undefined);
  if (stats !== undefined) return { path, isFolder: stats.isDirectory() || stats.isSymbolicLink() };
  const parent = dirname(path);
  return parent === path ? { path, isFolder: true } : nearest(parent);
}
