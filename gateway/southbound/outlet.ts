import type { Clock } from "../core/clock.ts";
import type { Logger } from "../core/log.ts";
import type { Sample } from "../core/sample.ts";
import type { GroupRun } from "./group-run.ts";
import type { Meter } from "./meter.ts";
import type { Scan } from "./scan.ts";
import { badSamples, type Station } from "./station.ts";

/** Where samples leave the link: through the deadband, as scans. */
export class Outlet {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #meter: Meter;
  readonly #emit: (scan: Scan) => void;
  readonly #remindMs: number;

  constructor(clock: Clock, log: Logger, meter: Meter, emit: (scan: Scan) => void, remindMs: number) {
    this.#clock = clock;
    this.#log = log;
    this.#meter = meter;
    this.#emit = emit;
    this.#remindMs = remindMs;
  }

  /** A run is complete. */
  scan(run: GroupRun, samples: readonly Sample[]): void {
    this.#meter.scan(run.plan.group.device.name);
    this.#send(run, run.deadband.due(samples));
  }

  /**
   * Every tag of the device is bad from now on: what runs had read so far goes out first, then each group says so. The same
   * reason is not repeated within a minute, so that a link which comes and goes does not fill the queue.
   */
  bad(station: Station, reason: string): void {
    for (const run of station.runs) {
      const soFar = run.suspend();
      if (soFar.some((sample) => sample.quality === "good")) this.#send(run, run.deadband.due(soFar));
    }
    const nowMs = this.#clock.now().monoMs;
    if (station.bad?.reason === reason && nowMs - station.bad.atMs < this.#remindMs) return;
    this.#sendBad(station, reason, nowMs);
  }

  /** Says again what is bad, when that was a minute ago. */
  remind(station: Station): void {
    const nowMs = this.#clock.now().monoMs;
    if (!station.bad || nowMs - station.bad.atMs < this.#remindMs) return;
    this.#sendBad(station, station.bad.reason, nowMs);
  }

  #sendBad(station: Station, reason: string, nowMs: number): void {
    station.bad = { reason, atMs: nowMs };
    this.#meter.online(station.device.name, false);
    for (const run of station.runs) {
      const samples = badSamples(run.plan.group.tags, reason, nowMs);
      run.deadband.sent(samples);
      this.#send(run, samples);
    }
  }

  #send(run: GroupRun, samples: readonly Sample[]): void {
    if (samples.length === 0) return;
    const { device, name, stream, everyMs, tags } = run.plan.group;
    try {
      this.#emit({ device, group: name, stream, everyMs, taken: this.#clock.now(), samples, tags });
    } catch (error) {
      this.#log.error({ err: error, device: device.name }, "a scan could not be handed on");
    }
  }
}
