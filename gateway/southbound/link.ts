import type { Device, Request, Tag, TagWrite, WriteResult } from "../core/driver.ts";
import { NotConnectedError } from "../core/errors.ts";
import type { Sample } from "../core/sample.ts";
import type { Work, Worker } from "../core/work.ts";
import { Breaker, ProbeBudget } from "./breaker.ts";
import { GroupRun } from "./group-run.ts";
import { Headway } from "./headway.ts";
import { instruments, Meter, type Took } from "./meter.ts";
import { defaultOptions, type LinkOptions } from "./options.ts";
import { Outlet } from "./outlet.ts";
import type { LinkParts } from "./parts.ts";
import { type GroupPlan, planLink } from "./plan.ts";
import { DeviceShaper } from "./shape/device-shaper.ts";
import type { Station } from "./station.ts";
import type { LinkStatus } from "./status.ts";
import { Supervisor } from "./supervisor.ts";

/**
 * One link: connects and connects again with back-off, reads every scan group of its devices at its rate, and takes
 * devices that do not answer out of their neighbours' way.
 *
 * When the link goes down or a device stops answering, all tags concerned become `bad` once, with the reason `link down`
 * or `timeout`, and again once a minute while it lasts, so that a long outage shows but does not fill the queue. The last
 * good value is not repeated for `bad`. One request without an answer makes its tags `bad` in that scan only.
 */
export class Link implements Worker {
  readonly part: string;
  readonly #parts: LinkParts;
  #life: Supervisor | undefined;
  #plans: readonly GroupPlan[] = [];
  #meter: Meter | undefined;
  #shapers: ReadonlyMap<string, DeviceShaper> = new Map();
  #stopping: Promise<void> = Promise.resolve();
  #calls = 0;

  constructor(parts: LinkParts) {
    this.#parts = parts;
    this.part = `link ${parts.name}`;
  }

  /**
   * Plans every scan group and begins to connect; does not wait for the connection. Does nothing when it is started.
   * @throws ConfigError naming a tag that cannot be planned. May be called again then, and after `stop`.
   */
  async start(): Promise<void> {
    const call = ++this.#calls;
    await this.#stopping;
    if (this.#life || call !== this.#calls) return;
    const { driver, devices } = this.#parts;
    const first = driver();
    const plans = planLink(first, devices);
    this.#plans = plans;
    const options: LinkOptions = { ...defaultOptions, ...this.#parts.options };
    this.#life = new Supervisor(this.#parts, this.#build(plans, options));
    this.#life.start(first);
  }

  get name(): string {
    return this.#parts.name;
  }

  /** Idempotent, never rejects; ends within 3 x `graceMs` whatever the driver does, and leaves nothing behind. */
  stop(): Promise<void> {
    this.#calls++;
    const life = this.#life;
    this.#life = undefined;
    if (life) this.#stopping = life.stop();
    return this.#stopping;
  }

  /**
   * Writes to a device of this link, one call on the wire before the reads that wait. Aborting `signal` takes it back while it
   * has not been sent.
   * @throws NotConnectedError (link down, device does not answer) or RejectedError: it was not done.
   * UncertainWriteError: it was sent, and may have been done.
   */
  async write(device: string, writes: readonly TagWrite[], signal: AbortSignal): Promise<WriteResult[]> {
    if (!this.#life) throw new NotConnectedError(`link ${this.#parts.name} is stopped, the write was not sent`);
    const down = this.#shapers.get(device)?.down(writes);
    if (!down) return await this.#life.write(device, writes, signal);
    // What the device cannot take is not sent; the rest is.
    return down.results(down.writes.length === 0 ? [] : await this.#life.write(device, down.writes, signal));
  }

  /**
   * Asks a device of this link for tags now, before the scans that wait. Gives one sample per tag, in their order. Given as a
   * `Device` it may be one that is not configured, or one with other options: nothing is learnt about it but what they say.
   * @throws NotConnectedError (link down), TimeoutError (no answer), RejectedError; the signal's reason.
   */
  async read(device: string | Device, tags: readonly Tag[], signal: AbortSignal): Promise<Sample[]> {
    if (!this.#life) throw new NotConnectedError(`link ${this.#parts.name} is stopped, nothing was asked`);
    const samples = await this.#life.read(device, tags, signal);
    const shaper = typeof device === "string" ? this.#shapers.get(device) : undefined;
    return shaper?.up(samples) ?? samples;
  }

  status(): LinkStatus {
    if (this.#life) return this.#life.status();
    const { name, clock } = this.#parts;
    return { name, state: "stopped", since: clock.now().wallMs, overruns: 0, errors: 0, loadPercent: 0, devices: [] };
  }

  work(): Work | undefined {
    return this.#life?.work();
  }

  /** What each run of each scan group asks for now, with what was learnt; nothing before `start`. */
  plan(): readonly GroupPlan[] {
    for (const plan of this.#plans) plan.refresh?.();
    return this.#plans;
  }

  /** How long a request of `plan` took lately; nothing where it was not answered yet. */
  tookOf(request: Request): Took | undefined {
    return this.#meter?.tookOf(request);
  }

  #build(plans: ReturnType<typeof planLink>, options: LinkOptions) {
    const { name, devices, clock, log, metrics, emit, onFault } = this.#parts;
    const { monoMs, wallMs } = clock.now();
    const meter = new Meter(name, instruments(metrics), monoMs);
    this.#meter = meter;
    const stations = devices.map((device): Station => {
      const own = plans.filter((plan) => plan.group.device === device);
      return {
        device,
        runs: own.map((plan) => new GroupRun(plan, monoMs)),
        breaker: new Breaker(options),
        sinceMs: wallMs,
        lastReplyMs: undefined,
        bad: undefined,
      };
    });
    this.#shapers = new Map(
      devices.flatMap((device) => {
        const shaper = DeviceShaper.of(device);
        return shaper ? [[device.name, shaper]] : [];
      }),
    );
    const outlet = new Outlet({ clock, log, meter, emit, shapers: this.#shapers, stations, options });
    const headway = new Headway(() => clock.now().monoMs);
    return {
      stations,
      budget: new ProbeBudget(options.probeShare),
      outlet,
      meter,
      clock,
      log,
      options,
      headway,
      onFault,
    };
  }
}
