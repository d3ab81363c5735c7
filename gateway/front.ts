import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { Accounts } from "./accounts/accounts.ts";
import type { Sessions } from "./accounts/sessions.ts";
import type { AuditJournal } from "./audit/journal.ts";
import type { LoadedConfig } from "./config/load.ts";
import type { Clock } from "./core/clock.ts";
import { messageOf } from "./core/errors.ts";
import type { Logger } from "./core/log.ts";
import type { Metrics } from "./core/metrics.ts";
import type { SupportFile } from "./core/support.ts";
import { Errands } from "./errands.ts";
import { Access } from "./http/access.ts";
import { accountRoutes } from "./http/api/account-routes.ts";
import { Api } from "./http/api/api.ts";
import { commitRoutes } from "./http/api/commit-routes.ts";
import { configRoutes } from "./http/api/config-routes.ts";
import { dataRoutes } from "./http/api/data-routes.ts";
import { eventRoutes } from "./http/api/event-routes.ts";
import { plantRoutes } from "./http/api/plant-routes.ts";
import { supportRoutes } from "./http/api/support-routes.ts";
import { type Health, HttpServer } from "./http/server.ts";
import { lineTools } from "./line-tools.ts";
import { storedLine } from "./northbound/encoders/stored.ts";
import type { ForwarderStatus } from "./northbound/forwarder.ts";
import type { LevelQueue } from "./queue/level-queue.ts";
import type { Recorder } from "./recorder/recorder.ts";
import type { CommitDesk } from "./reload/commit.ts";
import type { Link } from "./southbound/link.ts";
import type { Scan } from "./southbound/scan.ts";
import { supportBundle } from "./support-bundle.ts";
import { LogLines } from "./system/log-lines.ts";
import { programVersion } from "./version.ts";
import { CommitViews } from "./views/commits.ts";
import { ConfigViews } from "./views/config.ts";
import { LiveTags } from "./views/live.ts";
import { Rates } from "./views/rates.ts";
import { GatewayViews } from "./views/source.ts";
import { Wizard } from "./views/wizard.ts";

/** Sessions of people: without a request, and in any case. */
export const SESSION = { idleMs: 15 * 60_000, absoluteMs: 12 * 3_600_000 };

export interface FrontParts {
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
  /** Who is logged in already; nobody where absent. */
  readonly sessions?: Sessions;
  /** Where the configuration can be replaced; absent where it cannot. */
  readonly commits?: CommitDesk;
  readonly audit: AuditJournal;
  readonly queue: LevelQueue;
  readonly recorder: Recorder;
  readonly links: () => readonly Link[];
  readonly uplinks: () => readonly ForwarderStatus[];
  readonly broker: () => object;
  /** Records that uplinks have acknowledged. */
  readonly settled: () => number;
  readonly health: () => Health;
  readonly ready: () => Health;
  readonly status: () => unknown;
  readonly plan: () => unknown;
}

/** What people and their programs see of a gateway: accounts, the API, and the server that has both. */
export class Front {
  readonly #parts: FrontParts;
  readonly #live: LiveTags;
  readonly #rates: Rates;
  readonly #configs: ConfigViews;
  readonly #accounts: Accounts;
  readonly #access: Access;
  readonly #wizard: Wizard;
  readonly #http: HttpServer;
  /** The bundle that is being made. */
  #support: Promise<SupportFile> | undefined;

  constructor(parts: FrontParts) {
    this.#parts = parts;
    const { config, clock, audit, queue, settled } = parts;
    const log = parts.log.child({ part: "http" });
    this.#live = new LiveTags(
      config.links.flatMap((link) => link.devices),
      () => clock.now().wallMs,
    );
    this.#rates = new Rates(() => {
      const { events, telemetry } = queue.stats().streams;
      return { taken: events.appended + telemetry.appended, settled: settled() };
    });
    this.#configs = new ConfigViews(config, parts.env);
    this.#accounts = new Accounts({
      dataDir: config.gateway.dataDir,
      now: () => Date.now(),
      onOutside: (changes) => {
        for (const detail of changes)
          void audit.record({ actor: "command line", action: "accounts.changed", outcome: "ok", detail });
      },
    });
    this.#access = new Access({
      accounts: this.#accounts,
      audit,
      now: () => performance.now(),
      times: SESSION,
      ...(parts.sessions && { sessions: parts.sessions }),
      metrics: parts.metrics,
    });
    const desk = new Errands(config, parts.links, log, { by: (user) => `${user} by the API` });
    this.#wizard = new Wizard({
      get links() {
        return config.links;
      },
      desk,
      tools: lineTools(),
      ownPorts: () => [this.#http.port, ...config.broker.listeners.map(({ port }) => port)],
    });
    this.#http = new HttpServer({
      options: config.http,
      folder: config.folder,
      log,
      metrics: parts.metrics,
      metricsText: parts.metricsText,
      health: parts.health,
      ready: parts.ready,
      status: parts.status,
      plan: parts.plan,
      api: this.#api(desk, log),
      mayRead: async (request) => {
        const principal = await this.#access.principal(request).catch(() => undefined);
        return principal?.scopes.includes("read") ?? false;
      },
      assets: join(import.meta.dirname, "..", "dashboard"),
    });
  }

  /** @throws ConfigError when the address cannot be used. */
  async start(): Promise<void> {
    await this.#http.start();
    this.#rates.start();
    await this.#tellSetup();
  }

  /** Idempotent, never rejects. */
  async stop(): Promise<void> {
    this.#rates.stop();
    await this.#http.stop();
    await this.#wizard.stop();
  }

  /** The configuration is another. Never rejects. */
  async follow(): Promise<void> {
    this.#live.follow(this.#parts.config.links.flatMap((link) => link.devices));
    await this.#configs.start();
  }

  /** The newest samples. */
  take(scan: Scan): void {
    this.#live.take(scan);
  }

  /** A support bundle. Those who ask while one is being made get that one: each takes some memory. */
  support(): Promise<SupportFile> {
    const { config, env, nodeVersion, queue, status, plan, metricsText, logs } = this.#parts;
    this.#support ??= supportBundle({
      gatewayId: config.gateway.id,
      dataDir: config.gateway.dataDir,
      config: { path: this.#configs.path, folder: config.folder },
      env,
      nodeVersion,
      queueStats: () => queue.inspector().stats(),
      live: { status, plan, metricsText, logs },
    }).finally(() => {
      this.#support = undefined;
    });
    return this.#support;
  }

  /** Tags of a device without a good value. */
  badTags(device: string): number {
    return this.#live.bad(device);
  }

  /** Where it can be opened. */
  get url(): string {
    const { host, tls, hosts = [] } = this.#parts.config.http;
    const shown = hosts[0] ?? (host === "0.0.0.0" || host === "::" ? ownAddress() : host);
    return `${tls ? "https" : "http"}://${shown.includes(":") ? `[${shown}]` : shown}:${this.#http.port}`;
  }

  /** What the gateway starts with, for the audit trail. Never rejects. */
  async describe(): Promise<string> {
    await this.#configs.start();
    const users = await this.#accounts.users().catch(() => undefined);
    const who = users?.map(({ name, role }) => `${name} (${role})`).join(", ");
    const hash = this.#configs.hash?.slice(0, 16) ?? "unknown";
    return `version ${programVersion()}; configuration ${hash}; users: ${who === undefined ? "unreadable" : who || "none"}`;
  }

  /** There is no default password: the first account is made with a token that only this machine is told. */
  async #tellSetup(): Promise<void> {
    const { log, announce } = this.#parts;
    try {
      const setupToken = await this.#access.setupToken();
      if (setupToken === undefined) return;
      log.warn({ setupToken, open: this.url }, "no accounts yet: open the address and enter the setup token");
      announce?.(`\nThere are no accounts yet. Open ${this.url} and enter the setup token ${setupToken}\n\n`);
    } catch (error) {
      log.error({ error: messageOf(error) }, "nobody can log in");
    }
  }

  #api(desk: Errands, log: Logger): Api {
    const {
      config,
      clock,
      audit,
      queue,
      recorder,
      links,
      uplinks,
      broker,
      health,
      logs = new LogLines(),
    } = this.#parts;
    const version = programVersion();
    const source = new GatewayViews({
      config,
      version,
      clock,
      links,
      uplinks,
      queue,
      inspector: () => queue.inspector(),
      encode: (entry) => storedLine(entry, config.gateway.id),
      broker,
      health,
      recorder,
      desk,
      live: this.#live,
      rates: this.#rates,
      configs: this.#configs,
      wizard: this.#wizard,
      logs,
    });
    const access = this.#access;
    const now = () => performance.now();
    const gatewayId = config.gateway.id;
    return new Api({
      routes: [
        ...accountRoutes({ access, accounts: this.#accounts, audit, now, times: SESSION, version, gatewayId }),
        ...plantRoutes(source, audit),
        ...dataRoutes(source),
        ...configRoutes(source, audit),
        ...commitRoutes(new CommitViews(this.#configs, this.#parts.commits)),
        ...eventRoutes(source, access),
        ...supportRoutes(() => this.support(), audit),
      ],
      access,
      audit,
      log,
      version,
    });
  }
}

/** One by which others reach this machine. */
function ownAddress(): string {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return all.find(({ internal, family }) => !internal && family === "IPv4")?.address ?? "127.0.0.1";
}
