import type { Clock } from "../core/clock.ts";
import {
  type Device,
  type Driver,
  type TagWrite,
  TimeoutError,
  UncertainWriteError,
  type WriteResult,
} from "../core/driver.ts";
import { NotConnectedError, RejectedError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Sample } from "../core/sample.ts";
import { bounded } from "./bounded.ts";
import type { ProbeBudget } from "./breaker.ts";
import type { GroupRun, Turn } from "./group-run.ts";
import type { Meter } from "./meter.ts";
import type { LinkOptions } from "./options.ts";
import type { Outlet } from "./outlet.ts";
import { badSamples, type Station } from "./station.ts";
import { type WriteJob, WriteQueue } from "./write-queue.ts";

/** So many writes may go before reads that are ready; then one of those goes first. */
const WRITES_IN_A_ROW = 4;

/** What outlives one connection. */
export interface BusParts {
  readonly stations: readonly Station[];
  readonly budget: ProbeBudget;
  readonly outlet: Outlet;
  readonly meter: Meter;
  readonly clock: Clock;
  readonly log: Logger;
  readonly options: LinkOptions;
}

type Job =
  | WriteJob
  | { readonly kind: "read"; readonly station: Station; readonly turn: Turn }
  | { readonly kind: "probe"; readonly station: Station };

/**
 * The wire of one connection: at most `concurrency` calls at once, the next one chosen when one ends. A due probe goes first:
 * the budget has already made it rare. Then writes, but at most so many in a row while reads are ready. Then the read with
 * the earliest deadline.
 */
export class Bus {
  readonly #parts: BusParts;
  readonly #driver: Driver;
  readonly #calls = new AbortController();
  #ended: ((lost: Error | undefined) => void) | undefined;
  #end: { readonly lost: Error | undefined } | undefined;
  readonly #writes = new WriteQueue();
  #writesInARow = 0;
  #inFlight = 0;
  #probing = false;
  readonly #checks = new Set<Station>();
  #unanswered = 0;
  #cancelWake: () => void = () => {};
  #answers = 0;
  #lastAnswerMs = 0;

  constructor(parts: BusParts, driver: Driver) {
    this.#parts = parts;
    this.#driver = driver;
  }

  /** Answers on this connection so far. */
  get answers(): number {
    return this.#answers;
  }

  /** Whether somebody was asked on this connection, and nobody has answered for that long. */
  isSilent(forMs: number): boolean {
    return this.#unanswered > 0 && !this.#probing && this.#now() - this.#lastAnswerMs > forMs;
  }

  /** Asks the devices that are not offline whether they are there, although it is not their turn. */
  checkUp(): void {
    for (const station of this.#parts.stations) {
      const isAsked = station.runs.some((run) => run.plan.requests.length > 0);
      if (isAsked && station.breaker.state !== "offline") this.#checks.add(station);
    }
    this.#pump();
  }

  /**
   * Serves a connected driver until the signal aborts (gives undefined) or the connection is of no more use (gives why).
   * Never rejects; no call is in flight any more when it resolves.
   */
  async run(signal: AbortSignal): Promise<Error | undefined> {
    const onAbort = () => this.#finish(undefined);
    signal.addEventListener("abort", onAbort);
    const lost = await new Promise<Error | undefined>((resolve) => {
      this.#ended = resolve;
      this.#resume();
      if (signal.aborted) this.#finish(undefined);
      this.#pump();
    });
    signal.removeEventListener("abort", onAbort);
    return lost;
  }

  /**
   * Writes to a device, before the reads that wait. With `signal` it can be taken back while it waits for the wire.
   * @throws NotConnectedError or RejectedError: it was not done. UncertainWriteError: it may have been done.
   */
  write(station: Station, writes: readonly TagWrite[], signal: AbortSignal): Promise<WriteResult[]> {
    if (!this.#driver.write) return Promise.reject(new RejectedError("this driver cannot write"));
    if (this.#end) return Promise.reject(new NotConnectedError("the link is down, the write was not sent"));
    if (station.breaker.state === "offline") {
      const { name } = station.device;
      return Promise.reject(new NotConnectedError(`device ${name} does not answer, the write was not sent`));
    }
    const done = this.#writes.push(station, writes, signal);
    this.#pump();
    return done;
  }

  /** Gives the connection up from outside. */
  giveUp(why: Error): void {
    this.#finish(why);
  }

  #now(): number {
    return this.#parts.clock.now().monoMs;
  }

  #resume(): void {
    const nowMs = this.#now();
    this.#lastAnswerMs = nowMs;
    for (const station of this.#parts.stations) {
      station.breaker.reconnected(nowMs);
      if (station.breaker.state !== "offline") for (const run of station.runs) run.resume(nowMs);
      else if (station.bad) station.bad = { reason: "timeout", atMs: station.bad.atMs };
    }
  }

  /** Keeps the wire in use, and wakes up when there is something to do by time alone. */
  #pump(): void {
    this.#cancelWake();
    while (!this.#end && this.#inFlight < Math.max(1, this.#driver.concurrency)) {
      const nowMs = this.#now();
      const job = this.#choose(nowMs);
      if (!job) {
        const waitMs = this.#wakeMs() - nowMs;
        if (waitMs < Number.POSITIVE_INFINITY) {
          this.#cancelWake = this.#parts.options.timers.after(Math.max(0, waitMs), () => this.#pump());
        }
        return;
      }
      this.#inFlight++;
      this.#perform(job).catch((error: unknown) => this.#fault(job.station, error));
    }
  }

  #choose(nowMs: number): Job | undefined {
    const probe = this.#dueProbe(nowMs);
    if (probe) return { kind: "probe", station: probe };
    const write = this.#writesInARow < WRITES_IN_A_ROW || !this.#readReady(nowMs) ? this.#writes.take() : undefined;
    if (write) {
      this.#writesInARow++;
      return write;
    }
    this.#writesInARow = 0;
    let first: { station: Station; run: GroupRun } | undefined;
    for (const station of this.#parts.stations) {
      for (const run of station.runs) {
        if (run.ready(nowMs) && (!first || run.dueMs < first.run.dueMs)) first = { station, run };
      }
    }
    const turn = first?.run.take(nowMs);
    if (!first || !turn) return undefined;
    this.#parts.meter.overruns(first.station.device.name, turn.missed);
    return { kind: "read", station: first.station, turn };
  }

  #readReady(nowMs: number): boolean {
    return this.#parts.stations.some((station) => station.runs.some((run) => run.ready(nowMs)));
  }

  #dueProbe(nowMs: number): Station | undefined {
    if (this.#probing) return undefined;
    for (const station of this.#checks) {
      this.#checks.delete(station);
      if (station.breaker.state !== "offline") return station;
    }
    if (this.#parts.budget.freeMs > nowMs) return undefined;
    let oldest: Station | undefined;
    for (const station of this.#parts.stations) {
      if (station.breaker.probeMs > nowMs) continue;
      if (!oldest || station.breaker.lastProbeMs < oldest.breaker.lastProbeMs) oldest = station;
    }
    return oldest;
  }

  #wakeMs(): number {
    let wakeMs = Number.POSITIVE_INFINITY;
    for (const station of this.#parts.stations) {
      for (const run of station.runs) wakeMs = Math.min(wakeMs, run.wakeMs);
      if (!this.#probing) wakeMs = Math.min(wakeMs, Math.max(station.breaker.probeMs, this.#parts.budget.freeMs));
    }
    return wakeMs;
  }

  async #perform(job: Job): Promise<void> {
    const startMs = this.#now();
    if (job.kind === "write") {
      await this.#performWrite(job, startMs);
      return;
    }
    if (job.kind === "probe") {
      this.#probing = true;
      job.station.breaker.probing(startMs);
    }
    let outcome: { samples: Sample[] } | { error: unknown };
    try {
      outcome = { samples: await this.#call(job) };
    } catch (error) {
      outcome = { error };
    }
    const endMs = this.#now();
    this.#inFlight--;
    if (job.kind === "probe") this.#probing = false;
    this.#parts.meter.busy(job.station.device.name, endMs - startMs, endMs);
    if (this.#end) {
      this.#resolveWhenIdle();
      return;
    }
    if ("samples" in outcome) this.#answered(job, outcome.samples, endMs - startMs);
    else if (outcome.error instanceof TimeoutError) this.#timedOut(job, startMs, endMs);
    else this.#fault(job.station, outcome.error);
    this.#pump();
  }

  async #performWrite(job: WriteJob, startMs: number): Promise<void> {
    const { options, meter } = this.#parts;
    const { callLimitMs: limitMs, graceMs, timers } = options;
    const { station, writes } = job;
    const { device } = station;
    // Once it is on the wire the device may do it, whoever lost interest: it is not taken back.
    const bounds = { signal: this.#calls.signal, limitMs, graceMs, timers };
    let outcome: { results: WriteResult[] } | { error: unknown };
    try {
      outcome = {
        results: await bounded(async (signal) => (await this.#driver.write?.(device, writes, signal)) ?? [], bounds),
      };
    } catch (error) {
      outcome = { error };
    }
    const endMs = this.#now();
    this.#inFlight--;
    meter.busy(device.name, endMs - startMs, endMs);
    if ("results" in outcome) {
      meter.written(device.name, writes.length);
      job.resolve(outcome.results);
    } else {
      const text = `device ${device.name} did not confirm the write: it may have been done`;
      job.reject(
        outcome.error instanceof RejectedError
          ? outcome.error
          : new UncertainWriteError(text, { cause: outcome.error }),
      );
    }
    if (this.#end) {
      this.#resolveWhenIdle();
      return;
    }
    if ("results" in outcome) this.#alive(station, "read", endMs - startMs);
    else if (outcome.error instanceof TimeoutError) this.#silent(station, startMs, endMs);
    else if (!(outcome.error instanceof RejectedError)) this.#fault(station, outcome.error);
    this.#pump();
  }

  #call(job: Exclude<Job, WriteJob>): Promise<Sample[]> {
    const { options } = this.#parts;
    const { callLimitMs: limitMs, graceMs, timers } = options;
    const bounds = { signal: this.#calls.signal, limitMs, graceMs, timers };
    if (job.kind === "probe") {
      const patienceMs = job.station.breaker.patienceMs ?? limitMs;
      return bounded((signal) => this.#probe(job.station.device, signal), { ...bounds, limitMs: patienceMs });
    }
    const { request } = job.turn;
    return bounded(async (signal) => {
      const samples = await this.#driver.read(request, signal);
      const byTag = new Map(samples.map((sample) => [sample.tag, sample]));
      return request.tags.map((tag) => byTag.get(tag.name) ?? missing(tag.name, this.#now()));
    }, bounds);
  }

  async #probe(device: Device, signal: AbortSignal): Promise<Sample[]> {
    if (this.#driver.probe) {
      await this.#driver.probe(device, signal);
      return [];
    }
    const station = this.#parts.stations.find((each) => each.device === device);
    const first = station?.runs.flatMap((run) => run.plan.requests)[0];
    if (first) await this.#driver.read(first, signal);
    return [];
  }

  #answered(job: Exclude<Job, WriteJob>, samples: Sample[], tookMs: number): void {
    this.#alive(job.station, job.kind, tookMs);
    if (job.kind === "read") this.#give(job.turn, samples, (run, all) => this.#parts.outlet.scan(run, all));
  }

  #alive(station: Station, what: "read" | "probe", tookMs: number): void {
    const { clock, meter } = this.#parts;
    const now = clock.now();
    this.#answers++;
    this.#lastAnswerMs = now.monoMs;
    station.lastReplyMs = now.wallMs;
    meter.reply(station.device.name, tookMs);
    const wasOffline = station.breaker.state === "offline";
    if (station.breaker.answered(what, tookMs)) this.#changed(station);
    if (station.bad) meter.online(station.device.name, true);
    station.bad = undefined;
    if (wasOffline) for (const run of station.runs) run.resume(now.monoMs);
  }

  #timedOut(job: Exclude<Job, WriteJob>, startMs: number, endMs: number): void {
    const tripped = this.#silent(job.station, startMs, endMs);
    if (tripped || job.kind !== "read") return;
    const { outlet } = this.#parts;
    this.#give(job.turn, badSamples(job.turn.request.tags, "timeout", endMs), (run, all) => outlet.scan(run, all));
  }

  /** A call was not answered. @returns whether the device went offline by it. */
  #silent(station: Station, startMs: number, endMs: number): boolean {
    const { meter, budget, outlet } = this.#parts;
    meter.timeout(station.device.name);
    this.#unanswered++;
    const tripped = station.breaker.timedOut(endMs);
    if (station.breaker.state === "offline") budget.charge(startMs, endMs - startMs);
    if (!tripped) return false;
    this.#changed(station);
    outlet.bad(station, "timeout");
    return true;
  }

  #give(turn: Turn, samples: Sample[], complete: (run: GroupRun, all: Sample[]) => void): void {
    const done = turn.run.give(turn, samples, this.#now());
    if (!done) return;
    this.#parts.meter.overruns(turn.run.plan.group.device.name, done.missed);
    complete(turn.run, done.samples);
  }

  #changed(station: Station): void {
    const { clock, log, meter } = this.#parts;
    station.sinceMs = clock.now().wallMs;
    const online = station.breaker.state === "online";
    meter.online(station.device.name, online);
    if (online) log.info({ device: station.device.name }, "device answers");
    else log.warn({ device: station.device.name }, "device does not answer");
  }

  #fault(station: Station, error: unknown): void {
    if (this.#end) return;
    this.#parts.meter.error(station.device.name);
    if (error instanceof NotConnectedError) {
      this.#finish(error);
      return;
    }
    this.#parts.log.error({ err: error, device: station.device.name }, "a driver failed in an unexpected way");
    this.#finish(new NotConnectedError("the driver failed", { cause: error }));
  }

  #finish(lost: Error | undefined): void {
    if (this.#end) return;
    this.#end = { lost };
    this.#cancelWake();
    this.#writes.fail(lost);
    this.#calls.abort(lost ?? new NotConnectedError("the link is stopping"));
    this.#resolveWhenIdle();
  }

  #resolveWhenIdle(): void {
    if (this.#end && this.#inFlight === 0) this.#ended?.(this.#end.lost);
  }
}

function missing(tag: string, monoMs: number): Sample {
  return { tag, quality: "bad", reason: "no sample", monoMs };
}
