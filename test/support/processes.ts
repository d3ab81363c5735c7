import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";

/** Real processes for the larger suites: each is started on loopback, watched, and ended by its own pid. */

export const root = fileURLToPath(new URL("../..", import.meta.url));
const main = join(root, "dist", "gateway", "main.js");

/** @throws Error that says which Debian package brings the program. */
export function needProgram(program: string, debianPackage: string): string {
  for (const folder of ["/usr/sbin", "/usr/bin", "/usr/local/bin"]) {
    const path = join(folder, program);
    if (existsSync(path)) return path;
  }
  throw new Error(`${program} is not installed: apt-get install ${debianPackage}`);
}

export function scratch(name: string, folder = tmpdir()): { path: string; remove: () => void } {
  const path = mkdtempSync(join(folder, `millrace-${name}-`));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

/** Waits for what the test waits for; a text that is asked for says how far it came. */
export async function until(
  what: string | (() => string),
  condition: () => boolean | Promise<boolean>,
  timeoutMs: number,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline)
      throw new Error(`not within ${timeoutMs} ms: ${typeof what === "string" ? what : what()}`);
    await pause(20);
  }
}

export function portAnswers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

export class Process {
  readonly child: ChildProcess;
  readonly lines: string[] = [];
  #exited: Promise<number | string>;

  constructor(
    command: string,
    args: readonly string[],
    options: { cwd?: string; env?: Record<string, string>; stdin?: boolean } = {},
  ) {
    this.child = spawn(command, args, {
      stdio: [options.stdin ? "pipe" : "ignore", "pipe", "pipe"],
      cwd: options.cwd ?? tmpdir(),
      env: { ...process.env, UV_THREADPOOL_SIZE: "16", ...options.env },
    });
    this.#exited = new Promise((resolve) => this.child.once("exit", (code, signal) => resolve(signal ?? code ?? -1)));
    this.child.stdin?.on("error", () => {});
    for (const stream of [this.child.stdout, this.child.stderr]) {
      if (stream) createInterface({ input: stream }).on("line", (line) => this.lines.push(line));
    }
  }
  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }
  get exited(): Promise<number | string> {
    return this.#exited;
  }
  /** Writes a line to its stdin, where it has one. */
  tell(line: string): void {
    this.child.stdin?.write(`${line}\n`);
  }
  async line(pattern: RegExp, timeoutMs = 15_000): Promise<string> {
    let found: string | undefined;
    const search = () => {
      found = this.lines.find((line) => pattern.test(line));
      return found !== undefined || !this.running;
    };
    await until(
      () => `a line like ${pattern} from ${this.child.spawnfile} (it said: ${this.lines.slice(-5).join(" | ")})`,
      search,
      timeoutMs,
    );
    if (found === undefined)
      throw new Error(
        `${this.child.spawnfile} ended before a line like ${pattern}:\n${this.lines.slice(-20).join("\n")}`,
      );
    return found;
  }
  /** Ends it and waits; the exit code or the signal. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<number | string> {
    if (this.running) this.child.kill(signal);
    return await this.#exited;
  }
}

export interface Mosquitto {
  readonly port: number;
  process: Process;
  stop(): Promise<void>;
  /** Starts it again on the same port with the same store. */
  start(): Promise<void>;
}

/** A mosquitto with its own folder that keeps its sessions over a stop; anonymous, on loopback. */
export async function mosquitto(dir: string, extra = ""): Promise<Mosquitto> {
  const program = needProgram("mosquitto", "mosquitto mosquitto-clients");
  const port = await freePort();
  mkdirSync(dir, { recursive: true });
  const conf = join(dir, "mosquitto.conf");
  writeFileSync(
    conf,
    `listener ${port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location ${dir}/\n` +
      `user root\nmax_queued_messages 0\nmax_inflight_messages 0\nset_tcp_nodelay true\n${extra}\n`,
  );
  const launch = async () => {
    const started = new Process(program, ["-c", conf]);
    await until(`mosquitto on port ${port}`, () => portAnswers(port), 10_000);
    return started;
  };
  const broker: Mosquitto = {
    port,
    process: await launch(),
    async stop() {
      await broker.process.stop("SIGTERM");
    },
    async start() {
      broker.process = await launch();
    },
  };
  return broker;
}

/** The gateway's own program in a process of its own. */
export function millrace(args: readonly string[], env: Record<string, string> = {}): Process {
  return new Process(process.execPath, [main, ...args], { env });
}

/** `millrace run`, ready. */
export async function startGateway(config: string, env: Record<string, string> = {}): Promise<Process> {
  const gateway = millrace(["run", "-c", config], env);
  await gateway.line(/"msg":"gateway started"/, 30_000);
  return gateway;
}

/** Two ends of one serial line. */
export async function ptyPair(dir: string): Promise<{ a: string; b: string; stop: () => Promise<void> }> {
  const socat = needProgram("socat", "socat");
  const a = join(dir, "pty-a");
  const b = join(dir, "pty-b");
  const line = new Process(socat, [`pty,raw,echo=0,link=${a}`, `pty,raw,echo=0,link=${b}`]);
  await until("the pty pair", () => existsSync(a) && existsSync(b), 5_000);
  return {
    a,
    b,
    stop: async () => {
      await line.stop();
    },
  };
}

/** Builds the libmodbus server of test/interop/peers, once per folder. */
export function buildModbusServer(dir: string): string {
  const gcc = needProgram("gcc", "gcc libc6-dev");
  if (!existsSync("/usr/include/modbus/modbus.h"))
    throw new Error("libmodbus is not installed: apt-get install libmodbus-dev");
  const program = join(dir, "modbus-server");
  const source = join(root, "test", "interop", "peers", "modbus-server.c");
  execFileSync(gcc, ["-O2", "-o", program, source, "-I/usr/include/modbus", "-lmodbus"]);
  return program;
}
