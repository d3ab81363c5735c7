import { type ParseArgsConfig, parseArgs } from "node:util";
import { parseDuration } from "../core/options/units.ts";

/** What a command is given of the world; main.ts makes it from `process`. */
export interface CliIo {
  /** Writes to stdout as given; no newline is added. */
  out(text: string): void;
  /** Writes to stderr as given. */
  err(text: string): void;
  /** Writes to stdout; resolves when it has taken it, so that much text does not gather in memory. */
  write?(text: string): Promise<void>;
  /** Asks whoever sits at the terminal; empty when they give no answer. Absent where stdin is no terminal. */
  answerTo?(question: string): Promise<string>;
  /** The same for what nobody may see; absent where stdin is no terminal. */
  secretTo?(question: string): Promise<string>;
  /** What stands in stdin, up to so many bytes. Absent where it is a terminal. */
  input?(most: number): Promise<string>;
  /** Whether stderr is a terminal. */
  readonly errTty?: boolean;
  /** Whether stdout is a terminal. */
  readonly tty: boolean;
  /** Width of the terminal; 80 where unknown. */
  readonly columns: number;
  /** Aborted on SIGINT, SIGTERM and SIGHUP. */
  readonly signal: AbortSignal;
  /** From now on SIGHUP calls this instead. Absent in a terminal, which sends it when it is closed. */
  onHangup?(listener: () => void): void;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The Node binary. */
  readonly execPath: string;
  /** Of Node, such as `v20.19.2`; absent where it does not matter. */
  readonly nodeVersion?: string;
  /** Path of the program's main file, to start itself as a child. */
  readonly argv1: string;
  readonly cwd: string;
  /** CLOCK_MONOTONIC in milliseconds, where somebody wants it as systemd does. */
  readonly monotonicMs?: () => number;
}

/** The exit codes in use, from sysexits.h; 1 is "the answer is no" (`verify` found something missing). */
export const EXIT = {
  ok: 0,
  no: 1,
  usage: 64,
  noInput: 66,
  unavailable: 69,
  software: 70,
  ioError: 74,
  config: 78,
} as const;

/** The command line is wrong: exit 64 after the message. */
export class UsageError extends Error {
  readonly code = "MILLRACE_USAGE";
  override readonly name = "UsageError";
}

type Options = NonNullable<ParseArgsConfig["options"]>;
type Parsed<T extends Options> = ReturnType<
  typeof parseArgs<{ options: T; allowPositionals: true; strict: true; args: string[] }>
>;

/** `parseArgs` with its errors turned into `UsageError`. */
export function parseCommand<T extends Options>(args: string[], options: T): Parsed<T> {
  try {
    return parseArgs({ args, options, allowPositionals: true, strict: true });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

/** A duration option in milliseconds. @throws UsageError. */
export function durationOption(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const ms = parseDuration(text);
  if (ms === undefined) throw new UsageError(`--${name} "${text}" is not a duration; write 500ms, 20s, 10m or 2h`);
  return ms;
}

/** Runs a command and turns its `UsageError` into a message and exit code 64. */
export async function asCommand(name: string, io: CliIo, body: () => Promise<number>): Promise<number> {
  try {
    return await body();
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    io.err(`millrace ${name}: ${error.message}\nTry: millrace ${name} --help\n`);
    return EXIT.usage;
  }
}
