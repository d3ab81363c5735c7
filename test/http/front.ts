import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Accounts } from "../../gateway/accounts/accounts.ts";
import type { AuditEvent } from "../../gateway/core/audit.ts";
import { ConfigError } from "../../gateway/core/errors.ts";
import { silentLogger } from "../../gateway/core/log.ts";
import { Access } from "../../gateway/http/access.ts";
import { accountRoutes } from "../../gateway/http/api/account-routes.ts";
import { Api } from "../../gateway/http/api/api.ts";
import { type CommitSource, commitRoutes } from "../../gateway/http/api/commit-routes.ts";
import { configRoutes } from "../../gateway/http/api/config-routes.ts";
import { dataRoutes } from "../../gateway/http/api/data-routes.ts";
import { eventRoutes } from "../../gateway/http/api/event-routes.ts";
import { plantRoutes } from "../../gateway/http/api/plant-routes.ts";
import type { Overview } from "../../gateway/http/api/schemas.ts";
import type { ApiSource } from "../../gateway/http/api/source.ts";
import { supportRoutes } from "../../gateway/http/api/support-routes.ts";
import { HttpServer, type HttpServerOptions } from "../../gateway/http/server.ts";
import { Client } from "../support/api-client.ts";

export const TIMES = { idleMs: 900_000, absoluteMs: 43_200_000 };

export interface Front {
  readonly server: HttpServer;
  readonly access: Access;
  readonly accounts: Accounts;
  readonly api: Api;
  readonly dataDir: string;
  readonly events: AuditEvent[];
  /** What handlers were asked to do: no refused request may get here. */
  readonly reached: unknown[];
  /** Moves the clock by which sessions end and locks open. */
  readonly wait: (ms: number) => void;
  readonly client: () => Client;
  /** Somebody of this role, logged in. */
  readonly as: (role: "viewer" | "operator" | "engineer" | "admin") => Promise<Client>;
  stop(): Promise<void>;
}

/** The server with the API as it is, in front of a gateway that only notes what is asked of it. */
export async function startFront(
  over: Partial<HttpServerOptions> = {},
  source: Partial<ApiSource> = {},
): Promise<Front> {
  const dataDir = await mkdtemp(join(tmpdir(), "millrace-front-"));
  const events: AuditEvent[] = [];
  const reached: unknown[] = [];
  let monoMs = 1_000_000;
  const now = () => monoMs;
  // A cheap hash: what it costs is not what these cases are about.
  const accounts = new Accounts({ dataDir, now: () => Date.now(), cost: { N: 16, r: 1, p: 1 } });
  const audit = {
    record: (event: AuditEvent) => {
      events.push(event);
      return Promise.resolve();
    },
    newest: () => Promise.resolve([]),
    export: () => pieces("{}\n"),
    verify: () => Promise.resolve({ entries: 0, faults: [], more: 0 }),
  };
  const access = new Access({ accounts, audit, now, times: TIMES });
  const all = noting(reached, source);
  const log = silentLogger;
  const parts = { access, accounts, audit, now, times: TIMES, version: "1", gatewayId: "gw-1" };
  const routes = [
    ...accountRoutes(parts),
    ...plantRoutes(all, audit),
    ...dataRoutes(all),
    ...configRoutes(all, audit),
    ...commitRoutes(commits),
    ...eventRoutes(all, access, 20),
    ...supportRoutes(() => {
      reached.push("support");
      return Promise.resolve({ name: "bundle.tar.gz", bytes: Buffer.from("x") });
    }, audit),
  ];
  const api = new Api({ routes, access, audit, log, version: "1" });
  const server = new HttpServer({
    options: { host: "127.0.0.1", port: 0 },
    log,
    metricsText: () => Promise.resolve("millrace_up 1\n"),
    health: () => ({ ok: true, reasons: [] }),
    ready: () => ({ ok: true, reasons: [] }),
    status: () => ({}),
    plan: () => ({}),
    api,
    mayRead: async (request) => (await access.principal(request).catch(() => undefined)) !== undefined,
    ...over,
  });
  await server.start();
  let users = 0;
  return {
    server,
    access,
    accounts,
    api,
    dataDir,
    events,
    reached,
    wait: (ms) => {
      monoMs += ms;
    },
    client: () => new Client(server.port),
    async as(role) {
      const name = `${role}-${++users}`;
      // Somebody has to be admin first.
      if (!(await accounts.exist())) await accounts.addFirst("first", "a long enough one");
      await accounts.add(name, role, "a long enough one");
      const client = new Client(server.port);
      await client.login(name, "a long enough one");
      return client;
    },
    async stop() {
      await server.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

export async function* pieces(...texts: string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield await Promise.resolve(Buffer.from(text));
}

const NO_OVERVIEW: Overview = {
  gateway: "gw-1",
  version: "1",
  now: 0,
  startedAt: 0,
  clock: "synced",
  health: { ok: true, reasons: [] },
  links: [],
  devices: [],
  uplinks: [],
  queue: { bytes: 0, reserveBytes: 0, maxBytes: 1, dropped: 0, quarantined: 0, healthy: true },
  rates: { inPerSecond: 0, outPerSecond: 0, historyIn: [], historyOut: [] },
  broker: {},
};

function noting(reached: unknown[], over: Partial<ApiSource>): ApiSource {
  const note = <T>(answer: T, ...asked: unknown[]): T => {
    reached.push(asked);
    return answer;
  };
  return {
    version: "1",
    gatewayId: "gw-1",
    overview: () => NO_OVERVIEW,
    links: () => note([]),
    link: (name) => Promise.resolve(note(undefined, name)),
    record: (link) => note(pieces("x"), link),
    recording: (link, file) => Promise.resolve(note(undefined, link, file)),
    device: (name) => note(undefined, name),
    tags: () => [],
    changed: (_, since) => ({ tags: [], mark: since + 1 }),
    history: (device, tag) => note(undefined, device, tag),
    write: (device, values, by) => Promise.resolve(note({ results: [] }, device, values, by)),
    queue: () => Promise.resolve(note({ stats: {}, gaps: [], deadLetters: [] })),
    peek: (query) => Promise.resolve(note([], query)),
    deadLetters: (uplink) => Promise.resolve(note(undefined, uplink)),
    uplink: (name) => Promise.resolve(note(undefined, name)),
    logs: (query) => note({ lines: [], lost: 0 }, query),
    config: () => Promise.resolve(note({ file: "", text: "", masked: 0, sha256: "", changed: false })),
    configSchema: () => note({}),
    completeConfig: (text, offset) =>
      Promise.resolve(note({ from: 0, to: 0, path: "", about: "", candidates: [] }, text, offset)),
    checkConfig: (text) => Promise.resolve(note({ ok: true, faults: [], warnings: [] }, text)),
    diffConfig: (text) => Promise.resolve(note({ added: 0, removed: 0, lines: [] }, text)),
    scan: (line) => Promise.resolve(note({ id: "x", line: "x", state: "done", asked: 0, total: 0, units: [] }, line)),
    scanned: (id) => note(undefined, id),
    stopScan: (id) => note(undefined, id),
    interpret: (line, ask) => Promise.resolve(note({ address: "", words: [], candidates: [] }, line, ask)),
    ...over,
  };
}

/** Nothing waits, and nothing was ever applied. */
const commits: CommitSource = {
  pending: () => ({ state: "none", unhealthy: [] }),
  plan: () => Promise.resolve({ whole: false, steps: [] }),
  apply: () => Promise.reject(new ConfigError("nothing is applied here")),
  confirm: () => Promise.reject(new ConfigError("no change waits for a confirmation")),
  revert: () => {
    throw new ConfigError("no change waits for a confirmation");
  },
  history: () => Promise.resolve({ entries: [] }),
  historyText: () => Promise.resolve(undefined),
};
