import { type Device, type Driver, type Tag, type TagWrite, TimeoutError, type WriteResult } from "../core/driver.ts";
import { ConfigError, messageOf, NotConnectedError, RejectedError } from "../core/errors.ts";
import { readOnce } from "../core/read-once.ts";
import type { Sample } from "../core/sample.ts";
import type { Work } from "../core/work.ts";
import { Backoff } from "./backoff.ts";
import { bounded } from "./bounded.ts";
import { Breaker } from "./breaker.ts";
import { Bus, type BusParts } from "./bus.ts";
import { Ears } from "./ears.ts";
import type { LinkOptions } from "./options.ts";
import type { LinkParts } from "./parts.ts";
import type { Station } from "./station.ts";
import type { LinkState, LinkStatus } from "./status.ts";
import { sleep } from "./timers.ts";

const TICK_MS = 1000;

/** One life of a link, from start to stop: connects, serves, and connects again. */
export class Supervisor {
  readonly #link: LinkParts;
  readonly #bus: BusParts;
  readonly #options: LinkOptions;
  readonly #backoff: Backoff;
  readonly #stop = new AbortController();
  readonly #leastWatchdogMs: number;
  #state: LinkState = "connecting";
  #sinceMs: number;
  #lastError: string | undefined;
  #concurrency = 1;
  #current: Bus | undefined;
  #driver: Driver | undefined;
  #ears: Ears | undefined;
  #watchdogMs: number;
  #cancelTick: () => void = () => {};
  #summaryMs: number;
  #attempts = 0;
  /** The last connection was of no use: nobody answered on it. The next ones are not news until somebody does. */
  #fruitless = false;
  /** A failed attempt was logged since the last answer. */
  #failing = false;
  #loop: Promise<void> = Promise.resolve();

  constructor(link: LinkParts, bus: BusParts) {
    this.#link = link;
    this.#bus = bus;
    this.#options = bus.options;
    this.#backoff = new Backoff(bus.options.backoffMinMs, bus.options.backoffMaxMs, bus.options.random);
    const runs = bus.stations.flatMap((station) => station.runs).filter((run) => run.plan.requests.length > 0);
    this.#leastWatchdogMs = Math.max(
      bus.options.watchdogMs,
      3 * Math.min(...runs.map((run) => run.plan.group.everyMs)),
    );
    const now = link.clock.now();
    this.#sinceMs = now.wallMs;
    this.#summaryMs = now.monoMs;
    this.#watchdogMs = this.#leastWatchdogMs;
  }

  /** `first` serves the first attempt. */
  start(first: Driver): void {
    this.#tick();
    this.#loop = this.#live(first).catch((error: unknown) => {
      this.#bus.headway.broken();
      this.#link.log.error({ err: error }, "link supervision failed");
    });
  }

  async stop(): Promise<void> {
    this.#stop.abort(new NotConnectedError("the link is stopping"));
    this.#cancelTick();
    await this.#loop;
    this.#bus.outlet.close();
    this.#bus.meter.connected(false);
  }

  /** @throws as `Link.write`. */
  async write(device: string, writes: readonly TagWrite[], signal: AbortSignal): Promise<WriteResult[]> {
    const station = this.#bus.stations.find((each) => each.device.name === device);
    if (!station) throw new RejectedError(`there is no device ${device} on link ${this.#link.name}`);
    if (!this.#current) throw new NotConnectedError(`link ${this.#link.name} is down, the write was not sent`);
    return await this.#current.write(station, writes, signal);
  }

  /** @throws as `Link.read`. */
  async read(whose: string | Device, tags: readonly Tag[], signal: AbortSignal): Promise<Sample[]> {
    const station =
      typeof whose === "string"
        ? this.#bus.stations.find((each) => each.device.name === whose)
        : strangerOf(whose, this.#options);
    if (!station) throw new RejectedError(`there is no device ${whose} on link ${this.#link.name}`);
    const bus = this.#current;
    if (!bus || !this.#driver) {
      const why = this.#lastError === undefined ? "" : ` (${this.#lastError})`;
      throw new NotConnectedError(`link ${this.#link.name} is down${why}, nothing was asked`);
    }
    const driver = this.#driver;
    return await readOnce(tags, {
      plan: (some) => driver.plan(station.device, some, {}),
      read: (request) => bus.ask(station, request, signal),
      monoMs: () => this.#now(),
    });
  }

  status(): LinkStatus {
    const { meter, stations } = this.#bus;
    const devices = stations.map(({ device, breaker, sinceMs, lastReplyMs }) => ({
      name: device.name,
      state: breaker.state,
      since: sinceMs,
      ...(lastReplyMs === undefined ? {} : { lastReply: lastReplyMs }),
      ...meter.counts(device.name),
      loadPercent: meter.loadPercent(this.#now(), this.#concurrency, device.name),
    }));
    const replies = stations.flatMap((station) => station.lastReplyMs ?? []);
    return {
      name: this.#link.name,
      state: this.#state,
      since: this.#sinceMs,
      ...(replies.length === 0 ? {} : { lastReply: Math.max(...replies) }),
      ...(this.#lastError === undefined ? {} : { lastError: this.#lastError }),
      overruns: devices.reduce((sum, device) => sum + device.overruns, 0),
      errors: devices.reduce((sum, device) => sum + device.errors, 0),
      loadPercent: meter.loadPercent(this.#now(), this.#concurrency),
      devices,
    };
  }

  /** What of the link's own doing does not end. */
  work(): Work | undefined {
    const { callLimitMs, graceMs } = this.#options;
    const own = this.#bus.headway.work((this.#driver?.callLimitMs ?? callLimitMs) + graceMs);
    const idleMs = this.#current?.idleMs ?? 0;
    return (
      own ?? (idleMs > 0 ? { doing: "requests are due and none is sent", forMs: idleMs, mayTakeMs: 0 } : undefined)
    );
  }

  async #live(first: Driver): Promise<void> {
    const { signal } = this.#stop;
    let driver: Driver | undefined = first;
    while (!signal.aborted) {
      const error = await this.#session(driver);
      driver = undefined;
      if (signal.aborted) return;
      if (error instanceof ConfigError) {
        this.#fail(error);
        return;
      }
      await sleep(this.#backoff.next(), signal, this.#options.timers);
    }
  }

  /** One connection from its attempt to its end. Never rejects. @returns why it ended; undefined when it was stopped. */
  async #session(given: Driver | undefined): Promise<Error | undefined> {
    const { signal } = this.#stop;
    let driver = given;
    try {
      driver ??= this.#link.driver();
      await this.#connect(driver);
      signal.throwIfAborted();
      return await this.#serve(driver);
    } catch (error) {
      if (!signal.aborted && !(error instanceof ConfigError)) this.#notConnected(error);
      return error instanceof Error ? error : new NotConnectedError(messageOf(error));
    } finally {
      if (driver) await this.#close(driver);
    }
  }

  async #connect(driver: Driver): Promise<void> {
    const { connectTimeoutMs: limitMs, graceMs, timers } = this.#options;
    this.#attempts++;
    this.#enter("connecting");
    await bounded((signal) => driver.connect(signal), { signal: this.#stop.signal, limitMs, graceMs, timers });
  }

  async #serve(driver: Driver): Promise<Error | undefined> {
    const bus = new Bus(this.#bus, driver);
    const ears = new Ears(this.#bus, driver, (why) => bus.giveUp(why));
    const sinceMs = this.#now();
    this.#current = bus;
    this.#driver = driver;
    this.#ears = ears;
    this.#concurrency = Math.max(1, driver.concurrency);
    this.#enter("connected");
    this.#bus.meter.connected(true);
    if (!this.#fruitless) this.#link.log.info({}, "link connected");
    const running = bus.run(this.#stop.signal);
    ears.open();
    const lost = await running;
    await ears.close();
    this.#proven(bus);
    this.#current = undefined;
    this.#ears = undefined;
    this.#bus.meter.connected(false);
    if (this.#now() - sinceMs >= this.#options.stableMs) this.#backoff.reset();
    if (lost) this.#lost(lost);
    this.#fruitless = (bus.answers === 0 && ears.heard === 0) || lost instanceof SilentLinkError;
    return lost;
  }

  #lost(lost: Error): void {
    this.#lastError = lost.message;
    this.#enter("down");
    if (lost instanceof SilentLinkError) {
      // Whether the link is down is not known yet: a rebuilt connection may work at once, and all units may be off.
      if (!this.#fruitless) this.#link.log.warn({}, "no device answers, link is rebuilt");
      const most = Math.max(this.#options.watchdogMaxMs, this.#leastWatchdogMs);
      this.#watchdogMs = Math.min(most, this.#watchdogMs * 2);
      return;
    }
    if (!this.#fruitless) this.#link.log.warn({ error: lost.message }, "link lost");
    this.#link.onFault?.("connection lost");
    this.#down();
  }

  /** Somebody answers on this connection. */
  #proven(bus: Bus | undefined): void {
    if (!bus || bus.answers + (this.#ears?.heard ?? 0) === 0) return;
    if (this.#fruitless) this.#link.log.info({}, "link connected");
    this.#fruitless = false;
    this.#failing = false;
    this.#watchdogMs = this.#leastWatchdogMs;
  }

  #notConnected(error: unknown): void {
    this.#bus.headway.notConnected(error);
    const message = messageOf(error);
    this.#lastError = message;
    this.#enter("down");
    const fields = { error: message, ...(isExpected(error) ? {} : { err: error }) };
    if (this.#failing) this.#link.log.debug(fields, "link cannot connect");
    else this.#link.log.warn(fields, "link cannot connect");
    this.#failing = true;
    this.#down();
  }

  #fail(error: ConfigError): void {
    this.#enter("failed");
    this.#lastError = error.message;
    this.#down();
    this.#link.log.error({ error: error.message }, "link has a configuration that cannot work");
    this.#link.onConfigError?.(error);
  }

  #down(): void {
    for (const station of this.#bus.stations) this.#bus.outlet.bad(station, "link down");
  }

  #enter(state: LinkState): void {
    const attempt = isAttempt(this.#state) && isAttempt(state);
    this.#state = state;
    if (!attempt) this.#sinceMs = this.#link.clock.now().wallMs;
  }

  async #close(driver: Driver): Promise<void> {
    const { graceMs, timers } = this.#options;
    const never = new AbortController().signal;
    try {
      await bounded(() => driver.close(), { signal: never, limitMs: graceMs, graceMs: 0, timers });
    } catch (error) {
      this.#link.log.error({ err: error }, "a driver could not be closed");
    }
  }

  #tick(): void {
    this.#cancelTick = this.#options.timers.after(TICK_MS, () => this.#tick());
    for (const station of this.#bus.stations) this.#bus.outlet.remind(station);
    this.#proven(this.#current);
    const { meter, stations } = this.#bus;
    meter.showLoad(
      this.#now(),
      this.#concurrency,
      stations.map(({ device }) => device.name),
    );
    this.#watch();
    if (this.#now() - this.#summaryMs >= this.#options.remindMs) this.#summary();
  }

  /** A connection may look alive for ever while nothing comes through it. */
  #watch(): void {
    const bus = this.#current;
    if (!bus?.isSilent(this.#watchdogMs)) return;
    // A device whose turn is rare may be well: it is asked before its link is cut.
    if (this.#bus.stations.some((station) => station.breaker.state !== "offline")) bus.checkUp();
    else bus.giveUp(new SilentLinkError("no device answers"));
  }

  #summary(): void {
    this.#summaryMs = this.#now();
    const minute = this.#bus.meter.takeMinute();
    const offline = this.#bus.stations.filter((station) => station.breaker.state === "offline");
    const attempts = this.#attempts;
    this.#attempts = 0;
    const calm = minute.overruns + minute.timeouts + minute.errors + attempts + offline.length === 0;
    if (calm && this.#state === "connected") return;
    const names = offline.map((station) => station.device.name);
    this.#link.log.info({ state: this.#state, ...minute, attempts, offline: names }, "link in the last minute");
  }

  #now(): number {
    return this.#link.clock.now().monoMs;
  }
}

/** A device that is asked once, as if nothing were known of it. */
function strangerOf(device: Device, options: LinkOptions): Station {
  return { device, runs: [], breaker: new Breaker(options), sinceMs: 0, lastReplyMs: undefined, bad: undefined };
}

/** The connection stands, but nobody answers on it. */
class SilentLinkError extends NotConnectedError {}

/** Going to and fro between attempts is one state for whoever asks since when. */
function isAttempt(state: LinkState): boolean {
  return state === "connecting" || state === "down";
}

function isExpected(error: unknown): boolean {
  return error instanceof NotConnectedError || error instanceof TimeoutError;
}
