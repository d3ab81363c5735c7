import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import { destination, pino } from "pino";
import { AuditJournal } from "./audit/journal.ts";
import { AuditWatch } from "./audit/watch.ts";
import { auditedWrite } from "./audited-write.ts";
import type { LocalMessage } from "./broker/local-broker.ts";
import { type Broker, makeBroker } from "./brokers.ts";
import type { CliIo } from "./cli/io.ts";
import { type Runnable, runRun } from "./cli/run.ts";
import { Commands } from "./commands/commands.ts";
import type { Target } from "./commands/target.ts";
import { Triggers } from "./commands/triggers.ts";
import { type LoadedConfig, loadConfig } from "./config/load.ts";
import type { Clock } from "./core/clock.ts";
import { messageOf } from "./core/errors.ts";
import type { Logger } from "./core/log.ts";
import type { Metrics } from "./core/metrics.ts";
import { selectorOf } from "./core/selector.ts";
import { Errands } from "./errands.ts";
import { Front } from "./front.ts";
import { ControlServer } from "./http/control.ts";
import type { Health } from "./http/server.ts";
import { Intake } from "./intake.ts";
import { isQueued } from "./is-queued.ts";
import { LocalTopics } from "./local-topics.ts";
import { storedLine } from "./northbound/encoders/stored.ts";
import { samplesBody } from "./northbound/encoders/values.ts";
import { planReport } from "./plan-report.ts";
import { Newest, plantOf } from "./plant.ts";
import { LevelQueue } from "./queue/level-queue.ts";
import { Recorder } from "./recorder/recorder.ts";
import { settleAfter } from "./settle-after.ts";
import { Link } from "./southbound/link.ts";
import type { Scan } from "./southbound/scan.ts";
import { SystemClock } from "./system/clock.ts";
import { LearntFiles } from "./system/learnt-files.ts";
import { LogLines } from "./system/log-lines.ts";
import { PromMetrics } from "./system/prom-metrics.ts";
import { SdNotify } from "./system/sd-notify.ts";
import { Tracing } from "./tracing/tracing.ts";
import { RunningUplink, selectionOf } from "./uplinks.ts";
import { programVersion } from "./version.ts";
import { Vitals } from "./vitals/vitals.ts";

/** The program stops within 10 s, whatever a part does. */
const STOP_MS = 9_000;
const LISTEN_AGAIN_MS = 10_000;

interface Parts {
  readonly config: LoadedConfig;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly metricsText: () => Promise<string>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The last lines of the log, for who looks by the API; none where absent. */
  readonly logs?: LogLines;
  /** Tells whoever sits at the terminal. */
  readonly announce?: (text: string) => void;
}

interface Started {
  readonly name: string;
  readonly stop: () => Promise<void>;
}

/**
 * The composition root: makes every part from the configuration and holds the order. Start: queue, forwarders, broker,
 * links; stop in reverse, so that nothing produces what nobody takes any more.
 */
export class Gateway implements Runnable {
  readonly failed: Promise<Error>;
  readonly #parts: Parts;
  readonly #queue: LevelQueue;
  readonly #broker: Broker;
  readonly #uplinks: readonly RunningUplink[];
  readonly #newest = new Newest();
  readonly #links: readonly Link[];
  readonly #commands: Commands;
  readonly #triggers: Triggers;
  readonly #learnt: LearntFiles;
  readonly #recorder: Recorder;
  readonly #audit: AuditJournal;
  readonly #watch: AuditWatch;
  readonly #front: Front;
  readonly #control: ControlServer;
  readonly #tracing: Tracing;
  readonly #topics: LocalTopics;
  readonly #started: Started[] = [];
  #stopped: Promise<void> | undefined;
  #up = false;
  #fail: (error: Error) => void = () => {};
  /** Commands and broker are there: what comes down can go somewhere. */
  #down: () => void = () => {};

  constructor(parts: Parts) {
    this.#parts = parts;
    this.failed = new Promise((resolve_) => {
      this.#fail = resolve_;
    });
    const { config, clock, log, metrics } = parts;
    this.#tracing = new Tracing({
      options: config.telemetry,
      syncAlways: config.queue.sync === "always",
      origin: { gatewayId: config.gateway.id, version: programVersion() },
      clock,
      log: log.child({ part: "tracing" }),
      metrics,
    });
    const { tracer } = this.#tracing;
    this.#queue = new LevelQueue({
      dataDir: config.gateway.dataDir,
      options: config.queue,
      clock,
      log: log.child({ part: "queue" }),
      metrics,
      machineId: machineId(),
      onFatal: (error) => this.#fail(error),
      onFsync: tracer && ((stream, seconds) => tracer.fsynced(stream, seconds)),
    });
    this.#audit = new AuditJournal({
      dataDir: config.gateway.dataDir,
      clock,
      log: log.child({ part: "audit" }),
      metrics,
    });
    this.#watch = new AuditWatch({ audit: this.#audit, clock, stats: () => this.#queue.stats() });
    this.#commands = this.#commandsOf(parts);
    this.#triggers = new Triggers({
      recipes: config.recipes,
      begin: (recipe) => this.#commands.trigger(recipe),
      log: log.child({ part: "recipes" }),
    });
    let settled = 0;
    this.#broker = makeBroker({
      ...parts,
      queue: this.#queue,
      commands: this.#commands,
      progress: () => settled,
      about: () => this.#topics.about(),
    });
    this.#topics = new LocalTopics({
      ...parts,
      gatewayId: config.gateway.id,
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
      link: (index) => this.#links[index],
      command: (message) => this.#commands.take(message),
    });
    this.#uplinks = config.uplinks.map(
      (uplink) => new RunningUplink(uplink, { ...parts, queue: delivering, down, plant: plant(uplink), tracer }),
    );
    this.#learnt = new LearntFiles(config.gateway.dataDir, clock, log.child({ part: "learnt" }));
    this.#recorder = new Recorder({
      dataDir: config.gateway.dataDir,
      gatewayId: config.gateway.id,
      version: programVersion(),
      clock,
      log: log.child({ part: "recorder" }),
      minFree: config.queue.minFree,
      links: config.links.map(({ name, driver, options, devices, recorder }) => ({
        name,
        driver: driver.name,
        options: recorder,
        capture: driver.recording?.capture(options, devices),
      })),
    });
    const intake = new Intake({
      queue: tracer?.appending(this.#queue) ?? this.#queue,
      log: log.child({ part: "intake" }),
      metrics,
    });
    this.#links = config.links.map((link) => this.#link(link, intake));
    const vitals = new Vitals({
      ...parts,
      gatewayId: config.gateway.id,
      version: programVersion(),
      dataDir: config.gateway.dataDir,
      links: () => this.#links.map((link) => link.status()),
      uplinks: () => this.#uplinks.map((uplink) => uplink.status()),
      queue: () => this.#queue.stats(),
      broker: () => this.#broker.status(),
      badTags: (device) => this.#front.badTags(device),
      health: () => this.health(),
      ready: () => this.#ready(),
    });
    this.#front = new Front({
      ...parts,
      metricsText: () => vitals.text(),
      audit: this.#audit,
      queue: this.#queue,
      recorder: this.#recorder,
      links: () => this.#links,
      uplinks: () => this.#uplinks.map((uplink) => uplink.status()),
      broker: () => this.#broker.status(),
      settled: () => settled,
      health: () => this.health(),
      ready: () => this.#ready(),
      status: () => this.status(),
      plan: () => this.plan(),
    });
    this.#control = new ControlServer({
      dataDir: config.gateway.dataDir,
      gatewayId: config.gateway.id,
      inspector: () => this.#queue.inspector(),
      encode: (entry) => storedLine(entry, config.gateway.id),
      recorder: this.#recorder,
      status: () => this.status(),
      plan: () => this.plan(),
      log: log.child({ part: "control" }),
      errands: new Errands(config.links, () => this.#links, log.child({ part: "errands" }), { audit: this.#audit }),
    });
  }

  async start(signal: AbortSignal): Promise<void> {
    const { config } = this.#parts;
    this.#tracing.start();
    this.#began("tracing", () => this.#tracing.stop());
    await this.#queue.start();
    this.#began("queue", () => this.#queue.close());
    // The folder is locked by now: nobody else writes there.
    await this.#audit.start();
    this.#began("audit", () => this.#watch.stop().then(() => this.#audit.stop()));
    await this.#watch.start(config.file, await this.#front.describe());
    for (const uplink of config.uplinks) {
      const { name, from, required, maxBacklog } = uplink.shared;
      await this.#queue.open(name, {
        selector: selectorOf(selectionOf(uplink, config)),
        from,
        required,
        maxBacklog: { bytes: maxBacklog.bytes, ageMs: maxBacklog.age },
        retainMs: maxBacklog.retain,
      });
    }
    signal.throwIfAborted();
    await this.#listen("control", this.#control);
    await this.#commands.load();
    for (const [index, uplink] of this.#uplinks.entries()) {
      await uplink.start();
      this.#began(`uplink ${config.uplinks[index]?.name}`, () => uplink.stop());
    }
    await this.#commands.start();
    await this.#listen("broker", this.#broker);
    this.#topics.start();
    this.#began("topics", () => this.#topics.stop());
    signal.throwIfAborted();
    await this.#listen("http", this.#front);
    await this.#learnt.start();
    this.#began("learnt", () => this.#learnt.stop());
    this.#began("recorder", () => this.#recorder.stop());
    for (const [index, link] of this.#links.entries()) {
      await link.start();
      this.#began(`link ${config.links[index]?.name}`, () => link.stop());
    }
    // What is on the wire is answered before the links go.
    this.#began("commands", () => this.#commands.stop());
    this.#down();
    this.#up = true;
  }

  #ready(): Health {
    const { ok, reasons } = this.health();
    return { ok: ok && this.#up, reasons: this.#up ? reasons : ["still starting", ...reasons] };
  }

  /** Parts of one kind stop together; the kinds in reverse order of the start. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    // One that was never begun still lets what is delivered leave the queue.
    if (!this.#started.some(({ name }) => name === "commands")) await this.#commands.stop();
    const kinds: { kind: string; parts: Started[] }[] = [];
    for (const part of this.#started.splice(0).reverse()) {
      const kind = part.name.split(" ")[0] ?? "";
      if (kinds.at(-1)?.kind === kind) kinds.at(-1)?.parts.push(part);
      else kinds.push({ kind, parts: [part] });
    }
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<"late">((resolve_) => {
      timer = setTimeout(() => resolve_("late"), STOP_MS);
    });
    for (const { kind, parts } of kinds) {
      const done = Promise.all(parts.map(({ stop }) => stop()));
      if ((await Promise.race([done, late])) === "late") {
        this.#parts.log.error({ part: kind }, "a part did not stop in time");
        break;
      }
    }
    clearTimeout(timer);
  }

  /**
   * Starts a part that listens. A port that is taken, after a power cut by whoever was quicker, must not keep the lines
   * from being polled: it is told as an error, and tried again until it is free.
   */
  async #listen(name: string, part: { start(): Promise<void>; stop(): Promise<void> }): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const { log } = this.#parts;
    const attempt = async (first: boolean): Promise<void> => {
      try {
        await part.start();
        if (!first) log.info({ part: name }, "listens now");
      } catch (error) {
        if (first)
          log.error({ part: name, error: messageOf(error), retryMs: LISTEN_AGAIN_MS }, "cannot listen; trying again");
        timer = setTimeout(() => void attempt(false), LISTEN_AGAIN_MS);
      }
    };
    await attempt(true);
    this.#began(name, async () => {
      clearTimeout(timer);
      await part.stop();
    });
  }

  #began(name: string, stop: () => Promise<void>): void {
    this.#started.push({ name, stop });
  }

  #commandsOf({ config, clock, log, metrics }: Parts): Commands {
    const targets = config.links.flatMap(({ driver, devices }, index) =>
      devices.map((device): Target => {
        const link = () => this.#links[index] ?? fail(`no link ${index}`);
        return {
          device,
          limits: (tag) => driver.writable?.(tag.options),
          write: (writes, signal) =>
            auditedWrite(this.#audit, device.name, writes, () => link().write(device.name, writes, signal)),
          read: (tags, signal) => link().read(device.name, tags, signal),
        };
      }),
    );
    return new Commands({
      options: config.commands,
      dataDir: config.gateway.dataDir,
      targets,
      recipes: config.recipes,
      queue: this.#queue,
      isQueued: (topic, body, seq) => isQueued(this.#queue.inspector(), topic, body, seq),
      publish: (topic, payload, correlation) => this.#broker.publishLive(topic, payload, correlation),
      clock,
      log: log.child({ part: "commands" }),
      metrics,
    });
  }

  #link({ name, driver, options, devices }: LoadedConfig["links"][number], intake: Intake): Link {
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
        this.#triggers.see(scan.device.name, scan.samples);
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
      links: this.#links.map((link) => link.status()),
      queue: this.#queue.stats(),
      uplinks: this.#uplinks.map((uplink) => uplink.status()),
      broker: this.#broker.status(),
    };
  }

  /** What each run of each scan group asks for at present: with all that was learnt. For the API and `millrace requests`. */
  plan(): Record<string, unknown> {
    const { config, clock } = this.#parts;
    const links = config.links.flatMap((loaded, index) => {
      const link = this.#links[index];
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

function fail(message: string): never {
  throw new Error(message);
}

/** Tells one machine from its clone: a copied card must not continue the ids of the first. */
function machineId(): string {
  try {
    return readFileSync("/etc/machine-id", "utf8").trim();
  } catch {
    return "";
  }
}

/** `millrace run`, with everything it is made of. */
export function runCommand(args: string[], io: CliIo): Promise<number> {
  const metrics = new PromMetrics();
  let current: Gateway | undefined;
  const logs = new LogLines();
  return runRun(args, io, {
    load: (file) => loadConfig(file, { env: io.env, cwd: io.cwd }),
    logger: (level) => {
      const out = destination({ fd: 1, sync: true });
      const both = {
        write: (line: string) => {
          out.write(line);
          logs.write(line);
        },
      };
      return pino({ level, base: null, formatters: { level: (label) => ({ level: label }) } }, both);
    },
    gateway: (config, log) => {
      metrics.collectProcess();
      current = new Gateway({
        config,
        clock: new SystemClock(),
        log,
        metrics,
        metricsText: () => metrics.text(),
        env: io.env,
        logs,
        ...(io.errTty ? { announce: (text: string) => io.err(text) } : {}),
      });
      return current;
    },
    supervisor: (log) => new SdNotify({ env: io.env, healthy: () => current?.health().ok ?? false, log, metrics }),
  });
}
