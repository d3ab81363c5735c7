import type { LoadedConfig } from "../config/load.ts";
import { ConfigError, messageOf, StorageError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { CommitDesk } from "../reload/commit.ts";
import { type Life, ReloadDesk, type Turn } from "../reload/desk.ts";
import { asCommand, type CliIo, EXIT, parseCommand } from "./io.ts";

/** What `run` needs of the gateway; gateway.ts hands it over. */
export interface Runnable extends Life {
  start(signal: AbortSignal): Promise<void>;
  /** Within 10 s; never rejects. */
  stop(): Promise<void>;
  /** Settles when a part fails for good while running; the reason decides the exit code. */
  readonly failed: Promise<Error>;
  /** Fields of the line that says it is up. */
  summary(): Record<string, unknown>;
}
/** What outlives a life of the gateway. */
export interface Desks {
  readonly reloads: ReloadDesk;
  readonly commits: CommitDesk;
}
export interface RunDeps {
  readonly load: (file: string) => Promise<LoadedConfig>;
  readonly logger: (level: string) => Logger;
  readonly gateway: (config: LoadedConfig, log: Logger, desks: Desks) => Runnable;
  /** Before the configuration is read: one that nobody confirmed gives way. What was done, for the log. @throws StorageError. */
  readonly recover: (file: string) => Promise<string | undefined>;
  readonly commits: (config: LoadedConfig, reloads: ReloadDesk, log: Logger) => CommitDesk;
  readonly supervisor: (log: Logger) => { ready(): void; reloading(): void; stopping(): void; close(): void };
}

const HELP = `millrace run - run the gateway in the foreground

Usage: millrace run [--config FILE] [--log-level LEVEL]

  -c, --config FILE    configuration (default: millrace.yaml)
  --log-level LEVEL    debug, info (default), warn or error; JSON lines on stdout,
                       with priorities where that is the journal
  -h, --help           this text

SIGTERM or Ctrl-C stops it within 10 seconds; a second one ends it at once. SIGHUP applies the configuration file as
it stands, as millrace reload does; in a terminal, which sends it when it is closed, it stops the gateway.
Exit codes: 0 stopped, 74 the data folder cannot be opened, 78 the configuration is wrong or the data folder is in use.

Example: millrace run --config /etc/millrace/millrace.yaml
`;

const LEVELS = ["debug", "info", "warn", "error"];

/** `millrace run`. */
export function runRun(args: string[], io: CliIo, deps: RunDeps): Promise<number> {
  return asCommand("run", io, async () => {
    const { values } = parseCommand(args, {
      config: { type: "string", short: "c", default: "millrace.yaml" },
      "log-level": { type: "string", default: "info" },
      help: { type: "boolean", short: "h", default: false },
    });
    if (values.help) {
      io.out(HELP);
      return EXIT.ok;
    }
    const level = values["log-level"] ?? "info";
    if (!LEVELS.includes(level)) {
      io.err(`millrace run: --log-level "${level}" is none of ${LEVELS.join(", ")}\n`);
      return EXIT.usage;
    }
    const file = values.config ?? "millrace.yaml";
    let config: LoadedConfig;
    let recovered: string | undefined;
    try {
      recovered = await deps.recover(file);
      config = await deps.load(file);
    } catch (error) {
      if (!(error instanceof ConfigError || error instanceof StorageError)) throw error;
      io.err(`${error.message}\n`);
      return exitCode(error);
    }
    const log = deps.logger(level);
    if (recovered !== undefined) log.warn({ done: recovered }, "a configuration that nobody confirmed");
    return await supervise(config, io, deps, log);
  });
}

/** How one life of the gateway ended: with an exit code, or with a configuration for the next. */
type End = { readonly code: number } | { readonly turn: Turn };

async function supervise(first: LoadedConfig, io: CliIo, deps: RunDeps, log: Logger): Promise<number> {
  for (const warning of first.warnings) log.warn({ warning }, "configuration");
  const supervisor = deps.supervisor(log);
  const desk = new ReloadDesk({ load: () => deps.load(first.file), log });
  const commits = deps.commits(first, desk, log);
  io.onHangup?.(() => {
    // What becomes of it is in the log.
    desk.reload("SIGHUP").catch(() => {});
  });
  try {
    let turn: Turn | undefined;
    for (let config = first; ; ) {
      const before = desk.config ?? first;
      const end = await live({ config, turn, desk, commits, supervisor }, io, deps, log);
      if ("code" in end) return end.code;
      // One that could not begin: what ran before it runs again.
      config = end.turn === turn ? before : end.turn.config;
      turn = end.turn === turn ? undefined : end.turn;
    }
  } finally {
    supervisor.stopping();
    supervisor.close();
    log.info({}, "gateway stopped");
  }
}

interface LifeParts {
  readonly config: LoadedConfig;
  /** The reload that this life begins for. */
  readonly turn: Turn | undefined;
  readonly desk: ReloadDesk;
  readonly commits: CommitDesk;
  readonly supervisor: ReturnType<RunDeps["supervisor"]>;
}

/** One life of the gateway, from its start to its stop. */
async function live(
  { config, turn, desk, commits, supervisor }: LifeParts,
  io: CliIo,
  deps: RunDeps,
  log: Logger,
): Promise<End> {
  const gateway = deps.gateway(config, log, { reloads: desk, commits });
  try {
    await gateway.start(io.signal);
    log.info(gateway.summary(), turn ? "gateway restarted with another configuration" : "gateway started");
    supervisor.ready();
    const next = desk.runs(gateway, config);
    turn?.done();
    const end = await Promise.race([aborted(io.signal), gateway.failed, next]);
    if (end === undefined) return { code: EXIT.ok };
    if (!(end instanceof Error)) {
      supervisor.reloading();
      return { turn: end };
    }
    log.error({ error: messageOf(end), stack: end.stack }, "gateway failed");
    return { code: exitCode(end) };
  } catch (error) {
    if (io.signal.aborted) return { code: EXIT.ok };
    log.error(
      { error: messageOf(error), stack: error instanceof Error ? error.stack : undefined },
      "gateway did not start",
    );
    if (turn) {
      turn.failed(error);
      return { turn };
    }
    io.err(`millrace: ${messageOf(error)}\n`);
    return { code: exitCode(error) };
  } finally {
    await gateway.stop();
  }
}

function exitCode(error: unknown): number {
  if (error instanceof ConfigError) return EXIT.config;
  return error instanceof StorageError ? EXIT.ioError : EXIT.software;
}

function aborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(undefined);
    else signal.addEventListener("abort", () => resolve(undefined), { once: true });
  });
}
