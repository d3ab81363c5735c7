import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { parse } from "yaml";
import { z } from "zod";
import type { DriverModule, Simulator } from "../core/driver.ts";
import { ConfigError, messageOf } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Replay, ReplayOptions } from "../core/recording.ts";
import { asCommand, type CliIo, EXIT, parseCommand, UsageError } from "./io.ts";
import { deviceOfProfile, PROFILE_OPTIONS } from "./simulate/profile.ts";
import { RECORDING_OPTIONS, type RecordingDeps, replayOptions, startReplay } from "./simulate/recording.ts";

const HELP = `millrace simulate: a device in software, on a real socket or serial port, with values that move.

Usage: millrace simulate FILE.yaml [--path PORT | --port NUMBER] [--json]
       millrace simulate --profile VENDOR/MODEL [--unit N] [--set NAME=VALUE] [--path PORT | --port NUMBER] [--json]
       millrace simulate --recording FILE.pcapng [--path PORT | --port NUMBER] [--delays] [--json]

  --port NUMBER   TCP port instead of the file's (0 takes a free one)
  --path PORT     serial port instead of the file's
  --json          one JSON line with the address instead of text

With --profile it has the tags of a device profile (millrace profile list), with values that move as their units have it.

  --unit N        unit id (default 1)
  --set NAME=VALUE  a parameter of the profile; can be given several times

With --recording it answers as the device in a capture did: each question gets the recorded answers in their order, refusals
and silences too. The capture is one of millrace record, or one of Modbus TCP by tcpdump or Wireshark (pcapng).

  --delays        answers take as long as they took; without it they come at once
  --at-end WORD   after the last answer to a question: repeat it (default), loop (the first one again), or silence
  --unknown WORD  for questions that are not in it: exception (0x0B, default) or silence; each is told once

Runs until Ctrl-C. The file names the driver (default modbus) and what the device answers; see examples/devices.

Exit: 0 stopped, 66 no such file, 78 the file is wrong or its port cannot be used, 64 usage.

Example: millrace simulate examples/devices/press.yaml
         millrace simulate --profile eastron/sdm630 --port 5020
         millrace simulate --recording plc-1.pcapng --port 5020
`;

const OPTIONS = {
  port: { type: "string" },
  path: { type: "string" },
  json: { type: "boolean" },
  ...RECORDING_OPTIONS,
  ...PROFILE_OPTIONS,
  help: { type: "boolean", short: "h" },
} as const;

export interface SimulateDeps {
  readonly drivers: readonly DriverModule[];
  /** Reads a capture file; without it there is no --recording. */
  readonly readRecording?: RecordingDeps["readRecording"];
}

/** `millrace simulate`; resolves with a sysexits code when the signal aborts. */
export function runSimulate(args: string[], io: CliIo, deps: SimulateDeps): Promise<number> {
  return asCommand("simulate", io, async () => {
    const { values, positionals } = parseCommand(args, OPTIONS);
    if (values.help) {
      io.out(HELP);
      return EXIT.ok;
    }
    if (values.recording !== undefined) {
      if (positionals.length > 0 || values.profile !== undefined)
        throw new UsageError("--recording takes the place of the file");
      return await playRecording(values.recording, replayOptions(values), values.json === true, io, deps);
    }
    onlyWith(values, "recording", ["delays", "at-end", "unknown"]);
    if (values.profile === undefined) onlyWith(values, "profile", ["unit", "set"]);
    else if (positionals.length > 0) throw new UsageError("--profile takes the place of the file");
    const [name = values.profile, ...more] = positionals;
    if (name === undefined || more.length > 0) throw new UsageError("give one file, e.g. examples/devices/press.yaml");
    const { profile } = values;
    const device = async () =>
      profile === undefined
        ? override(read(await readFile(resolve(io.cwd, name), "utf8")), values)
        : await deviceOfProfile({ ...values, profile }, io.cwd, deps.drivers);
    return await playDevice(name, device, values.json === true, io, deps);
  });
}

function onlyWith(values: object, option: string, keys: readonly string[]): void {
  const key = keys.find((each) => Object.hasOwn(values, each));
  if (key !== undefined) throw new UsageError(`--${key} needs --${option}`);
}

async function playDevice(
  name: string,
  device: () => Promise<Record<string, unknown>>,
  json: boolean,
  io: CliIo,
  { drivers }: SimulateDeps,
): Promise<number> {
  let simulator: Simulator;
  try {
    simulator = await startSimulator(await device(), drivers, loggerTo(io));
  } catch (error) {
    if (error instanceof Error && "syscall" in error) {
      io.err(`millrace simulate: ${messageOf(error)}\n`);
      return EXIT.noInput;
    }
    if (!(error instanceof ConfigError)) throw error;
    io.err(`millrace simulate: ${name}: ${error.message}\n`);
    return EXIT.config;
  }
  const { address } = simulator;
  io.out(json ? `${JSON.stringify({ address })}\n` : `${name} answers at ${address}; Ctrl-C ends it\n`);
  await aborted(io.signal);
  await simulator.stop();
  return EXIT.ok;
}

async function playRecording(
  name: string,
  options: ReplayOptions,
  json: boolean,
  io: CliIo,
  { drivers, readRecording }: SimulateDeps,
): Promise<number> {
  if (!readRecording) throw new UsageError("recordings cannot be played here");
  let replay: Replay;
  try {
    replay = await startReplay(resolve(io.cwd, name), options, { drivers, readRecording }, loggerTo(io));
  } catch (error) {
    io.err(`millrace simulate: ${name}: ${messageOf(error)}\n`);
    if (error instanceof ConfigError) return EXIT.config;
    if (error instanceof Error && "syscall" in error) return EXIT.noInput;
    throw error;
  }
  const { address, content } = replay;
  io.out(
    json ? `${JSON.stringify({ address, content })}\n` : `${name} (${content}) answers at ${address}; Ctrl-C ends it\n`,
  );
  await aborted(io.signal);
  await replay.stop();
  return EXIT.ok;
}

/**
 * Starts the simulated device that `device` describes: the options of its driver's simulator, and `driver` (default
 * modbus). @throws ConfigError naming the key.
 */
export async function startSimulator(
  device: Readonly<Record<string, unknown>>,
  drivers: readonly DriverModule[],
  log: Logger,
): Promise<Simulator> {
  const { driver = "modbus", ...options } = device;
  const able = drivers.filter((module) => module.simulator !== undefined);
  const simulator = able.find((module) => module.name === driver)?.simulator;
  if (!simulator) {
    const names = able.map((module) => module.name).join(", ");
    throw new ConfigError(`driver "${String(driver)}" has no simulator; there is one for: ${names}`);
  }
  const parsed = simulator.schema.safeParse(options);
  if (!parsed.success) {
    const faults = parsed.error.issues.map((issue) => `${issue.path.join(".") || "the file"}: ${issue.message}`);
    throw new ConfigError(faults.join("\n  "));
  }
  return await simulator.start(parsed.data, log);
}

function read(text: string): Record<string, unknown> {
  let document: unknown;
  try {
    document = parse(text, { maxAliasCount: 100 });
  } catch (error) {
    throw new ConfigError(messageOf(error), { cause: error });
  }
  const mapping = z.record(z.string(), z.unknown()).safeParse(document);
  if (!mapping.success) throw new ConfigError("a mapping with transport and units is needed");
  return mapping.data;
}

function override(
  device: Record<string, unknown>,
  values: { port?: string | undefined; path?: string | undefined },
): Record<string, unknown> {
  if (values.port === undefined && values.path === undefined) return device;
  const transport = z.record(z.string(), z.unknown()).safeParse(device["transport"]).data ?? {};
  const port = Number(values.port);
  if (values.port !== undefined && (transport["type"] !== "tcp" || !Number.isInteger(port) || port < 0)) {
    throw new UsageError("--port needs a number, and a file with a tcp transport");
  }
  if (values.path !== undefined && transport["type"] === "tcp") throw new UsageError("--path needs a serial transport");
  return {
    ...device,
    transport: {
      ...transport,
      ...(values.port === undefined ? {} : { port }),
      ...(values.path === undefined ? {} : { path: values.path }),
    },
  };
}

function loggerTo(io: CliIo): Logger {
  const write = (level: string) => (fields: object, message: string) => {
    io.err(`${level}: ${message} ${JSON.stringify(fields)}\n`);
  };
  const log: Logger = {
    debug() {},
    info() {},
    warn: write("warning"),
    error: write("error"),
    child: () => log,
  };
  return log;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolveIt) => {
    if (signal.aborted) resolveIt();
    else signal.addEventListener("abort", () => resolveIt(), { once: true });
  });
}
