import type { LoadedConfig } from "../config/load.ts";
import { ConfigError, messageOf, StorageError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import { asCommand, type CliIo, EXIT, parseCommand } from "./io.ts";

/** What `run` needs of the gateway; gateway.ts hands it over. */
export interface Runnable {
  start(signal: AbortSignal): Promise<void>;
  /** Within 10 s; never rejects. */
  stop(): Promise<void>;
  /** Settles when a part fails for good while running; the reason decides the exit code. */
  readonly failed: Promise<Error>;
  /** Fields of the line that says it is up. */
  summary(): Record<string, unknown>;
}
export interface RunDeps {
  readonly load: (file: string) => Promise<LoadedConfig>;
  readonly logger: (level: string) => Logger;
  readonly gateway: (config: LoadedConfig, log: Logger) => Runnable;
  readonly supervisor: (log: Logger) => { ready(): void; stopping(): void; close(): void };
}

const HELP = `millrace run - run the gateway in the foreground

Usage: millrace run [--config FILE] [--log-level LEVEL]

  -c, --config FILE    configuration (default: millrace.yaml)
  --log-level LEVEL    debug, info (default), warn or error; JSON lines on stdout,
                       with priorities where that is the journal
  -h, --help           this text

SIGTERM or Ctrl-C stops it within 10 seconds; a second one ends it at once.
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
    let config: LoadedConfig;
    try {
      config = await deps.load(values.config ?? "millrace.yaml");
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      io.err(`${error.message}\n`);
      return EXIT.config;
    }
    return await supervise(config, io, deps, deps.logger(level));
  });
}

async function supervise(config: LoadedConfig, io: CliIo, deps: RunDeps, log: Logger): Promise<number> {
  for (const warning of config.warnings) log.warn({ warning }, "configuration");
  const gateway = deps.gateway(config, log);
  const supervisor = deps.supervisor(log);
  try {
    await gateway.start(io.signal);
    log.info(gateway.summary(), "gateway started");
    supervisor.ready();
    const failure = await Promise.race([aborted(io.signal), gateway.failed]);
    if (failure === undefined) return EXIT.ok;
    log.error({ error: messageOf(failure), stack: failure.stack }, "gateway failed");
    return exitCode(failure);
  } catch (error) {
    if (io.signal.aborted) return EXIT.ok;
    log.error(
      { error: messageOf(error), stack: error instanceof Error ? error.stack : undefined },
      "gateway did not start",
    );
    io.err(`millrace: ${messageOf(error)}\n`);
    return exitCode(error);
  } finally {
    supervisor.stopping();
    await gateway.stop();
    supervisor.close();
    log.info({}, "gateway stopped");
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
