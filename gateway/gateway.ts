import { Buffer } from "node:buffer";
import type { Sessions } from "./accounts/sessions.ts";
import { AuditJournal } from "./audit/journal.ts";
import { AuditWatch } from "./audit/watch.ts";
import type { LocalMessage } from "./broker/local-broker.ts";
import { type Broker, makeBroker } from "./brokers.ts";
import type { Runnable } from "./cli/run.ts";
import { conditionOf } from "./condition.ts";
import { LiveConfig } from "./config/live.ts";
import type { LoadedConfig, LoadedLink } from "./config/types.ts";
import type { Auditor } from "./core/audit.ts";
import type { Clock } from "./core/clock.ts";
import type { Logger } from "./core/log.ts";
import type { Metrics } from "./core/metrics.ts";
import type { Worker } from "./core/work.ts";
import { CurrentCommands } from "./current-commands.ts";
import { Errands } from "./errands.ts";
import { Front } from "./front.ts";
import { ControlServer } from "./http/control.ts";
import type { ReloadSource } from "./http/control-reload.ts";
import type { Health } from "./http/server.ts";
import { Intake } from "./intake.ts";
import { isQueued } from "./is-queued.ts";
import { Lines } from "./lines.ts";
import { LocalTopics } from "./local-topics.ts";
import { storedLine } from "./northbound/encoders/stored.ts";
import { samplesBody } from "./northbound/encoders/values.ts";
import { planReport } from "./plan-report.ts";
import { Newest, plantOf } from "./plant.ts";
import { LevelQueue } from "./queue/level-queue.ts";
import { type RecordedLink, Recorder } from "./recorder/recorder.ts";
import type { CommitDesk } from "./reload/commit.ts";
import type { Life } from "./reload/desk.ts";
import type { LivePlan } from "./reload/plan.ts";
import { settleAfter } from "./settle-after.ts";
import { Link } from "./southbound/link.ts";
import type { Scan } from "./southbound/scan.ts";
import { StartedParts } from "./started-parts.ts";
import { LearntFiles } from "./system/learnt-files.ts";
import type { LogLines } from "./system/log-lines.ts";
import { machineId } from "./system/machine-id.ts";
import { Tracing } from "./tracing/tracing.ts";
import { RunningUplink } from "./uplinks.ts";
import { Upstreams } from "./upstreams.ts";
import { programVersion } from "./version.ts";
import { Vitals } from "./vitals/vitals.ts";

export interface GatewayParts {
  readonly config: LoadedConfig;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly metricsText: () => Promise<string>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The last lines of the log, for who looks by the API; none where absent. */
  readonly logs?: LogLines;
  readonly nodeVersion?: string | undefined;
  /** Tells whoever sits at the terminal. */
  readonly announce?: (text: string) => void;
  /** Where the configuration can be applied anew; absent where it cannot. */
  readonly reloads?: ReloadSource;
  /** Where it can be replaced, on probation. */
  readonly commits?: CommitDesk;
  /** Who is logged in; outlives a life of the gateway. */
  readonly sessions?: Sessions;
}

/**
 * The composition root: makes every part from the configuration and holds the order. Start: queue, forwarders, broker,
 * links; stop in reverse, so that nothing produces what nobody takes any more.
 */
export class Gateway implements Runnable, Life {
  readonly failed: Promise<Error>;
  readonly #parts: GatewayParts;
  readonly #config: LiveConfig;
  readonly #queue: LevelQueue;
  readonly #broker: Broker;
  readonly #upstreams: Upstreams;
  readonly #newest = new Newest();
  readonly #lines: Lines;
  readonly #commands: CurrentCommands;
  readonly #learnt: LearntFiles;
  readonly #recorder: Recorder;
  readonly #audit: AuditJournal;
  readonly #watch: AuditWatch;
  readonly #front: Front;
  readonly #control: ControlServer;
  readonly #vitals: Vitals;
  readonly #tracing: Tracing;
  readonly #topics: LocalTopics;
  readonly #started: StartedParts;
  #stopped: Promise<void> | undefined;
  #up = false;
  #fail: (error: Error) => void = () => {};
  /** Commands and broker are there: what comes down can go somewhere. */
  #down: () => void = () => {};

  constructor(given: GatewayParts) {
    const config = new LiveConfig(given.config);
    const parts = { ...given, config };
    this.#parts = parts;
    this.#config = config;
    this.failed = new Promise((resolve_) => {
      this.#fail = resolve_;
    });
    const { clock, log, metrics } = parts;
    const { dataDir, id: gatewayId } = config.gateway;
    this.#started = new StartedParts(log);
    this.#tracing = new Tracing({
      options: config.telemetry,
      syncAlways: config.queue.sync === "always",
      origin: { gatewayId, version: programVersion() },
      clock,
      log: log.child({ part: "tracing" }),
      metrics,
    });
    const { tracer } = this.#tracing;
    this.#queue = new LevelQueue({
      dataDir,
      options: config.queue,
      clock,
      log: log.child({ part: "queue" }),
      metrics,
      machineId: machineId(),
      onFatal: (error) => this.#fail(error),
      onFsync: tracer && ((stream, seconds) => tracer.fsynced(stream, seconds)),
    });
    this.#audit = new AuditJournal({ dataDir, clock, log: log.child({ part: "audit" }), metrics });
    this.#watch = new AuditWatch({ audit: this.#audit, clock, stats: () => this.#queue.stats() });
    const intake = new Intake({
      queue: tracer?.appending(this.#queue) ?? this.#queue,
      log: log.child({ part: "intake" }),
      metrics,
    });
    this.#lines = new Lines((loaded) => this.#link(loaded, intake));
    this.#commands = new CurrentCommands({
      config,
      lines: this.#lines,
      audit: this.#audit,
      queue: this.#queue,
      isQueued: (topic, body, seq) => isQueued(this.#queue.inspector(), topic, body, seq),
      publish: (topic, payload, correlation) => this.#broker.publishLive(topic, payload, correlation),
      clock,
      log: log.child({ part: "commands" }),
      metrics,
    });
    let settled = 0;
    this.#broker = makeBroker({
      ...parts,
      queue: this.#queue,
      commands: this.#commands,
      progress: () => settled,
      audit: this.#audit,
      about: () => this.#topics.about(),
    });
    this.#topics = new LocalTopics({
      ...parts,
      gatewayId,
      version: programVersion(),
      broker: this.#broker,
      health: () => this.health(),
      external: config.broker.external !== undefined,
      sysMs: config.broker.sys,
    });
    const started = new Promise<void>((resolve_) => {
      this.#down = resolve_;
    });
    const down = {
      started,
      commands: this.#commands,
      publish: (message: LocalMessage) => this.#broker.publish(message),
    };
    const delivering = settleAfter(
      this.#queue,
      () => this.#commands.told(),
      (records) => {
        settled += records;
      },
    );
    const plant = plantOf(config, this.#newest, {
      link: (name) => this.#lines.get(name),
      command: (message) => this.#commands.take(message),
    });
    this.#upstreams = new Upstreams(
      this.#queue,
      (uplink) => new RunningUplink(uplink, { ...parts, queue: delivering, down, plant: plant(uplink), tracer }),
    );
    this.#learnt = new LearntFiles(dataDir, clock, log.child({ part: "learnt" }));
    this.#recorder = new Recorder({
      dataDir,
      gatewayId,
      version: programVersion(),
      clock,
      log: log.child({ part: "recorder" }),
      minFree: config.queue.minFree,
      links: config.links.map(recordedLink),
    });
    this.#vitals = new Vitals({
      ...parts,
      gatewayId,
      version: programVersion(),
      dataDir,
      links: () => this.#lines.all.map((link) => link.status()),
      uplinks: () => this.#upstreams.status(),
      queue: () => this.#queue.stats(),
      broker: () => this.#broker.status(),
      badTags: (device) => this.#front.badTags(device),
      health: () => this.health(),
      ready: () => this.#ready(),
    });
    this.#front = new Front({
      ...parts,
      metricsText: () => this.#vitals.text(),
      audit: this.#audit,
      queue: this.#queue,
      recorder: this.#recorder,
      links: () => this.#lines.all,
      uplinks: () => this.#upstreams.status(),
      broker: () => this.#broker.status(),
      settled: () => settled,
      health: () => this.health(),
      ready: () => this.#ready(),
      status: () => this.status(),
      plan: () => this.plan(),
    });
    this.#control = new ControlServer({
      dataDir,
      gatewayId,
      inspector: () => this.#queue.inspector(),
      encode: (entry) => storedLine(entry, gatewayId),
      recorder: this.#recorder,
      status: () => this.status(),
      plan: () => this.plan(),
      support: () => this.#front.support(),
      log: log.child({ part: "control" }),
      errands: new Errands(config, () => this.#lines.all, log.child({ part: "errands" }), { audit: this.#audit }),
      ...(parts.reloads === undefined ? {} : { reloads: parts.reloads }),
    });
  }

  async start(signal: AbortSignal): Promise<void> {
    const config = this.#config;
    const started = this.#started;
    this.#tracing.start();
    started.began("tracing", () => this.#tracing.stop());
    await this.#queue.start();
    started.began("queue", () => this.#queue.close());
    // The folder is locked by now: nobody else writes there.
    await this.#audit.start();
    started.began("audit", () => this.#watch.stop().then(() => this.#audit.stop()));
    await this.#watch.start(config.file, await this.#front.describe());
    await this.#upstreams.enrol(config);
    signal.throwIfAborted();
    await started.listen("control", this.#control);
    await this.#commands.load();
    started.began("uplinks", () => this.#upstreams.stop());
    await this.#upstreams.start(config);
    await this.#commands.start();
    await started.listen("broker", this.#broker);
    this.#topics.start();
    started.began("topics", () => this.#topics.stop());
    signal.throwIfAborted();
    await started.listen("http", this.#front);
    await this.#learnt.start();
    started.began("learnt", () => this.#learnt.stop());
    started.began("recorder", () => this.#recorder.stop());
    started.began("links", () => this.#lines.stop());
    await this.#lines.start(config.links);
    // What is on the wire is answered before the links go.
    started.began("commands", () => this.#commands.stop());
    this.#down();
    this.#up = true;
  }

  /** As `Life.follow`. What is not in the plan is not touched: no scan is missed there, no connection is cut. */
  async follow(next: LoadedConfig, { links, uplinks, commands, users }: LivePlan): Promise<void> {
    this.#config.replace(next);
    this.#vitals.loaded();
    if (commands) await this.#commands.follow();
    await this.#lines.end(links);
    this.#recorder.follow(next.links.map(recordedLink), links.stop);
    await this.#front.follow();
    await this.#upstreams.end(uplinks);
    await this.#upstreams.begin(next, uplinks.start);
    if (users) this.#broker.setUsers?.(next.broker.users);
    await this.#lines.begin(next.links, links.start);
  }

  get trail(): Auditor {
    return this.#audit;
  }

  condition(): ReadonlyMap<string, boolean> {
    return conditionOf(
      this.#lines.all.map((line) => line.status()),
      this.#upstreams.status(),
    );
  }

  #ready(): Health {
    const { ok, reasons } = this.health();
    return { ok: ok && this.#up, reasons: this.#up ? reasons : ["still starting", ...reasons] };
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    // One that was never begun still lets what is delivered leave the queue.
    if (!this.#started.has("commands")) await this.#commands.stop();
    await this.#started.stop();
  }

  #link({ name, driver, options, devices }: LoadedLink, intake: Intake): Link {
    const { clock, metrics } = this.#parts;
    const log = this.#parts.log.child({ link: name });
    const tap = this.#recorder.tap(name);
    return new Link({
      name,
      driver: () =>
        driver.create(options, { link: name, clock, log, metrics, learnt: this.#learnt, ...(tap && { tap }) }),
      onFault: (reason) => this.#recorder.fault(name, reason),
      devices,
      clock,
      log,
      metrics,
      emit: (scan) => {
        this.#tracing.tracer?.seen(scan);
        void intake.take(scan);
        this.#commands.see(scan.device.name, scan.samples);
        this.#local(scan);
      },
    });
  }

  /** The local broker's copy: a local HMI or Node-RED sees each scan at once. Never goes through the queue. */
  #local(scan: Scan): void {
    this.#newest.take(scan);
    this.#front.take(scan);
    const body = samplesBody(scan.taken.wallMs, scan.samples);
    this.#broker.publishLive(scan.device.topic, Buffer.from(`{${body}`));
  }

  /** Who has work, and may be stuck in it. */
  workers(): readonly Worker[] {
    return [...this.#queue.workers, ...this.#upstreams.workers, ...this.#lines.all];
  }

  health(): Health {
    const reasons: string[] = [];
    if (!this.#queue.stats().healthy) reasons.push("the disk refuses writes to the queue");
    if (this.#broker.status().journal?.healthy === false) reasons.push("the disk refuses writes to the local sessions");
    return { ok: reasons.length === 0, reasons };
  }

  /** What `millrace status` shows. */
  status(): Record<string, unknown> {
    const { config, clock } = this.#parts;
    return {
      gateway: config.gateway.id,
      now: clock.now().wallMs,
      clock: clock.now().clock,
      health: this.health(),
      links: this.#lines.all.map((link) => link.status()),
      queue: this.#queue.stats(),
      uplinks: this.#upstreams.status(),
      broker: this.#broker.status(),
    };
  }

  /** What each run of each scan group asks for at present: with all that was learnt. For the API and `millrace requests`. */
  plan(): Record<string, unknown> {
    const { config, clock } = this.#parts;
    const links = config.links.flatMap((loaded) => {
      const link = this.#lines.get(loaded.name);
      return link ? [planReport(loaded, link)] : [];
    });
    return { gateway: config.gateway.id, now: clock.now().wallMs, links };
  }

  summary(): Record<string, unknown> {
    const { config } = this.#parts;
    return {
      gateway: config.gateway.id,
      broker: this.#broker.addresses(),
      http: this.#front.url,
      links: config.links.map(({ name }) => name),
      uplinks: config.uplinks.map(({ name }) => name),
      dataDir: config.gateway.dataDir,
    };
  }
}

/** What the recorder has to know of a link. */
function recordedLink({ name, driver, options, devices, recorder }: LoadedLink): RecordedLink {
  return { name, driver: driver.name, options: recorder, capture: driver.recording?.capture(options, devices) };
}
