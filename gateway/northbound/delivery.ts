import type { Clock } from "../core/clock.ts";
import type { DeadLetters } from "../core/dead-letters.ts";
import { messageOf, NotConnectedError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import { histogramRow } from "../core/metrics.ts";
import type { Queue } from "../core/queue.ts";
import type { WayTracer } from "../core/trace.ts";
import type { Uplink, UplinkLimits, Verdict } from "../core/uplink.ts";
import { AckProbe } from "./ack-probe.ts";
import { batchWithin } from "./batcher.ts";
import { ClockTeller } from "./clock-teller.ts";
import type { EncodeContext, Encoder } from "./encoders/encoder.ts";
import type { Instruments } from "./instruments.ts";
import { entriesOf, type Job, jobOf, keysOf, type Part, partOf } from "./job.ts";
import { Lanes } from "./lanes.ts";
import type { ForwarderOptions } from "./options.ts";
import { Outcomes } from "./outcomes.ts";
import { ownStatus } from "./own-status.ts";
import { type BackfillPace, Pace } from "./pace.ts";
import { monotonicMs, within } from "./pause.ts";
import { type Poison, STATUS_KEY } from "./poison.ts";
import { retryPause } from "./retries.ts";
import { Settler } from "./settler.ts";
import { Summary } from "./summary.ts";
import { Supply } from "./supply.ts";
import type { TopicMapper } from "./topics.ts";

export interface DeliveryContext {
  readonly name: string;
  readonly gatewayId: string;
  readonly queue: Queue;
  readonly encoder: Encoder;
  readonly topics: TopicMapper;
  readonly clock: Clock;
  readonly log: Logger;
  readonly instruments: Instruments;
  readonly options: ForwarderOptions;
  readonly poison: Poison;
  readonly deadLetters: DeadLetters | undefined;
  readonly tracer: WayTracer | undefined;
}

/** Reads ahead at least this far, whatever the window. */
const READ_AHEAD = 512;
const READ_AHEAD_MAX = 2000;
/** Of the window, what backfill leaves to live data: one sixteenth. */
const LIVE_PLACES = 4;
const METRICS_MS = 1000;

/**
 * Moves records over one connection: keeps the window full out of both streams, takes verdicts in any order, and holds a
 * place in the window until the cursor that covers it is written. Ends with the connection.
 */
export class Delivery {
  readonly #context: DeliveryContext;
  readonly #uplink: Uplink;
  readonly #limits: UplinkLimits;
  readonly #lost: (error: Error) => void;
  readonly #abort = new AbortController();
  readonly #lanes: Lanes;
  readonly #pace: Pace;
  readonly #clocks: ClockTeller;
  readonly #settler: Settler;
  readonly #supply: Supply;
  readonly #rejects: Summary;
  readonly #outcomes: Outcomes;
  readonly #probe: AckProbe;
  readonly #label: { readonly uplink: string };
  #reading: Promise<void> = Promise.resolve();
  #timers: NodeJS.Timeout[] = [];
  #forgetGaps: () => void = () => {};
  #closed = false;
  #draining = false;
  #sending = false;
  #pumpTurn = false;
  /** Messages with a place in the window: without a verdict, or not yet settled. */
  #held = 0;
  /** Messages without a verdict, and their bytes. */
  #flying = 0;
  /** Without a verdict when the connection was lost. */
  readonly #adrift: Part[] = [];
  #alarm: string | undefined;
  #statusDue = false;
  #flyingBytes = 0;
  #lastProgressMs = 0;
  /** When it was last looked for something to send. */
  #movedMs = monotonicMs();
  #quiet: (() => void) | undefined;

  /** @param lost called once when the far side stopped to answer; the connection is to be closed. */
  constructor(context: DeliveryContext, uplink: Uplink, limits: UplinkLimits, lost: (error: Error) => void) {
    const { name, gatewayId, queue, topics, options, log } = context;
    this.#context = context;
    this.#uplink = uplink;
    this.#limits = limits;
    this.#lost = lost;
    this.#label = { uplink: name };
    this.#probe = new AckProbe(histogramRow(context.instruments.ack, this.#label));
    const encoding: EncodeContext = { gatewayId, topics, envelope: !limits.properties, historical: false };
    const wake = () => this.#pump();
    const { order, maxRate, eventsWeight, gapHoldMs, storagePauseMs } = options;
    const maxRecords = Math.min(READ_AHEAD_MAX, Math.max(READ_AHEAD, 2 * limits.inFlight));
    const reading = { uplink: name, maxRecords, maxBytes: options.readBytes, gapHoldMs, storagePauseMs };
    this.#lanes = new Lanes({ order, eventsWeight, ...reading }, queue, log, wake);
    this.#pace = new Pace({ maxRate, backfill: order === "live-first", maxBytes: options.maxInFlightBytes }, wake);
    this.#clocks = new ClockTeller(context, (part) => {
      this.#supply.push(part);
      this.#pump();
    });
    this.#supply = new Supply(
      {
        queue,
        encoder: context.encoder,
        encoding,
        batch: batchWithin(options.batch, limits.maxBytes),
        maxBatched: options.maxBatched,
        keys: options.keys,
        poison: context.poison,
        wake,
      },
      this.#lanes,
      {
        open: () => this.#pace.open,
        mayRetry: () => !this.#draining && !this.#tooManyBytes(),
        mayTakeMore: () => this.#mayTakeMore(),
        mayBackfill: () => this.#mayBackfill(),
        flying: () => this.#flying,
        unsent: (job, fault) => this.#unsent(job, fault),
      },
    );
    this.#rejects = new Summary(log);
    this.#settler = new Settler(
      {
        uplink: name,
        group: Math.max(1, limits.inFlight >> 2),
        pauseMs: options.storagePauseMs,
        records: context.instruments.records,
        deadLetters: context.deadLetters,
      },
      queue,
      log,
      (messages) => {
        this.#held -= messages;
        this.#pump();
      },
    );
    this.#outcomes = new Outcomes({
      settler: this.#settler,
      supply: this.#supply,
      lanes: this.#lanes,
      clocks: this.#clocks,
      poison: context.poison,
      rejects: this.#rejects,
      release: () => this.#release(),
    });
  }

  /** What the far side allows. */
  get limits(): Pick<UplinkLimits, "inFlight" | "maxBytes" | "properties"> {
    const { inFlight, maxBytes, properties } = this.#limits;
    return { inFlight, properties, ...(maxBytes === undefined ? {} : { maxBytes }) };
  }

  get inFlight(): number {
    return this.#held;
  }
  /** Undefined with `fifo`. */
  get backfill(): BackfillPace | undefined {
    return this.#pace.backfill;
  }
  get retrying(): number {
    return this.#supply.retrying;
  }
  /** What only a person can cure. */
  get alarm(): string | undefined {
    return this.#supply.parked > 0 ? this.#alarm : undefined;
  }
  /** Records of each message that had no verdict when the connection was lost. */
  get adrift(): readonly (readonly string[])[] {
    return this.#adrift.map((part) => keysOf(part.job)).filter((keys) => keys.length > 0);
  }

  /** For how long something could be sent and is not, in milliseconds. What the far side holds up does not count: it ends by `lost`. */
  get idleMs(): number {
    const isIdle = !this.#closed && !this.#sending && this.#flying === 0 && this.#held < this.#window;
    return isIdle && this.#supply.ready ? monotonicMs() - this.#movedMs : 0;
  }

  start(): void {
    const { name, queue, options } = this.#context;
    this.#lastProgressMs = monotonicMs();
    this.#forgetGaps = queue.onGap(name, () => {
      this.#lanes.refreshGaps();
      this.#pump();
    });
    const ackTimeoutMs = this.#limits.ackTimeoutMs ?? options.ackTimeoutMs;
    this.#timers = [
      setInterval(() => this.#status("online"), options.statusEveryMs),
      setInterval(() => this.#watch(ackTimeoutMs), Math.max(10, ackTimeoutMs / 4)),
    ];
    if (options.order === "live-first") this.#timers.push(setInterval(() => this.#tellBackfill(), METRICS_MS));
    if (this.#context.poison.suspectsFirst) this.#statusDue = true;
    else this.#status("online");
    this.#clocks.start();
    this.#reading = this.#lanes.run(this.#abort.signal);
    this.#pump();
  }

  /** Sends nothing new, waits for what is in flight, and says `offline`. Bounded by `drainMs` and `farewellMs`. */
  async finish(): Promise<void> {
    const { drainMs, farewellMs } = this.#context.options;
    this.#draining = true;
    this.#supply.stop();
    await within(drainMs, new Promise<void>((resolve) => this.#whenQuiet(resolve)));
    if (this.#closed) return;
    await within(farewellMs, new Promise<void>((resolve) => this.#status("offline", resolve)));
  }

  /**
   * Stops and takes the last verdicts to the queue. Called after the uplink is closed; never rejects. What has no
   * verdict stays owed.
   */
  async end(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#timers) clearInterval(timer);
    this.#forgetGaps();
    this.#clocks.stop();
    this.#supply.stop();
    this.#abort.abort(new NotConnectedError("the connection is gone"));
    this.#pace.stop();
    await this.#reading;
    await this.#settler.close();
    this.#context.instruments.inFlight.set(0, this.#label);
    this.#context.instruments.backfillRate.set(0, this.#label);
  }

  #pump(): void {
    if (this.#pumpTurn) return;
    // Verdicts, settlements and reads of one turn come together into one batch.
    this.#pumpTurn = true;
    queueMicrotask(() => {
      this.#pumpTurn = false;
      this.#fillWindow();
    });
  }

  #fillWindow(): void {
    this.#movedMs = monotonicMs();
    if (this.#held === 0 && this.#supply.idle) this.#quiet?.();
    if (this.#closed || this.#sending) return;
    const batch: Part[] = [];
    while (this.#held < this.#window) {
      const part = this.#supply.next();
      if (part === undefined) break;
      this.#held++;
      this.#flyingBytes += part.message.payload.byteLength;
      if (this.#flying++ === 0) this.#lastProgressMs = monotonicMs();
      this.#pace.sent(part);
      this.#probe.sent(part);
      this.#context.tracer?.sent(this.#context.name, entriesOf(part.job));
      batch.push(part);
    }
    if (batch.length === 0) return;
    this.#context.instruments.inFlight.set(this.#held, this.#label);
    this.#sending = true;
    const messages = batch.map((part) => part.message);
    const verdict = (index: number, v: Verdict) => {
      const part = batch[index];
      if (part) this.#onVerdict(part, v);
    };
    this.#uplink.send(messages, verdict, this.#abort.signal).then(
      () => {
        this.#sending = false;
        this.#pump();
      },
      (error: unknown) => {
        this.#sending = false;
        // A connection that is lost tells so itself, after the verdicts; anything else here is a fault of the uplink.
        if (!this.#closed) this.#lost(error instanceof Error ? error : new NotConnectedError(messageOf(error)));
      },
    );
  }

  get #window(): number {
    return this.#context.poison.window(this.#limits.inFlight);
  }

  #mayTakeMore(): boolean {
    const { inFlight } = this.#limits;
    return !this.#draining && !this.#tooManyBytes() && !this.#supply.stuck(inFlight) && this.#held < this.#window;
  }

  #tooManyBytes(): boolean {
    return this.#flying > 0 && this.#flyingBytes >= this.#context.options.maxInFlightBytes;
  }

  #mayBackfill(): boolean {
    const { inFlight } = this.#limits;
    return this.#held < inFlight - (inFlight >> LIVE_PLACES) && this.#pace.backfillOpen;
  }

  /** It takes a place in the window too, until the queue knows. */
  #unsent(job: Job, fault: string | undefined): void {
    this.#held++;
    if (fault === undefined) this.#outcomes.complete(job);
    else this.#outcomes.reject(job, fault);
  }

  #onVerdict(part: Part, verdict: Verdict): void {
    const { job, message } = part;
    const { poison } = this.#context;
    this.#supply.answered(part);
    this.#probe.answered(part, verdict.kind === "ack");
    this.#context.tracer?.answered(this.#context.name, entriesOf(job), verdict.kind === "ack");
    const unanswered = verdict.kind === "retry" ? verdict.unanswered : undefined;
    if (unanswered === "sent") this.#adrift.push(part);
    else if (unanswered === undefined) poison.answered(keysOf(job));
    this.#flying--;
    this.#flyingBytes -= message.payload.byteLength;
    this.#lastProgressMs = monotonicMs();
    this.#pace.answered(part, this.#closed ? "over" : verdict.kind === "retry" ? "refused" : "acknowledged");
    // Backfill waits for bytes in flight, not for places: those come free only once the queue has written it down.
    if (this.#context.options.order === "live-first") this.#pump();
    if (this.#statusDue && !this.#closed) this.#status("online");
    this.#statusDue = false;
    if (verdict.kind === "retry" && verdict.alarm === true) this.#alarm = `${message.topic}: ${verdict.reason}`;
    if (job.dead) this.#release();
    else if (verdict.kind === "ack") {
      if (--job.left === 0) this.#outcomes.complete(job);
      else this.#release();
    } else if (verdict.kind === "reject") this.#outcomes.reject(job, verdict.reason);
    else this.#again(part, verdict);
  }

  #again(part: Part, verdict: Extract<Verdict, { kind: "retry" }>): void {
    this.#release();
    const { what } = part.job;
    // The next status is never far away, and a later one says more.
    if (what.kind === "status") {
      what.done();
      return;
    }
    if (this.#closed || this.#draining) return;
    const { retryBaseMs, retryCapMs } = this.#context.options;
    this.#context.instruments.retries.inc(this.#label);
    part.job.tries++;
    const pauseMs = retryPause(part.job.tries, retryBaseMs, retryCapMs);
    this.#supply.again(part, Math.max(verdict.afterMs ?? 0, pauseMs), verdict.alarm === true);
  }

  #release(): void {
    this.#held--;
    this.#pump();
  }

  #tellBackfill(): void {
    const { backfillRate, backfillWindow } = this.#context.instruments;
    backfillRate.set(this.backfill?.bytesPerSecond ?? 0, this.#label);
    backfillWindow.set(this.backfill?.windowBytes ?? 0, this.#label);
  }

  #status(state: "online" | "offline", done: () => void = () => {}): void {
    const { topics, poison } = this.#context;
    if (poison.statusMuted) {
      this.#rejects.report(
        "error",
        STATUS_KEY,
        { topic: topics.control("status") },
        "the status is not accepted; left out",
      );
      done();
      return;
    }
    const message = ownStatus(this.#context, state);
    const job = jobOf({ kind: "status", done }, [message]);
    this.#supply.pushFirst(partOf(job, message));
    this.#pump();
  }

  #watch(ackTimeoutMs: number): void {
    // A wire that takes no more although all is answered is as dead as one that does not answer.
    if ((this.#flying === 0 && !this.#sending) || monotonicMs() - this.#lastProgressMs < ackTimeoutMs) return;
    this.#lastProgressMs = monotonicMs();
    const what = this.#flying === 0 ? "nothing more was taken" : "no acknowledgement";
    this.#lost(new NotConnectedError(`${what} for ${Math.round(ackTimeoutMs / 1000)} s`));
  }

  #whenQuiet(resolve: () => void): void {
    this.#quiet = resolve;
    this.#pump();
  }
}
