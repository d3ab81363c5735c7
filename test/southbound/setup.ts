import type { Device, Tag } from "../../gateway/core/driver.ts";
import type { Logger } from "../../gateway/core/log.ts";
import type { Metrics } from "../../gateway/core/metrics.ts";
import { Link } from "../../gateway/southbound/link.ts";
import type { LinkOptions } from "../../gateway/southbound/options.ts";
import type { Scan } from "../../gateway/southbound/scan.ts";
import { FakeWire } from "../fakes/fake-driver.ts";
import { VirtualTime } from "./virtual-time.ts";

export function tag(name: string, everyMs: number, more: Partial<Tag> = {}): Tag {
  return { name, everyMs, stream: "telemetry", type: "float64", options: {}, ...more };
}

export function device(name: string, tags: readonly Tag[]): Device {
  return { name, link: "line", topic: `plant/${name}`, tags, options: {} };
}

/** One log line, level and message. */
export interface Line {
  readonly level: string;
  readonly message: string;
  readonly fields: object;
}

/** A link on a fake wire in virtual time, with everything it gives written down. */
export function setup(devices: readonly Device[], options: Partial<LinkOptions> = {}) {
  const time = new VirtualTime();
  const wire = new FakeWire(time);
  const scans: Scan[] = [];
  const lines: Line[] = [];
  const numbers = new Map<string, number>();
  const faults: Error[] = [];
  const link = new Link({
    name: "line",
    driver: () => wire.driver(),
    devices,
    clock: time,
    log: recordingLogger(lines),
    metrics: recordingMetrics(numbers),
    emit: (scan) => scans.push(scan),
    onConfigError: (error) => faults.push(error),
    options: { timers: time, random: () => 0.5, ...options },
  });
  /** Scans of a device of which every sample is bad for this reason. */
  const allBad = (name: string, reason: string) =>
    scans.filter((scan) => scan.device.name === name && scan.samples.every((sample) => sample.reason === reason));
  const good = (name: string) =>
    scans.filter((scan) => scan.device.name === name && scan.samples.some((sample) => sample.quality === "good"));
  return { time, wire, scans, lines, numbers, faults, link, allBad, good };
}

function recordingLogger(lines: Line[]): Logger {
  const at = (level: string) => (fields: object, message: string) => lines.push({ level, message, fields });
  const log: Logger = {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    child: () => log,
  };
  return log;
}

function recordingMetrics(numbers: Map<string, number>): Metrics {
  const key = (name: string, labels: object = {}) => `${name} ${Object.values(labels).join(" ")}`;
  const add = (name: string) => ({
    inc: (labels?: object, by = 1) => numbers.set(key(name, labels), (numbers.get(key(name, labels)) ?? 0) + by),
  });
  return {
    counter: (name) => add(name),
    gauge: (name) => ({ set: (value, labels) => numbers.set(key(name, labels), value) }),
    histogram: (name) => ({ observe: (_value, labels) => add(`${name}_count`).inc(labels) }),
  };
}
