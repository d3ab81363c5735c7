#!/usr/bin/env -S UV_THREADPOOL_SIZE=16 node
import process from "node:process";
import { fileURLToPath } from "node:url";
import type { CliIo } from "./cli/io.ts";

/** The `millrace` program: commands, signals, exit codes. The only file that touches `process`. */

interface Command {
  readonly summary: string;
  run(args: string[], io: CliIo): Promise<number>;
}

/** Each command is loaded when it is called: `millrace verify` on a server needs no serial port driver. */
const commands: Readonly<Record<string, Command>> = {
  run: { summary: "run the gateway", run: async (args, io) => (await import("./gateway.ts")).runCommand(args, io) },
  check: {
    summary: "check a configuration; show the request plan and how long the buffer lasts",
    run: async (args, io) => {
      const { readOnlyLearnt } = await import("./system/learnt-files.ts");
      return (await import("./cli/check.ts")).runCheck(args, io, { learnt: readOnlyLearnt });
    },
  },
  demo: {
    summary: "a simulated plant, the gateway and an upstream broker on this machine",
    run: async (args, io) => (await import("./cli/demo.ts")).runDemo(args, io),
  },
  status: {
    summary: "show what a running gateway is doing",
    run: async (args, io) => (await import("./cli/status.ts")).runStatus(args, io),
  },
  queue: {
    summary: "look into the queue, export it, back it up, restore it",
    run: async (args, io) =>
      (await import("./cli/queue.ts")).runQueue(args, io, (await import("./queue-tools.ts")).queueTools),
  },
  learnt: {
    summary: "show, export or reset what was learnt about devices",
    run: async (args, io) => {
      const { learntIn, removeLearnt } = await import("./system/learnt-files.ts");
      const { driverModules } = await import("../drivers/index.ts");
      const deps = { drivers: driverModules, learntIn, removeLearnt };
      return (await import("./cli/learnt.ts")).runLearnt(args, io, deps);
    },
  },
  verify: {
    summary: "subscribe upstream and prove that nothing is missing",
    run: async (args, io) => (await import("./cli/verify.ts")).runVerify(args, io),
  },
  selftest: {
    summary: "what a disk is worth: fsync, records per second, kills, card life",
    run: async (args, io) => (await import("./selftest.ts")).selftestCommand(args, io),
  },
  simulate: {
    summary: "a Modbus device in software, from a small YAML file",
    run: async (args, io) => {
      const { driverModules } = await import("../drivers/index.ts");
      return (await import("./cli/simulate.ts")).runSimulate(args, io, { drivers: driverModules });
    },
  },
};

function help(): string {
  const width = Math.max(...Object.keys(commands).map((name) => name.length));
  const rows = Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`);
  return `millrace - MQTT edge gateway that keeps every message until it is acknowledged

Usage: millrace COMMAND [options]

${rows.join("\n")}

Each command has --help with an example.  millrace --version prints the version.
`;
}

async function version(): Promise<string> {
  const { readFile } = await import("node:fs/promises");
  for (const up of ["../package.json", "../../package.json"]) {
    const text = await readFile(new URL(up, import.meta.url), "utf8").catch(() => undefined);
    if (text !== undefined) return (JSON.parse(text) as { version: string }).version;
  }
  return "unknown";
}

function terminal(): CliIo {
  const controller = new AbortController();
  const stop = (): void => {
    // The second signal means: now.
    if (controller.signal.aborted) process.exit(130);
    controller.abort(new DOMException("stopped by a signal", "AbortError"));
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, stop);
  // A reader that went away (`| head`) is no reason to crash.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
  return {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    write: (text) => written(text),
    errTty: process.stderr.isTTY === true,
    tty: process.stdout.isTTY === true,
    columns: process.stdout.columns ?? 80,
    signal: controller.signal,
    env: process.env,
    execPath: process.execPath,
    argv1: fileURLToPath(import.meta.url),
    cwd: process.cwd(),
  };
}

/** A reader that went away ends the waiting too. */
function written(text: string): Promise<void> {
  return new Promise((resolve) => void process.stdout.write(text, () => resolve()));
}

/** A promise without an owner, or a throw without a catcher, is a bug: say so and end; the supervisor starts us again. */
function onBug(error: unknown): void {
  const stack = error instanceof Error ? error.stack : String(error);
  process.stderr.write(`${JSON.stringify({ level: 60, time: Date.now(), msg: "bug: uncaught error", stack })}\n`);
  process.exit(70);
}

async function main(argv: readonly string[]): Promise<number> {
  process.on("uncaughtException", onBug);
  process.on("unhandledRejection", onBug);
  const io = terminal();
  const [name = "--help", ...args] = argv;
  if (name === "--help" || name === "-h" || name === "help") {
    io.out(help());
    return 0;
  }
  if (name === "--version" || name === "-v") {
    io.out(`${await version()}\n`);
    return 0;
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) {
    io.err(`millrace: there is no command "${name}"\n\n${help()}`);
    return 64;
  }
  return await command.run(args, io);
}

process.exitCode = await main(process.argv.slice(2));
// Whatever a library left behind must not keep a stopped gateway from ending.
setTimeout(() => process.exit(), 1000).unref();
