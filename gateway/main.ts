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
  run: { summary: "run the gateway", run: async (args, io) => (await import("./run-command.ts")).runCommand(args, io) },
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
  reload: {
    summary: "apply the changed configuration to a running gateway, and say what restarts",
    run: async (args, io) => (await import("./cli/reload.ts")).runReload(args, io),
  },
  plan: {
    summary: "capacity on paper: rates, bus load, buffer, outage, drain and card life",
    run: async (args, io) => {
      const { readOnlyLearnt } = await import("./system/learnt-files.ts");
      const { planTools } = await import("./plan-tools.ts");
      return (await import("./cli/plan.ts")).runPlan(args, io, { learnt: readOnlyLearnt, tools: planTools() });
    },
  },
  requests: {
    summary: "show what a running gateway asks of each device, and how long it takes",
    run: async (args, io) => (await import("./cli/requests.ts")).runRequests(args, io),
  },
  read: {
    summary: "read tags or addresses once, through the running gateway or directly",
    run: async (args, io) =>
      (await import("./cli/read.ts")).runRead(args, io, (await import("./line-tools.ts")).lineTools()),
  },
  write: {
    summary: "write tags or addresses, with the values before and after",
    run: async (args, io) =>
      (await import("./cli/write.ts")).runWrite(args, io, (await import("./line-tools.ts")).lineTools()),
  },
  scan: {
    summary: "find the units on a line, and what they say they are",
    run: async (args, io) =>
      (await import("./cli/scan.ts")).runScan(args, io, (await import("./line-tools.ts")).lineTools()),
  },
  guess: {
    summary: "find type and byte order of an address",
    run: async (args, io) =>
      (await import("./cli/guess.ts")).runGuess(args, io, (await import("./line-tools.ts")).lineTools()),
  },
  ports: {
    summary: "show the serial ports of this machine, and who has them",
    run: async (args, io) => {
      const { serialPorts } = await import("./host/serial-ports.ts");
      return (await import("./cli/ports.ts")).runPorts(args, io, { list: () => serialPorts() });
    },
  },
  user: {
    summary: "who may log in: list, add, passwd, role, remove",
    run: async (args, io) => (await import("./cli/user.ts")).runUser(args, io),
  },
  audit: {
    summary: "who did what: show, export and verify the audit trail",
    run: async (args, io) => (await import("./cli/audit.ts")).runAudit(args, io),
  },
  queue: {
    summary: "look into the queue, export it, back it up, restore it",
    run: async (args, io) =>
      (await import("./cli/queue.ts")).runQueue(args, io, (await import("./queue-tools.ts")).queueTools),
  },
  support: {
    summary: "a support bundle: what somebody elsewhere needs to help, without secrets",
    run: async (args, io) =>
      (await import("./cli/support.ts")).runSupport(args, io, (await import("./support-tools.ts")).supportTools),
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
  passwd: {
    summary: "a password hash for a user of the local broker",
    run: async (args, io) => {
      const { hashPassword } = await import("./broker/password.ts");
      return (await import("./cli/passwd.ts")).runPasswd(args, io, { hash: hashPassword });
    },
  },
  profile: {
    summary: "list and show device profiles",
    run: async (args, io) => (await import("./cli/profile.ts")).runProfile(args, io),
  },
  import: {
    summary: "tags from a table: Kepware, Neuron, or columns of your own",
    run: async (args, io) => {
      const { modbusModule } = await import("../drivers/modbus/module.ts");
      return (await import("./cli/import.ts")).runImport(args, io, { driver: modbusModule });
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
  record: {
    summary: "what passed on a link, as a capture file for Wireshark",
    run: async (args, io) => (await import("./cli/record.ts")).runRecord(args, io),
  },
  simulate: {
    summary: "a device in software, from a profile, a small YAML file or a recording",
    run: async (args, io) => {
      const { driverModules } = await import("../drivers/index.ts");
      const { readRecording } = await import("./recorder/read-recording.ts");
      return (await import("./cli/simulate.ts")).runSimulate(args, io, { drivers: driverModules, readRecording });
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

function terminal(): CliIo {
  const controller = new AbortController();
  const stop = (): void => {
    // The second signal means: now.
    if (controller.signal.aborted) process.exit(130);
    controller.abort(new DOMException("stopped by a signal", "AbortError"));
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, stop);
  const onHangup = (listener: () => void): void => {
    process.off("SIGHUP", stop);
    process.on("SIGHUP", listener);
  };
  // A reader that went away (`| head`) is no reason to crash.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
  return {
    ...(process.stdin.isTTY === true
      ? {
          answerTo: (question: string) => answerTo(question, controller.signal),
          secretTo: (question: string) => secretTo(question, controller.signal),
        }
      : { input: (most: number) => input(most, controller.signal) }),
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    write: (text) => written(text),
    errTty: process.stderr.isTTY === true,
    tty: process.stdout.isTTY === true,
    columns: process.stdout.columns ?? 80,
    signal: controller.signal,
    ...(process.stdout.isTTY === true ? {} : { onHangup }),
    env: process.env,
    execPath: process.execPath,
    nodeVersion: process.version,
    argv1: fileURLToPath(import.meta.url),
    cwd: process.cwd(),
    monotonicMs: () => Number(process.hrtime.bigint()) / 1e6,
  };
}

/** A line from the terminal; empty where there is none any more. */
async function answerTo(question: string, signal: AbortSignal): Promise<string> {
  const { createInterface } = await import("node:readline/promises");
  const asked = createInterface({ input: process.stdin, output: process.stderr });
  // In the terminal's raw mode Ctrl-C is a key.
  asked.on("SIGINT", () => process.emit("SIGINT"));
  try {
    return await asked.question(question, { signal });
  } catch {
    return "";
  } finally {
    asked.close();
  }
}

/** As `answerTo`, with nothing shown of what is typed. */
async function secretTo(question: string, signal: AbortSignal): Promise<string> {
  const { createInterface } = await import("node:readline/promises");
  const { Writable } = await import("node:stream");
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const asked = createInterface({ input: process.stdin, output: nowhere, terminal: true, historySize: 0 });
  asked.on("SIGINT", () => process.emit("SIGINT"));
  process.stderr.write(question);
  try {
    return await asked.question("", { signal });
  } catch {
    return "";
  } finally {
    asked.close();
    process.stderr.write("\n");
  }
}

/** What stands in stdin, no more than asked for. */
async function input(most: number, signal: AbortSignal): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  const end = () => process.stdin.destroy();
  signal.addEventListener("abort", end, { once: true });
  try {
    for await (const chunk of process.stdin) {
      const bytes = Buffer.from(chunk);
      chunks.push(bytes);
      size += bytes.length;
      if (size >= most) break;
    }
  } catch {
    // A signal ended it.
  } finally {
    signal.removeEventListener("abort", end);
  }
  return Buffer.concat(chunks).toString("utf8", 0, most);
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
    io.out(`${(await import("./version.ts")).programVersion()}\n`);
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
