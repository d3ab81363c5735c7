import { ConfigError, messageOf, StorageError } from "../core/errors.ts";
import type { RecordQuery } from "../core/inspect.ts";
import { STREAMS } from "../core/record.ts";
import { asCommand, type CliIo, EXIT, parseCommand, UsageError } from "./io.ts";
import { UnavailableError } from "./queue/client.ts";
import { DEAD_LETTERS_HELP, deadLetters } from "./queue/dead-letters.ts";
import { describeStats } from "./queue/describe.ts";
import { exportRecords } from "./queue/export.ts";
import * as help from "./queue/help.ts";
import { backup, forget, reset, restore } from "./queue/maintain.ts";
import { openSource } from "./queue/source.ts";
import type { QueueTools } from "./queue/tools.ts";
import { WHERE_OPTIONS, whereOf } from "./queue/where.ts";

type Run = (args: string[], io: CliIo, tools: QueueTools) => Promise<number>;

const PEEK_LIMIT = 10;

const COMMANDS: Readonly<Record<string, { readonly help: string; readonly run: Run }>> = {
  stats: { help: help.STATS_HELP, run: runStats },
  peek: { help: help.PEEK_HELP, run: (args, io, tools) => runRecords(args, io, tools, PEEK_LIMIT) },
  export: { help: help.EXPORT_HELP, run: (args, io, tools) => runRecords(args, io, tools, undefined) },
  "dead-letters": { help: DEAD_LETTERS_HELP, run: runDeadLetters },
  forget: { help: help.FORGET_HELP, run: runMaintain("UPLINK", forget) },
  backup: { help: help.BACKUP_HELP, run: runMaintain("DIR", backup) },
  restore: { help: help.RESTORE_HELP, run: runMaintain("DIR", restore) },
  reset: {
    help: help.RESET_HELP,
    run: runMaintain(undefined, (_, where, tools, io, options) => reset(where, tools, io, options)),
  },
};

/** `millrace queue`; resolves with a sysexits code. */
export function runQueue(args: string[], io: CliIo, tools: QueueTools): Promise<number> {
  const [name = "--help", ...rest] = args;
  if (name === "--help" || name === "-h" || name === "help") {
    io.out(help.HELP);
    return Promise.resolve(EXIT.ok);
  }
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined) {
    io.err(`millrace queue: there is no "${name}"\n\n${help.HELP}`);
    return Promise.resolve(EXIT.usage);
  }
  return asCommand(`queue ${name}`, io, async () => {
    if (rest.includes("--help") || rest.includes("-h")) {
      io.out(command.help);
      return EXIT.ok;
    }
    try {
      return await command.run(rest, io, tools);
    } catch (error) {
      return failed(name, error, io);
    }
  });
}

function failed(name: string, error: unknown, io: CliIo): number {
  if (error instanceof UsageError) throw error;
  if (io.signal.aborted) {
    io.err(`millrace queue ${name}: stopped\n`);
    return EXIT.no;
  }
  const code = codeOf(error);
  if (code === undefined) throw error;
  io.err(`millrace queue ${name}: ${messageOf(error)}\n`);
  return code;
}

function codeOf(error: unknown): number | undefined {
  if (error instanceof ConfigError) return EXIT.config;
  if (error instanceof StorageError) return EXIT.ioError;
  if (error instanceof UnavailableError) return EXIT.unavailable;
  // Whatever a file system says: no room, not allowed, no such file.
  return error instanceof Error && "syscall" in error ? EXIT.ioError : undefined;
}

async function runStats(args: string[], io: CliIo, tools: QueueTools): Promise<number> {
  const { values, positionals } = parseCommand(args, WHERE_OPTIONS);
  noPositionals(positionals);
  const source = await openSource(await whereOf(values, io), tools);
  const stats = await source.stats(io.signal);
  io.out(values.json === true ? `${JSON.stringify(stats, null, 2)}\n` : describeStats(stats));
  return EXIT.ok;
}

async function runRecords(args: string[], io: CliIo, tools: QueueTools, limit: number | undefined): Promise<number> {
  const { values, positionals } = parseCommand(args, {
    ...WHERE_OPTIONS,
    uplink: { type: "string" },
    stream: { type: "string" },
    from: { type: "string" },
    to: { type: "string" },
    limit: { type: "string" },
    out: { type: "string" },
  });
  noPositionals(positionals);
  const stream = STREAMS.find((name) => name === values.stream);
  if (values.stream !== undefined && stream === undefined) throw new UsageError("--stream is events or telemetry");
  const from = seqOption("from", values.from);
  const to = seqOption("to", values.to);
  const most = seqOption("limit", values.limit) ?? limit;
  const query: RecordQuery = {
    ...(values.uplink === undefined ? {} : { uplink: values.uplink }),
    ...(stream === undefined ? {} : { stream }),
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
    ...(most === undefined ? {} : { limit: most }),
  };
  const source = await openSource(await whereOf(values, io), tools);
  return await exportRecords(source, query, values.out, io);
}

async function runDeadLetters(args: string[], io: CliIo, tools: QueueTools): Promise<number> {
  const { values, positionals } = parseCommand(args, {
    ...WHERE_OPTIONS,
    uplink: { type: "string" },
    out: { type: "string" },
  });
  const [word, ...more] = positionals;
  noPositionals(word === "export" ? more : positionals);
  return await deadLetters(await whereOf(values, io), tools, io, {
    exports: word === "export",
    uplink: values.uplink,
    out: values.out,
    json: values.json === true,
  });
}

/** A command that changes something: `what` names its argument. */
function runMaintain(what: string | undefined, run: typeof forget): Run {
  return async (args, io, tools) => {
    const { values, positionals } = parseCommand(args, { ...WHERE_OPTIONS, yes: { type: "boolean" } });
    const [arg, ...more] = positionals;
    if (what === undefined) noPositionals(positionals);
    else if (arg === undefined || more.length > 0) throw new UsageError(`name one ${what}`);
    const options = { yes: values.yes === true, json: values.json === true };
    return await run(arg ?? "", await whereOf(values, io), tools, io, options);
  };
}

function noPositionals(found: readonly string[]): void {
  if (found.length > 0) throw new UsageError(`"${found[0]}" is not expected here`);
}

function seqOption(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new UsageError(`--${name} is a whole number from 1`);
  return value;
}
