import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import { isAbsolute, resolve } from "node:path";
import { pino } from "pino";
import { LocalBroker } from "./broker/local-broker.ts";
import type { CliIo } from "./cli/io.ts";
import { type Runnable, runRun } from "./cli/run.ts";
import { type LoadedConfig, loadConfig } from "./config/load.ts";
import { secretReader } from "./config/secrets.ts";
import type { LoadedUplink } from "./config/types.ts";
import type { Clock } from "./core/clock.ts";
import { messageOf } from "./core/errors.ts";
import type { Logger } from "./core/log.ts";
import type { Metrics } from "./core/metrics.ts";
import { selectorOf } from "./core/selector.ts";
import type { Uplink } from "./core/uplink.ts";
import { ControlServer } from "./http/control.ts";
import { type Health, HttpServer } from "./http/server.ts";
import { Intake } from "./intake.ts";
import { willMessage } from "./northbound/control.ts";
import { storedLine } from "./northbound/encoders/stored.ts";
import { samplesBody, valuesEncoder } from "./northbound/encoders/values.ts";
import { Forwarder } from "./northbound/forwarder.ts";
import { topicMapper } from "./northbound/topics.ts";
import { LevelQueue } from "./queue/level-queue.ts";
import { Link } from "./southbound/link.ts";
import { predictLoad } from "./southbound/plan.ts";
import type { Scan } from "./southbound/scan.ts";
import { SystemClock } from "./system/clock.ts";
import { LearntFiles } from "./system/learnt-files.ts";
import { PromMetrics } from "./system/prom-metrics.ts";
import { SdNotify } from "./system/sd-notify.ts";

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
  readonly #broker: LocalBroker;
  readonly #forwarders: readonly Forwarder[];
  readonly #links: readonly Link[];
  readonly #learnt: LearntFiles;
  readonly #http: HttpServer;
  readonly #control: ControlServer;
  readonly #started: Started[] = [];
  #stopped: Promise<void> | undefined;
  #fail: (error: Error) => void = () => {};

  constructor(parts: Parts) {
    this.#parts = parts;
    this.failed = new Promise((resolve_) => {
      this.#fail = resolve_;
    });
    const { config, clock, log, metrics } = parts;
    this.#queue = new LevelQueue({
      dataDir: config.gateway.dataDir,
      options: config.queue,
      clock,
      log: log.child({ part: "queue" }),
      metrics,
      machineId: machineId(),
      onFatal: (error) => this.#fail(error),
    });
    this.#broker = new LocalBroker({
      options: config.broker,
      capture: config.capture,
      queue: this.#queue,
      gatewayId: config.gateway.id,
      clock,
      log: log.child({ part: "broker" }),
      metrics,
    });
    this.#forwarders = config.uplinks.map((uplink) => this.#forwarder(uplink));
    this.#learnt = new LearntFiles(config.gateway.dataDir, clock, log.child({ part: "learnt" }));
    const intake = new Intake({ queue: this.#queue, log: log.child({ part: "intake" }), metrics });
    this.#links = config.links.map((link) => this.#link(link, intake));
    this.#http = new HttpServer({
      options: config.http,
      log: log.child({ part: "http" }),
      metricsText: parts.metricsText,
      health: () => this.health(),
      status: () => this.status(),
    });
    this.#control = new ControlServer({
      dataDir: config.gateway.dataDir,
      gatewayId: config.gateway.id,
      inspector: () => this.#queue.inspector(),
      encode: (entry) => storedLine(entry, config.gateway.id),
      log: log.child({ part: "control" }),
    });
  }

  async start(signal: AbortSignal): Promise<void> {
    const { config } = this.#parts;
    await this.#queue.start();
    this.#began("queue", () => this.#queue.close());
    for (const { shared } of config.uplinks) {
      const { name, select, from, required, maxBacklog } = shared;
      await this.#queue.open(name, {
        selector: selectorOf(select),
        from,
        required,
        maxBacklog: { bytes: maxBacklog.bytes, ageMs: maxBacklog.age },
        retainMs: maxBacklog.retain,
      });
    }
    signal.throwIfAborted();
    await this.#listen("control", this.#control);
    for (const [index, forwarder] of this.#forwarders.entries()) {
      forwarder.start();
      this.#began(`uplink ${config.uplinks[index]?.name}`, () => forwarder.stop());
    }
    await this.#listen("broker", this.#broker);
    signal.throwIfAborted();
    await this.#listen("http", this.#http);
    await this.#learnt.start();
    this.#began("learnt", () => this.#learnt.stop());
    for (const [index, link] of this.#links.entries()) {
      await link.start();
      this.#began(`link ${config.links[index]?.name}`, () => link.stop());
    }
  }

  /** Parts of one kind stop together; the kinds in reverse order of the start. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
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

  #forwarder(uplink: LoadedUplink): Forwarder {
    const { config, clock, metrics, env } = this.#parts;
    const { name, module, options, shared } = uplink;
    const log = this.#parts.log.child({ uplink: name });
    const gatewayId = config.gateway.id;
    const topics = topicMapper(shared.topic, gatewayId);
    const path = (relative: string) => (isAbsolute(relative) ? relative : resolve(config.folder, relative));
    const make = (): Uplink =>
      module.create(options, {
        name,
        gatewayId,
        log,
        metrics,
        clock,
        will: willMessage(topics, gatewayId, name),
        secret: secretReader(config.folder, env),
        path,
      });
    return new Forwarder({
      name,
      queue: this.#queue,
      gatewayId,
      uplink: make,
      encoder: valuesEncoder,
      topics,
      clock,
      log,
      metrics,
      options: { order: shared.order, maxRate: shared.maxRate },
    });
  }

  #link({ name, driver, options, devices }: LoadedConfig["links"][number], intake: Intake): Link {
    const { clock, metrics } = this.#parts;
    const log = this.#parts.log.child({ link: name });
    return new Link({
      name,
      driver: () => driver.create(options, { link: name, clock, log, metrics, learnt: this.#learnt }),
      devices,
      clock,
      log,
      metrics,
      emit: (scan) => {
        void intake.take(scan);
        this.#live(scan);
      },
    });
  }

  /** The local broker's copy: a local HMI or Node-RED sees each scan at once. Never goes through the queue. */
  #live(scan: Scan): void {
    const body = samplesBody(scan.taken.wallMs, scan.samples);
    this.#broker.publishLive(scan.device.topic, Buffer.from(`{${body}`));
  }

  health(): Health {
    const reasons: string[] = [];
    if (!this.#queue.stats().healthy) reasons.push("the disk refuses writes to the queue");
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
      uplinks: this.#forwarders.map((forwarder) => forwarder.status()),
      broker: this.#broker.status(),
    };
  }

  /** What each run of each scan group asks for at present: with all that was learnt. For the API. */
  plan(): Record<string, unknown>[] {
    const { links } = this.#parts.config;
    return this.#links.map((link, index) => {
      const groups = link.plan();
      const groupOf = ({ group, requests }: (typeof groups)[number]) => ({
        device: group.device.name,
        group: group.name,
        everyMs: group.everyMs,
        busyMs: requests.reduce((sum, { busyMs, wireMs }) => sum + (busyMs ?? wireMs), 0),
        requests: requests.map(({ label, tags, wireMs, busyMs = wireMs, addresses, spare }) => ({
          label,
          tags: tags.map(({ name }) => name),
          wireMs,
          busyMs,
          ...(addresses === undefined ? {} : { addresses }),
          ...(spare === undefined ? {} : { spare }),
        })),
      });
      return { link: links[index]?.name, loadPercent: predictLoad(groups), groups: groups.map(groupOf) };
    });
  }

  summary(): Record<string, unknown> {
    const { config } = this.#parts;
    return {
      gateway: config.gateway.id,
      broker: this.#broker.addresses(),
      http: `http://${config.http.host === "::1" ? "[::1]" : config.http.host}:${this.#http.port}`,
      links: config.links.map(({ name }) => name),
      uplinks: config.uplinks.map(({ name }) => name),
      dataDir: config.gateway.dataDir,
    };
  }
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
  return runRun(args, io, {
    load: (file) => loadConfig(file, { env: io.env, cwd: io.cwd }),
    logger: (level) => pino({ level, base: null, formatters: { level: (label) => ({ level: label }) } }),
    gateway: (config, log) => {
      metrics.collectProcess();
      current = new Gateway({
        config,
        clock: new SystemClock(),
        log,
        metrics,
        metricsText: () => metrics.text(),
        env: io.env,
      });
      return current;
    },
    supervisor: (log) => new SdNotify({ env: io.env, healthy: () => current?.health().ok ?? false, log }),
  });
}
