import type { Clock } from "../core/clock.ts";
import type { DeadLetterStats, DeadLetters } from "../core/dead-letters.ts";
import { ConfigError, messageOf, NotConnectedError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Metrics } from "../core/metrics.ts";
import type { Queue } from "../core/queue.ts";
import type { WayTracer } from "../core/trace.ts";
import type { Uplink, UplinkLimits } from "../core/uplink.ts";
import type { Work, Worker } from "../core/work.ts";
import { AlarmBackoff, Backoff } from "./backoff.ts";
import { ServerBusyError } from "./busy.ts";
import { Delivery, type DeliveryContext } from "./delivery.ts";
import type { Encoder } from "./encoders/encoder.ts";
import { type Instruments, instruments } from "./instruments.ts";
import { FORWARDER_DEFAULTS, type ForwarderOptions } from "./options.ts";
import type { BackfillPace } from "./pace.ts";
import { firstAborted, monotonicMs, pause } from "./pause.ts";
import { Poison } from "./poison.ts";
import { Summary } from "./summary.ts";
import type { TopicMapper } from "./topics.ts";

export interface ForwarderSettings {
  /** Name of the uplink: the queue keeps its cursor under it. The queue has been told of it (`Queue.open`) before `start`. */
  readonly name: string;
  readonly queue: Queue;
  readonly gatewayId: string;
  /** Makes the uplink of one connection; called anew for each. */
  readonly uplink: () => Uplink;
  readonly encoder: Encoder;
  readonly topics: TopicMapper;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Where records go that the far side will never take; absent: they only become a gap. */
  readonly deadLetters?: DeadLetters;
  readonly tracer?: WayTracer | undefined;
  readonly options?: Partial<ForwarderOptions>;
}

export interface ForwarderStatus {
  readonly name: string;
  readonly state: "stopped" | "connecting" | "connected" | "waiting";
  /** Unix milliseconds of the last change of `state`. */
  readonly sinceMs: number;
  /** Messages sent and not yet settled, and those that wait to be sent again. */
  readonly inFlight: number;
  readonly retrying: number;
  /** Connections since `start`. */
  readonly connections: number;
  /** With `live-first`, while connected. */
  readonly backfill?: BackfillPace;
  /** What the far side allows; while connected. */
  readonly limits?: Pick<UplinkLimits, "inFlight" | "maxBytes" | "properties">;
  /** Why there is no connection, or why the last one ended. */
  readonly lastError?: string;
  /** A fault that only a person can cure keeps the uplink from working. */
  readonly alarm?: string;
  readonly deadLetters?: DeadLetterStats;
}

/** So many connections in a row that ended soon after they began are worth an alarm. */
const SHORT_LIVED = 3;
const SHORT_LIVED_KEY = "short-lived connections";
/** Longer than any kind of uplink may be told to try to connect. */
const CONNECT_MOST_MS = 330_000;
/** Uplinks close within a few seconds, and the last verdicts are written down. */
const CLOSE_MOST_MS = 10_000;

/**
 * Owns the delivery to one upstream system: connects, and connects again with back-off; moves what the queue owes while
 * there is a connection (`Delivery`). Nothing that network or queue do ends it, only `stop`.
 */
export class Forwarder implements Worker {
  readonly part: string;
  readonly #settings: ForwarderSettings;
  readonly #options: ForwarderOptions;
  readonly #instruments: Instruments;
  readonly #summary: Summary;
  #stopping: AbortController | undefined;
  #running: Promise<void> | undefined;
  #delivery: Delivery | undefined;
  #state: ForwarderStatus["state"] = "stopped";
  #sinceMs = 0;
  #connections = 0;
  #lastError: string | undefined;
  #alarm: string | undefined;
  readonly #poison = new Poison();
  #uplink: Uplink | undefined;
  #shortLived = 0;
  #connectedMs = 0;
  #step: { readonly doing: string; readonly mayTakeMs: number; readonly sinceMs: number } | undefined;

  constructor(settings: ForwarderSettings) {
    this.#settings = settings;
    this.part = `uplink ${settings.name}`;
    this.#options = { ...FORWARDER_DEFAULTS, ...settings.options };
    this.#instruments = instruments(settings.metrics);
    this.#summary = new Summary(settings.log);
  }

  /** Begins to connect and returns at once; whether there is a connection is in `status`. */
  start(): void {
    if (this.#running !== undefined) return;
    const stopping = new AbortController();
    this.#stopping = stopping;
    this.#running = this.#run(stopping.signal);
  }

  /**
   * Waits briefly for acknowledgements, says `offline` upstream and disconnects, within 5 s. Idempotent, never rejects;
   * `start` may follow.
   */
  async stop(): Promise<void> {
    this.#stopping?.abort(new NotConnectedError("the forwarder stops"));
    await this.#running;
    this.#running = undefined;
    this.#change("stopped");
  }

  status(): ForwarderStatus {
    const backfill = this.#delivery?.backfill;
    const alarm = this.#alarm ?? this.#delivery?.alarm ?? this.#suspicion() ?? this.#uplink?.notice?.();
    const deadLetters = this.#settings.deadLetters?.stats();
    return {
      name: this.#settings.name,
      state: this.#state,
      sinceMs: this.#sinceMs,
      inFlight: this.#delivery?.inFlight ?? 0,
      retrying: this.#delivery?.retrying ?? 0,
      connections: this.#connections,
      ...(backfill === undefined ? {} : { backfill }),
      ...(this.#delivery && { limits: this.#delivery.limits }),
      ...(this.#lastError === undefined ? {} : { lastError: this.#lastError }),
      ...(alarm === undefined ? {} : { alarm }),
      ...(deadLetters === undefined ? {} : { deadLetters }),
    };
  }

  work(): Work | undefined {
    const step = this.#step;
    if (step !== undefined) return { ...step, forMs: monotonicMs() - step.sinceMs };
    const idleMs = this.#delivery?.idleMs ?? 0;
    return idleMs > 0 ? { doing: "records are ready and none is sent", forMs: idleMs, mayTakeMs: 0 } : undefined;
  }

  /** Awaits what has to end by itself. */
  async #within<T>(doing: string, mayTakeMs: number, call: Promise<T>): Promise<T> {
    this.#step = { doing, mayTakeMs, sinceMs: monotonicMs() };
    try {
      return await call;
    } finally {
      this.#step = undefined;
    }
  }

  async #run(signal: AbortSignal): Promise<void> {
    const backoff = new Backoff(this.#options.backoff);
    const alarms = new AlarmBackoff(this.#options.alarmBackoff);
    while (!signal.aborted) {
      const { error, lastedMs } = await this.#connection(signal);
      if (signal.aborted) return;
      if (lastedMs >= this.#options.backoff.stableMs) this.#shortLived = 0;
      else if (lastedMs > 0) this.#shortLived++;
      const alarm = error instanceof ConfigError;
      const least = error instanceof ServerBusyError ? Math.min(error.afterMs, this.#options.busyCapMs) : 0;
      const waitMs = alarm
        ? alarms.next(lastedMs)
        : Math.max(least, this.#options.leastPauseMs, backoff.next(lastedMs));
      this.#tell(error, lastedMs, waitMs);
      this.#change("waiting");
      await pause(waitMs, signal);
    }
  }

  /** One connection from beginning to end. `lastedMs` is 0 when there was none. */
  async #connection(signal: AbortSignal): Promise<{ error: unknown; lastedMs: number }> {
    this.#change("connecting");
    let uplink: Uplink;
    try {
      uplink = this.#settings.uplink();
    } catch (error) {
      return { error, lastedMs: 0 };
    }
    const lost = new AbortController();
    const onLost = (error: Error) => lost.abort(error);
    try {
      const limits = await this.#within("its uplink does not connect", CONNECT_MOST_MS, uplink.connect(onLost, signal));
      const startedMs = monotonicMs();
      await this.#deliver(uplink, limits, lost, signal);
      return { error: lost.signal.reason, lastedMs: monotonicMs() - startedMs };
    } catch (error) {
      this.#instruments.connects.inc({ uplink: this.#settings.name, result: resultOf(error) });
      await this.#close(uplink);
      return { error, lastedMs: 0 };
    }
  }

  async #deliver(uplink: Uplink, limits: UplinkLimits, lost: AbortController, signal: AbortSignal): Promise<void> {
    const { name, queue, log } = this.#settings;
    const delivery = new Delivery(this.#deliveryContext(), uplink, limits, (error) => lost.abort(error));
    this.#delivery = delivery;
    this.#uplink = uplink;
    this.#connections++;
    this.#connectedMs = monotonicMs();
    this.#alarm = undefined;
    this.#poison.begin();
    this.#instruments.connects.inc({ uplink: name, result: "connected" });
    this.#instruments.connected.set(1, { uplink: name });
    log.info(
      { inFlight: limits.inFlight, maxBytes: limits.maxBytes, properties: limits.properties },
      "uplink connected",
    );
    this.#change("connected");
    try {
      delivery.start();
      await firstAborted(lost.signal, signal);
      if (!lost.signal.aborted) await delivery.finish();
    } finally {
      this.#instruments.connected.set(0, { uplink: name });
      await this.#close(uplink);
      await this.#within("its last verdicts are not written down", CLOSE_MOST_MS, delivery.end());
      if (lost.signal.aborted && !(lost.signal.reason instanceof ServerBusyError)) this.#poison.lost(delivery.adrift);
      queue.rewind(name);
      this.#delivery = undefined;
    }
  }

  async #close(uplink: Uplink): Promise<void> {
    await this.#within("its uplink does not close", CLOSE_MOST_MS, uplink.close());
  }

  #deliveryContext(): DeliveryContext {
    const { name, gatewayId, queue, encoder, topics, clock, log, deadLetters, tracer } = this.#settings;
    return {
      name,
      gatewayId,
      queue,
      encoder,
      topics,
      clock,
      log,
      instruments: this.#instruments,
      options: this.#options,
      poison: this.#poison,
      deadLetters,
      tracer,
    };
  }

  /** Logs why there is no connection: a loss each time, a failure when it is new and then once a minute. */
  #tell(error: unknown, lastedMs: number, waitMs: number): void {
    const { log } = this.#settings;
    const reason = messageOf(error);
    this.#lastError = reason;
    const fields = { reason, retryInMs: Math.round(waitMs) };
    if (error instanceof ConfigError) {
      this.#alarm = reason;
      this.#summary.report("error", reason, fields, "uplink needs attention");
    } else if (!(error instanceof NotConnectedError)) {
      this.#summary.report("error", reason, { ...fields, err: error }, "uplink failed unexpectedly");
    } else if (lastedMs >= this.#options.backoff.stableMs) {
      this.#summary.clear();
      log.warn({ ...fields, lastedMs: Math.round(lastedMs) }, "uplink lost");
    } else if (this.#shortLived === SHORT_LIVED && lastedMs > 0) {
      this.#summary.report("error", SHORT_LIVED_KEY, { ...fields, alarm: this.#suspicion() }, "uplink needs attention");
    } else {
      this.#summary.report("warn", reason, fields, lastedMs > 0 ? "uplink lost" : "uplink cannot connect");
    }
  }

  /** Servers of 3.1.1 take a client id over without a word; so do some that do not let us publish. */
  #suspicion(): string | undefined {
    if (this.#shortLived < SHORT_LIVED) return undefined;
    if (this.#state === "connected" && monotonicMs() - this.#connectedMs >= this.#options.backoff.stableMs)
      return undefined;
    return (
      `${this.#shortLived} connections in a row ended soon after they began (${this.#lastError}); ` +
      "is the client id used twice, may it publish here, or is the link bad?"
    );
  }

  #change(state: ForwarderStatus["state"]): void {
    if (state === this.#state) return;
    this.#state = state;
    this.#sinceMs = this.#settings.clock.now().wallMs;
  }
}

function resultOf(error: unknown): string {
  return error instanceof ConfigError ? "refused" : "failed";
}
