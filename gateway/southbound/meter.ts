import type { Request } from "../core/driver.ts";
import {
  type Counter,
  type CounterRow,
  counterRow,
  type Gauge,
  type Histogram,
  type HistogramRow,
  histogramRow,
  type Labels,
  type Metrics,
} from "../core/metrics.ts";

const REPLY_SECONDS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5];
const BUCKET_MS = 5_000;
const WINDOW_MS = 60_000;

/** A mean moves by this part of the way to each new value. */
const SMOOTH = 1 / 16;

/** How long a request took, from its beginning to its answer. */
export interface Took {
  answers: number;
  lastMs: number;
  /** Of about the last 16. */
  meanMs: number;
  mostMs: number;
}

/** Since the start of the link. */
export interface Counts {
  requests: number;
  scans: number;
  overruns: number;
  timeouts: number;
  errors: number;
}

/** What a link counts: into the metrics, for `status`, and for the summary of each minute. */
export class Meter {
  readonly #link: string;
  readonly #instruments: Instruments;
  readonly #devices = new Map<string, Counts>();
  readonly #load = new Map<number, Map<string, number>>();
  readonly #took = new WeakMap<Request, Took>();
  readonly #rowsOf = new Map<string, Rows>();
  readonly #startMs: number;
  #minute: Counts = zero();

  /** `startMs`: monotonic time of the start of the link. */
  constructor(link: string, instruments: Instruments, startMs: number) {
    this.#link = link;
    this.#instruments = instruments;
    this.#startMs = startMs;
  }

  connected(up: boolean): void {
    this.#instruments.connected.set(up ? 1 : 0, { link: this.#link });
    if (up) this.#instruments.connects.inc({ link: this.#link });
  }

  online(device: string, up: boolean): void {
    this.#instruments.online.set(up ? 1 : 0, this.#rows(device).labels);
  }

  scan(device: string): void {
    this.#count(device, "scans", 1);
    this.#rows(device).scans.inc();
  }

  overruns(device: string, missed: number): void {
    if (missed === 0) return;
    this.#count(device, "overruns", missed);
    this.#rows(device).overruns.inc(missed);
  }

  timeout(device: string): void {
    this.#count(device, "timeouts", 1);
    this.#rows(device).timeouts.inc();
  }

  error(device: string): void {
    this.#count(device, "errors", 1);
    this.#rows(device).errors.inc();
  }

  written(device: string, values: number): void {
    this.#rows(device).writes.inc(values);
  }

  reply(device: string, ms: number): void {
    this.#rows(device).reply.observe(ms / 1000);
  }

  /** A request of the plan was answered. */
  took(request: Request, ms: number): void {
    const took = this.#took.get(request);
    if (!took) {
      this.#took.set(request, { answers: 1, lastMs: ms, meanMs: ms, mostMs: ms });
      return;
    }
    took.answers++;
    took.lastMs = ms;
    took.meanMs += (ms - took.meanMs) * Math.max(SMOOTH, 1 / took.answers);
    took.mostMs = Math.max(ms, took.mostMs);
  }

  /** Nothing where it was not answered yet, or was planned anew since. */
  tookOf(request: Request): Readonly<Took> | undefined {
    return this.#took.get(request);
  }

  /** The wire was in use for a call that ended at `nowMs`, with an answer or without. */
  busy(device: string, ms: number, nowMs: number): void {
    this.#count(device, "requests", 1);
    const { requests, busy } = this.#rows(device);
    requests.inc();
    busy.inc(ms / 1000);
    const bucket = Math.floor(nowMs / BUCKET_MS);
    const before = this.#load.get(bucket);
    const byDevice = before ?? new Map<string, number>();
    byDevice.set(device, (byDevice.get(device) ?? 0) + ms);
    if (before) return;
    this.#load.set(bucket, byDevice);
    for (const old of this.#load.keys()) {
      if (old * BUCKET_MS < nowMs - WINDOW_MS) this.#load.delete(old);
    }
  }

  /**
   * Percent of the last minute in which the wire was in use, of what `concurrency` calls at once could use.
   * @param device for this one alone; without it for all.
   */
  loadPercent(nowMs: number, concurrency: number, device?: string): number {
    const first = Math.ceil((nowMs - WINDOW_MS) / BUCKET_MS);
    let busyMs = 0;
    for (const [bucket, byDevice] of this.#load) {
      if (bucket < first) continue;
      if (device !== undefined) busyMs += byDevice.get(device) ?? 0;
      else for (const ms of byDevice.values()) busyMs += ms;
    }
    const overMs = nowMs - Math.max(this.#startMs, first * BUCKET_MS);
    return overMs <= 0 ? 0 : Math.min(100, (100 * busyMs) / (overMs * concurrency));
  }

  /** Makes the load of the last minute visible, per link and device. */
  showLoad(nowMs: number, concurrency: number, devices: readonly string[]): void {
    const { linkBusy, deviceBusy } = this.#instruments;
    linkBusy.set(this.loadPercent(nowMs, concurrency) / 100, { link: this.#link });
    for (const device of devices) {
      deviceBusy.set(this.loadPercent(nowMs, concurrency, device) / 100, this.#rows(device).labels);
    }
  }

  counts(device: string): Readonly<Counts> {
    return this.#devices.get(device) ?? zero();
  }

  /** What was counted since the last call. */
  takeMinute(): Counts {
    const minute = this.#minute;
    this.#minute = zero();
    return minute;
  }

  #rows(device: string): Rows {
    const known = this.#rowsOf.get(device);
    if (known) return known;
    const rows = rowsOf(this.#instruments, { link: this.#link, device });
    this.#rowsOf.set(device, rows);
    return rows;
  }

  #count(device: string, what: keyof Counts, by: number): void {
    let counts = this.#devices.get(device);
    if (!counts) {
      counts = zero();
      this.#devices.set(device, counts);
    }
    counts[what] += by;
    this.#minute[what] += by;
  }
}

function zero(): Counts {
  return { requests: 0, scans: 0, overruns: 0, timeouts: 0, errors: 0 };
}

export interface Instruments {
  readonly connected: Gauge;
  readonly connects: Counter;
  readonly online: Gauge;
  readonly busy: Counter;
  readonly linkBusy: Gauge;
  readonly deviceBusy: Gauge;
  readonly requests: Counter;
  readonly scans: Counter;
  readonly overruns: Counter;
  readonly timeouts: Counter;
  readonly errors: Counter;
  readonly writes: Counter;
  readonly reply: Histogram;
}

/** Of one device. */
interface Rows
  extends Readonly<Record<"busy" | "requests" | "scans" | "overruns" | "timeouts" | "errors" | "writes", CounterRow>> {
  readonly labels: Labels;
  readonly reply: HistogramRow;
}

function rowsOf(all: Instruments, labels: Labels): Rows {
  return {
    labels,
    busy: counterRow(all.busy, labels),
    requests: counterRow(all.requests, labels),
    scans: counterRow(all.scans, labels),
    overruns: counterRow(all.overruns, labels),
    timeouts: counterRow(all.timeouts, labels),
    errors: counterRow(all.errors, labels),
    writes: counterRow(all.writes, labels),
    reply: histogramRow(all.reply, labels),
  };
}

/** The instruments of all links; registering again gives the same ones. */
export function instruments(metrics: Metrics): Instruments {
  const both = ["link", "device"];
  return {
    connected: metrics.gauge("millrace_link_connected", "1 while the link is connected.", ["link"]),
    connects: metrics.counter("millrace_link_connects_total", "Connections made.", ["link"]),
    online: metrics.gauge("millrace_device_online", "1 while the device answers.", both),
    busy: metrics.counter("millrace_link_busy_seconds_total", "Time in which the wire was in use.", both),
    linkBusy: metrics.gauge("millrace_link_busy_ratio", "Part of the last minute in which the wire was in use.", [
      "link",
    ]),
    deviceBusy: metrics.gauge(
      "millrace_device_busy_ratio",
      "Part of the last minute in which the wire was in use for the device.",
      both,
    ),
    requests: metrics.counter(
      "millrace_requests_total",
      "Wire transactions: reads, writes and probes, answered or not.",
      both,
    ),
    scans: metrics.counter("millrace_scans_total", "Scans completed.", both),
    overruns: metrics.counter("millrace_scan_overruns_total", "Scans left out because the one before was late.", both),
    timeouts: metrics.counter("millrace_request_timeouts_total", "Requests without an answer.", both),
    errors: metrics.counter("millrace_request_errors_total", "Requests that ended the connection.", both),
    writes: metrics.counter("millrace_writes_total", "Values written to devices, and confirmed by them.", both),
    reply: metrics.histogram("millrace_reply_seconds", "Time from a request to its answer.", REPLY_SECONDS, both),
  };
}
