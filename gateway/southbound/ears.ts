import { isDerived } from "../core/derived.ts";
import type { Driver, Emit, Tag } from "../core/driver.ts";
import { NotConnectedError } from "../core/errors.ts";
import type { Sample } from "../core/sample.ts";
import type { BusParts } from "./bus.ts";
import type { GroupRun } from "./group-run.ts";
import type { Station } from "./station.ts";
import { sleep } from "./timers.ts";

/**
 * What devices say unasked on one connection: the tags that no request gives are listened for, beside the reads, and what is
 * heard goes through the deadband of their group like a scan.
 */
export class Ears {
  readonly #parts: BusParts;
  readonly #driver: Driver;
  readonly #lost: (why: Error) => void;
  readonly #closing = new AbortController();
  readonly #listening: Promise<void>[] = [];
  #heard = 0;

  /** `lost` is told when the driver cannot listen any more. */
  constructor(parts: BusParts, driver: Driver, lost: (why: Error) => void) {
    this.#parts = parts;
    this.#driver = driver;
    this.#lost = lost;
  }

  /** How often something good was heard on this connection. */
  get heard(): number {
    return this.#heard;
  }

  open(): void {
    if (!this.#driver.listen) return;
    for (const station of this.#parts.stations) {
      const tags = station.runs.flatMap(unasked);
      if (tags.length > 0) this.#listening.push(this.#listen(station, tags));
    }
  }

  /** Never rejects; waits for the driver as long as its grace is. */
  async close(): Promise<void> {
    this.#closing.abort(new NotConnectedError("the link is stopping"));
    const { graceMs, timers } = this.#parts.options;
    const done = new AbortController();
    const all = Promise.all(this.#listening).then(() => done.abort());
    await Promise.race([all, sleep(graceMs, done.signal, timers)]);
  }

  async #listen(station: Station, tags: readonly Tag[]): Promise<void> {
    const { signal } = this.#closing;
    this.#welcome(station);
    try {
      const emit: Emit = (samples, stored) => this.#hear(station, samples, stored);
      await this.#driver.listen?.(station.device, tags, emit, signal);
      if (!signal.aborted) this.#lost(new NotConnectedError("the driver listens no more"));
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof NotConnectedError) {
        this.#lost(error);
        return;
      }
      this.#parts.log.error({ err: error, device: station.device.name }, "a driver failed in an unexpected way");
      this.#lost(new NotConnectedError("the driver failed", { cause: error }));
    }
  }

  /** A device that is only listened to is not known to be silent: with the link, what was bad because of it ends. */
  #welcome(station: Station): void {
    if (station.runs.some((run) => run.plan.requests.length > 0)) return;
    if (station.bad) this.#parts.meter.online(station.device.name, true);
    station.bad = undefined;
  }

  #hear(station: Station, samples: readonly Sample[], stored: ((error?: Error) => void) | undefined): void {
    const { clock, meter, outlet } = this.#parts;
    const { name } = station.device;
    if (samples.some((sample) => sample.quality === "good")) {
      const { wallMs } = clock.now();
      this.#heard++;
      station.lastReplyMs = wallMs;
      const onlyHeard = station.runs.every((run) => run.plan.requests.length === 0);
      if (onlyHeard && station.breaker.answered("read", 0)) {
        station.sinceMs = wallMs;
        meter.online(name, true);
      }
    }
    const waiting: Promise<void>[] = [];
    for (const run of station.runs) {
      const own = new Set(unasked(run).map((tag) => tag.name));
      const part = samples.filter((sample) => own.has(sample.tag));
      if (part.length === 0) continue;
      if (stored === undefined) outlet.scan(run, part);
      else waiting.push(outlet.heard(run, part));
    }
    if (stored !== undefined) void Promise.all(waiting).then(() => stored(), stored);
  }
}

/** The tags of a group that no request gives. */
function unasked({ plan }: GroupRun): Tag[] {
  const asked = new Set(plan.requests.flatMap((request) => request.tags));
  return plan.group.tags.filter((tag) => !asked.has(tag) && !isDerived(tag));
}
