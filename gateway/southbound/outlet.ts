import type { Clock } from "../core/clock.ts";
import type { Logger } from "../core/log.ts";
import type { Sample } from "../core/sample.ts";
import type { GroupRun } from "./group-run.ts";
import type { Meter } from "./meter.ts";
import type { LinkOptions } from "./options.ts";
import type { Scan } from "./scan.ts";
import type { DeviceShaper } from "./shape/device-shaper.ts";
import { badSamples, type Station } from "./station.ts";

export interface OutletParts {
  readonly clock: Clock;
  readonly log: Logger;
  readonly meter: Meter;
  readonly emit: (scan: Scan) => void;
  /** By device; only those whose samples are not sent as they are. */
  readonly shapers: ReadonlyMap<string, DeviceShaper>;
  readonly stations: readonly Station[];
  readonly options: Pick<LinkOptions, "remindMs" | "timers">;
}

/** Where samples leave the link: shaped, with what is derived from them, through the deadband, as scans. */
export class Outlet {
  readonly #parts: OutletParts;
  readonly #alarms = new Map<GroupRun, { readonly atMs: number; readonly cancel: () => void }>();
  #closed = false;
  /** Of what is being sent now: each part that has to be on disk. */
  #waiting: Promise<void>[] | undefined;

  constructor(parts: OutletParts) {
    this.#parts = parts;
  }

  /** A run is complete. */
  scan(run: GroupRun, samples: readonly Sample[]): void {
    this.#parts.meter.scan(run.plan.group.device.name);
    this.#take(run, samples);
  }

  /** The same of what was heard. @returns when all that was sent of it is on disk; rejects where it is not. */
  heard(run: GroupRun, samples: readonly Sample[]): Promise<void> {
    const waiting: Promise<void>[] = [];
    this.#waiting = waiting;
    try {
      this.scan(run, samples);
    } finally {
      this.#waiting = undefined;
    }
    return Promise.all(waiting).then(
      () => {},
      (error: unknown) => {
        // It is said again, and must not be taken for what was sent already.
        run.deadband.forget(samples);
        throw error;
      },
    );
  }

  /**
   * Every tag of the device is bad from now on: what runs had read so far goes out first, then each group says so. The same
   * reason is not repeated within a minute, so that a link which comes and goes does not fill the queue.
   */
  bad(station: Station, reason: string): void {
    for (const run of station.runs) {
      const soFar = run.suspend();
      if (soFar.some((sample) => sample.quality === "good")) this.#take(run, soFar);
    }
    const nowMs = this.#nowMs();
    if (station.bad?.reason === reason && nowMs - station.bad.atMs < this.#parts.options.remindMs) return;
    this.#sendBad(station, reason, nowMs);
  }

  /** Says again what is bad, when that was a minute ago. */
  remind(station: Station): void {
    const nowMs = this.#nowMs();
    if (!station.bad || nowMs - station.bad.atMs < this.#parts.options.remindMs) return;
    this.#sendBad(station, station.bad.reason, nowMs);
  }

  /** Sends the changes that still wait for their time, and leaves no timer. */
  close(): void {
    this.#closed = true;
    for (const { cancel } of this.#alarms.values()) cancel();
    this.#alarms.clear();
    for (const run of this.#parts.stations.flatMap(({ runs }) => runs)) {
      this.#send(run, run.deadband.rest(this.#nowMs()));
    }
  }

  #take(run: GroupRun, samples: readonly Sample[]): void {
    const { device, tags } = run.plan.group;
    const shaper = this.#parts.shapers.get(device.name);
    if (!shaper) {
      this.#report(run, samples);
      return;
    }
    const shaped = shaper.up(samples);
    const derived = shaper.derive(shaped);
    if (derived.length === 0) {
      this.#report(run, shaped);
      return;
    }
    const own = new Set(tags.map(({ name }) => name));
    this.#report(run, [...shaped, ...derived.filter(({ tag }) => own.has(tag))]);
    this.#reportElsewhere(run, derived);
  }

  /** A value made from tags of several groups goes out with the group that has its tag. */
  #reportElsewhere(run: GroupRun, derived: readonly Sample[]): void {
    const { device } = run.plan.group;
    const station = this.#parts.stations.find((each) => each.device === device);
    for (const other of station?.runs ?? []) {
      if (other === run) continue;
      const names = new Set(other.plan.group.tags.map(({ name }) => name));
      const part = derived.filter(({ tag }) => names.has(tag));
      if (part.length > 0) this.#report(other, part);
    }
  }

  #report(run: GroupRun, samples: readonly Sample[]): void {
    const due = run.deadband.due(samples, this.#nowMs());
    this.#send(run, run.deadband.displaced());
    this.#send(run, due);
    this.#arm(run);
  }

  /** What was read is sent when its time has come, although nothing new is read. */
  #arm(run: GroupRun): void {
    const atMs = run.deadband.nextMs;
    const armed = this.#alarms.get(run);
    if (atMs === Number.POSITIVE_INFINITY || this.#closed || (armed && armed.atMs <= atMs)) return;
    armed?.cancel();
    const cancel = this.#parts.options.timers.after(Math.max(0, atMs - this.#nowMs()), () => {
      this.#alarms.delete(run);
      this.#send(run, run.deadband.late(this.#nowMs()));
      this.#arm(run);
    });
    this.#alarms.set(run, { atMs, cancel });
  }

  #sendBad(station: Station, reason: string, nowMs: number): void {
    station.bad = { reason, atMs: nowMs };
    this.#parts.meter.online(station.device.name, false);
    const shaper = this.#parts.shapers.get(station.device.name);
    for (const run of station.runs) {
      const samples = badSamples(run.plan.group.tags, reason, nowMs);
      shaper?.lost(samples);
      run.deadband.sent(samples, nowMs);
      this.#send(run, run.deadband.displaced());
      this.#send(run, samples);
    }
  }

  #send(run: GroupRun, samples: readonly Sample[]): void {
    if (samples.length === 0) return;
    const { device, name, stream, everyMs, tags } = run.plan.group;
    try {
      const scan = {
        device,
        group: name,
        stream,
        everyMs,
        taken: this.#parts.clock.now(),
        beganMs: run.beganMs,
        samples,
        tags,
      };
      this.#parts.emit(this.#waiting === undefined ? scan : { ...scan, stored: waited(this.#waiting) });
    } catch (error) {
      this.#parts.log.error({ err: error, device: device.name }, "a scan could not be handed on");
    }
  }

  #nowMs(): number {
    return this.#parts.clock.now().monoMs;
  }
}

/** Adds to `waiting` what the returned function settles. */
function waited(waiting: Promise<void>[]): (error?: Error) => void {
  let settle: (error?: Error) => void = () => {};
  const stored = new Promise<void>((resolve, reject) => {
    settle = (error) => (error === undefined ? resolve() : reject(error));
  });
  // Looked at together with the others.
  stored.catch(() => {});
  waiting.push(stored);
  return settle;
}
