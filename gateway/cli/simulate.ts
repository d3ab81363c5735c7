import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { parse } from "yaml";
import { z } from "zod";
import type { DriverModule, Simulator } from "../core/driver.ts";
import { ConfigError, messageOf } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import { asCommand, type CliIo, EXIT, parseCommand, UsageError } from "./io.ts";

const HELP = `millrace simulate: a device in software, on a real socket or serial port, with values that move.

Usage: millrace simulate FILE.yaml [--path PORT | --port NUMBER] [--json]

  --port NUMBER   TCP port instead of the file's (0 takes a free one)
  --path PORT     serial port instead of the file's
  --json          one JSON line with the address instead of text

Runs until Ctrl-C. The file names the driver (default modbus) and what the device answers; see examples/devices.

Exit: 0 stopped, 66 no such file, 78 the file is wrong or its port cannot be used, 64 usage.

Example: millrace simulate examples/devices/press.yaml
`;

const OPTIONS = {
  port: { type: "string" },
  path: { type: "string" },
  json: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

export interface SimulateDeps {
  readonly drivers: readonly DriverModule[];
}

/** `millrace simulate`; resolves with a sysexits code when the signal aborts. */
export function runSimulate(args: string[], io: CliIo, deps: SimulateDeps): Promise<number> {
  return asCommand("simulate", io, async () => {
    const { values, positionals } = parseCommand(args, OPTIONS);
    if (values.help) {
      io.out(HELP);
      return EXIT.ok;
    }
    const [name, ...more] = positionals;
    if (name === undefined || more.length > 0) throw new UsageError("give one file, e.g. examples/devices/press.yaml");
    const file = resolve(io.cwd, name);
    let text: string;
    try {
      text = await readFile(file, "utf8");
    } catch (error) {
      io.err(`millrace simulate: ${messageOf(error)}\n`);
      return EXIT.noInput;
    }
    let simulator: Simulator;
    try {
      simulator = await startSimulator(override(read(text), values), deps.drivers, loggerTo(io));
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      io.err(`millrace simulate: ${name}: ${error.message}\n`);
      return EXIT.config;
    }
    const { address } = simulator;
    io.out(values.json ? `${JSON.stringify({ address })}\n` : `${name} answers at ${address}; Ctrl-C ends it\n`);
    await aborted(io.signal);
    await simulator.stop();
    return EXIT.ok;
  });
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
