import type { Counter, Gauge, Histogram, Metrics } from "../core/metrics.ts";

const REPLY_SECONDS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5];
const BUCKET_MS = 5_000;
const WINDOW_MS = 60_000;

/** Since the start of the link. */
export interface Counts {
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
  readonly #load = new Map<number, number>();
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
    this.#instruments.online.set(up ? 1 : 0, this.#labels(device));
  }

  scan(device: string): void {
    this.#count(device, "scans", 1);
    this.#instruments.scans.inc(this.#labels(device));
  }

  overruns(device: string, missed: number): void {
    if (missed === 0) return;
    this.#count(device, "overruns", missed);
    this.#instruments.overruns.inc(this.#labels(device), missed);
  }

  timeout(device: string): void {
    this.#count(device, "timeouts", 1);
    this.#instruments.timeouts.inc(this.#labels(device));
  }

  error(device: string): void {
    this.#count(device, "errors", 1);
    this.#instruments.errors.inc(this.#labels(device));
  }

  written(device: string, values: number): void {
    this.#instruments.writes.inc(this.#labels(device), values);
  }

  reply(device: string, ms: number): void {
    this.#instruments.reply.observe(ms / 1000, this.#labels(device));
  }

  /** The wire was in use for a call that ended at `nowMs`, with an answer or without. */
  busy(device: string, ms: number, nowMs: number): void {
    this.#instruments.busy.inc(this.#labels(device), ms / 1000);
    const bucket = Math.floor(nowMs / BUCKET_MS);
    this.#load.set(bucket, (this.#load.get(bucket) ?? 0) + ms);
    for (const old of this.#load.keys()) {
      if (old * BUCKET_MS < nowMs - WINDOW_MS) this.#load.delete(old);
    }
  }

  /** Percent of the last minute in which the wire was in use, of what `concurrency` calls at once could use. */
  loadPercent(nowMs: number, concurrency: number): number {
    const first = Math.ceil((nowMs - WINDOW_MS) / BUCKET_MS);
    let busyMs = 0;
    for (const [bucket, ms] of this.#load) if (bucket >= first) busyMs += ms;
    const overMs = nowMs - Math.max(this.#startMs, first * BUCKET_MS);
    return overMs <= 0 ? 0 : Math.min(100, (100 * busyMs) / (overMs * concurrency));
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

  #labels(device: string): { link: string; device: string } {
    return { link: this.#link, device };
  }

  #count(device: string, what: keyof Counts, by: number): void {
    const counts = this.#devices.get(device) ?? zero();
    counts[what] += by;
    this.#devices.set(device, counts);
    this.#minute[what] += by;
  }
}

function zero(): Counts {
  return { scans: 0, overruns: 0, timeouts: 0, errors: 0 };
}

export interface Instruments {
  readonly connected: Gauge;
  readonly connects: Counter;
  readonly online: Gauge;
  readonly busy: Counter;
  readonly scans: Counter;
  readonly overruns: Counter;
  readonly timeouts: Counter;
  readonly errors: Counter;
  readonly writes: Counter;
  readonly reply: Histogram;
}

/** The instruments of all links; registering again gives the same ones. */
export function instruments(metrics: Metrics): Instruments {
  const both = ["link", "device"];
  return {
    connected: metrics.gauge("millrace_link_connected", "1 while the link is connected.", ["link"]),
    connects: metrics.counter("millrace_link_connects_total", "Connections made.", ["link"]),
    online: metrics.gauge("millrace_device_online", "1 while the device answers.", both),
    busy: metrics.counter("millrace_link_busy_seconds_total", "Time in which the wire was in use.", both),
    scans: metrics.counter("millrace_scans_total", "Scans completed.", both),
    overruns: metrics.counter("millrace_scan_overruns_total", "Scans left out because the one before was late.", both),
    timeouts: metrics.counter("millrace_request_timeouts_total", "Requests without an answer.", both),
    errors: metrics.counter("millrace_request_errors_total", "Requests that ended the connection.", both),
    writes: metrics.counter("millrace_writes_total", "Values written to devices, and confirmed by them.", both),
    reply: metrics.histogram("millrace_reply_seconds", "Time from a request to its answer.", REPLY_SECONDS, both),
  };
}
