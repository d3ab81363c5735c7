import type { Clock, Instant } from "../core/clock.ts";
import {
  type Device,
  type Driver,
  type Request,
  type TagWrite,
  TimeoutError,
  UncertainWriteError,
  type WriteResult,
} from "../core/driver.ts";
import { NotConnectedError, RejectedError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Sample } from "../core/sample.ts";
import type { ProbeBudget } from "./breaker.ts";
import { Calls } from "./calls.ts";
import type { Turn } from "./group-run.ts";
import type { Headway } from "./headway.ts";
import { inOrder } from "./in-order.ts";
import type { Meter } from "./meter.ts";
import type { LinkOptions } from "./options.ts";
import type { Outlet } from "./outlet.ts";
import { badSamples, type Station } from "./station.ts";
import { type Job, Turns } from "./turns.ts";
import type { AskJob, UrgentJob, WriteJob } from "./urgent-queue.ts";

type ScanJob = Exclude<Job, UrgentJob>;
type Outcome = { readonly samples: Sample[] } | { readonly error: unknown };

/** What outlives one connection. */
export interface BusParts {
  readonly stations: readonly Station[];
  readonly budget: ProbeBudget;
  readonly outlet: Outlet;
  readonly meter: Meter;
  readonly clock: Clock;
  readonly log: Logger;
  readonly options: LinkOptions;
  readonly headway: Headway;
  readonly onFault?: ((reason: string) => void) | undefined;
}

/**
 * The wire of one connection: at most `concurrency` calls at once, the next one chosen (as `Turns` says) when one ends.
 */
export class Bus {
  readonly #parts: BusParts;
  readonly #driver: Driver;
  readonly #abort = new AbortController();
  readonly #calls: Calls;
  readonly #callLimitMs: number;
  #onEnd: ((lost: Error | undefined) => void) | undefined;
  #end: { readonly lost: Error | undefined } | undefined;
  readonly #turns: Turns;
  #inFlight = 0;
  #unanswered = 0;
  #cancelWake: () => void = () => {};
  #answers = 0;
  #lastAnswerMs = 0;

  constructor(parts: BusParts, driver: Driver) {
    this.#parts = parts;
    this.#driver = driver;
    this.#turns = new Turns(parts, driver);
    const { graceMs, timers, callLimitMs } = parts.options;
    this.#callLimitMs = driver.callLimitMs ?? callLimitMs;
    this.#calls = new Calls({ signal: this.#abort.signal, graceMs, timers, headway: parts.headway });
  }

  /** Answers on this connection so far. */
  get answers(): number {
    return this.#answers;
  }

  /** Whether somebody was asked on this connection, and nobody has answered for that long. */
  isSilent(forMs: number): boolean {
    return this.#unanswered > 0 && !this.#turns.probing && this.#now() - this.#lastAnswerMs > forMs;
  }

  /** For how long something is due that is not asked, although the wire is free. Milliseconds. */
  get idleMs(): number {
    if (this.#end || this.#inFlight > 0) return 0;
    const now = this.#now();
    return Math.max(0, now - this.#turns.wakeMs(now));
  }

  /** Asks the devices that are not offline whether they are there, although it is not their turn. */
  checkUp(): void {
    for (const station of this.#parts.stations) {
      const isAsked = station.runs.some((run) => run.plan.requests.length > 0);
      if (isAsked && station.breaker.state !== "offline") this.#turns.check(station);
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
      this.#onEnd = resolve;
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
    const done = this.#turns.urgent.write(station, writes, signal);
    this.#pump();
    return done;
  }

  /**
   * Asks a device now, before the scans that wait; its breaker is left alone by silence.
   * @throws NotConnectedError, TimeoutError; RejectedError when too many wait.
   */
  ask(station: Station, request: Request, signal: AbortSignal): Promise<Sample[]> {
    if (this.#end) return Promise.reject(new NotConnectedError("the link is down, the question was not sent"));
    const done = this.#turns.urgent.ask(station, request, signal);
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

  /** Calls at once. */
  get #most(): number {
    return Math.max(1, this.#driver.concurrency);
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
  #pump(nowMs = this.#now()): void {
    if (this.#fill(nowMs)) return;
    this.#cancelWake();
    const waitMs = this.#turns.wakeMs(nowMs) - nowMs;
    if (waitMs === Number.POSITIVE_INFINITY) return;
    this.#cancelWake = this.#parts.options.timers.after(Math.max(0, waitMs), () => this.#pump());
  }

  /** @returns false when the wire could take more than there is. */
  #fill(nowMs: number): boolean {
    while (!this.#end && this.#inFlight < this.#most) {
      const job = this.#turns.take(nowMs);
      if (!job) return false;
      this.#inFlight++;
      this.#perform(job, nowMs);
    }
    return true;
  }

  #perform(job: Job, startMs: number): void {
    if (job.kind === "write")
      this.#performWrite(job, startMs).catch((error: unknown) => this.#fault(job.station, error));
    else if (job.kind === "ask")
      this.#performAsk(job, startMs).catch((error: unknown) => this.#fault(job.station, error));
    else this.#performScan(job, startMs);
  }

  /** By callbacks: of these there are thousands a second. */
  #performScan(job: ScanJob, startMs: number): void {
    const isProbe = job.kind === "probe";
    if (isProbe) {
      this.#turns.probing = true;
      job.station.breaker.probing(startMs);
    }
    const limitMs = (isProbe ? job.station.breaker.patienceMs : undefined) ?? this.#callLimitMs;
    const call = (signal: AbortSignal) =>
      isProbe ? this.#probe(job.station.device, signal) : this.#driver.read(job.turn.request, signal);
    const ended = (outcome: Outcome) => {
      try {
        this.#ended(job, startMs, outcome);
      } catch (error) {
        this.#fault(job.station, error);
      }
    };
    this.#calls.start(
      limitMs,
      call,
      (samples) => ended({ samples }),
      (error) => ended({ error }),
    );
  }

  #ended(job: ScanJob, startMs: number, outcome: Outcome): void {
    const now = this.#parts.clock.now();
    const endMs = now.monoMs;
    this.#inFlight--;
    if (job.kind === "probe") this.#turns.probing = false;
    // The wire goes on while we look at what it brought.
    else if ("samples" in outcome) this.#fill(endMs);
    this.#parts.meter.busy(job.station.device.name, endMs - startMs, endMs);
    if (this.#end) {
      this.#resolveWhenIdle();
      return;
    }
    if ("samples" in outcome) this.#answered(job, outcome.samples, endMs - startMs, now);
    else if (outcome.error instanceof TimeoutError) this.#timedOut(job, startMs, endMs);
    else this.#fault(job.station, outcome.error);
    if (this.#inFlight < this.#most) this.#pump();
  }

  async #performWrite(job: WriteJob, startMs: number): Promise<void> {
    const { meter } = this.#parts;
    const { station, writes } = job;
    const { device } = station;
    let outcome: { results: WriteResult[] } | { error: unknown };
    try {
      // Once it is on the wire the device may do it, whoever lost interest: it is not taken back.
      const write = async (signal: AbortSignal) => (await this.#driver.write?.(device, writes, signal)) ?? [];
      outcome = { results: await this.#calls.run(this.#callLimitMs, write) };
    } catch (error) {
      outcome = { error };
    }
    const now = this.#parts.clock.now();
    const endMs = now.monoMs;
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
    if ("results" in outcome) this.#alive(station, "read", endMs - startMs, now);
    else if (outcome.error instanceof TimeoutError) this.#silent(station, startMs, endMs);
    else if (!(outcome.error instanceof RejectedError)) this.#fault(station, outcome.error);
    this.#pump();
  }

  async #performAsk({ station, request, resolve, reject }: AskJob, startMs: number): Promise<void> {
    const { meter } = this.#parts;
    let samples: Sample[] | undefined;
    let lost: unknown;
    try {
      samples = await this.#read(request);
      resolve(samples);
    } catch (error) {
      lost = error;
      reject(error);
    }
    const now = this.#parts.clock.now();
    const endMs = now.monoMs;
    this.#inFlight--;
    meter.busy(station.device.name, endMs - startMs, endMs);
    if (this.#end) {
      this.#resolveWhenIdle();
      return;
    }
    if (samples) this.#alive(station, "read", endMs - startMs, now);
    else if (lost instanceof TimeoutError) meter.timeout(station.device.name);
    else this.#fault(station, lost);
    this.#pump();
  }

  async #read(request: Request): Promise<Sample[]> {
    const samples = await this.#calls.run(this.#callLimitMs, (signal) => this.#driver.read(request, signal));
    return inOrder(samples, request, () => this.#now());
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

  #answered(job: ScanJob, samples: Sample[], tookMs: number, now: Instant): void {
    this.#alive(job.station, job.kind, tookMs, now);
    if (job.kind !== "read") return;
    const { request } = job.turn;
    this.#parts.meter.took(request, tookMs);
    this.#give(
      job.turn,
      inOrder(samples, request, () => this.#now()),
      now.monoMs,
    );
  }

  #alive(station: Station, what: "read" | "probe", tookMs: number, now: Instant): void {
    const { meter } = this.#parts;
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

  #timedOut(job: ScanJob, startMs: number, endMs: number): void {
    const tripped = this.#silent(job.station, startMs, endMs);
    if (tripped || job.kind !== "read") return;
    this.#give(job.turn, badSamples(job.turn.request.tags, "timeout", endMs), endMs);
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

  #give(turn: Turn, samples: Sample[], nowMs: number): void {
    const done = turn.run.give(turn, samples, nowMs);
    if (!done) return;
    this.#parts.meter.overruns(turn.run.plan.group.device.name, done.missed);
    this.#parts.outlet.scan(turn.run, done.samples);
  }

  #changed(station: Station): void {
    const { clock, log, meter } = this.#parts;
    station.sinceMs = clock.now().wallMs;
    const online = station.breaker.state === "online";
    meter.online(station.device.name, online);
    if (online) log.info({ device: station.device.name }, "device answers");
    else {
      log.warn({ device: station.device.name }, "device does not answer");
      this.#parts.onFault?.(`${station.device.name} does not answer`);
    }
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
    this.#turns.urgent.fail(lost);
    this.#abort.abort(lost ?? new NotConnectedError("the link is stopping"));
    this.#resolveWhenIdle();
  }

  #resolveWhenIdle(): void {
    if (this.#end && this.#inFlight === 0) this.#onEnd?.(this.#end.lost);
  }
}
