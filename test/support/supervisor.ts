import { rmSync } from "node:fs";
import { join } from "node:path";
import { needProgram, Process, root } from "./processes.ts";

/** One time that the service was killed. */
export interface Kill {
  /** `silent`: no ping within the time. `trigger`: the service asked for it. */
  readonly why: "silent" | "trigger";
  /** `performance.now()` when it was noticed. */
  readonly atMs: number;
  /** The last STATUS= before. */
  readonly status: string;
}

/**
 * What systemd does for a service of `Type=notify`, `WatchdogSec=`, `Restart=always` and `RestartSec=0`: hears what it says
 * on NOTIFY_SOCKET, kills it with SIGABRT when the pings stop or it asks for that, and starts it again whenever it ends.
 */
export class Supervisor {
  readonly kills: Kill[] = [];
  /** Pings since the beginning. */
  pings = 0;
  /** How often the service said that it is ready. */
  readies = 0;
  service: Process | undefined;
  readonly #watchdogMs: number;
  readonly #socket: string;
  readonly #launch: (env: Record<string, string>) => Process;
  #listener: Process | undefined;
  #seen = 0;
  #status = "";
  #timer: NodeJS.Timeout | undefined;
  #stopping = false;
  #ended: Promise<unknown> = Promise.resolve();

  /** @param launch starts the service with these variables more in its environment. */
  constructor(folder: string, watchdogMs: number, launch: (env: Record<string, string>) => Process) {
    this.#watchdogMs = watchdogMs;
    this.#socket = join(folder, "notify");
    this.#launch = launch;
  }

  /** Resolves when the service is ready for the first time. */
  async start(): Promise<void> {
    rmSync(this.#socket, { force: true });
    const python = needProgram("python3", "python3");
    const listener = new Process(python, [join(root, "test", "support", "notify-socket.py"), this.#socket]);
    this.#listener = listener;
    await listener.line(/BOUND/, 10_000);
    listener.child.stdout?.on("data", () => setImmediate(() => this.#hear()));
    this.#begin();
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#timer);
    await this.service?.stop("SIGTERM");
    await this.#ended;
    await this.#listener?.stop("SIGTERM");
  }

  #begin(): void {
    const variables = { NOTIFY_SOCKET: this.#socket, WATCHDOG_USEC: String(this.#watchdogMs * 1000) };
    const service = this.#launch(variables);
    this.service = service;
    this.#ended = service.exited.then(() => {
      clearTimeout(this.#timer);
      if (!this.#stopping) this.#begin();
    });
  }

  #hear(): void {
    const lines = this.#listener?.lines ?? [];
    for (const line of lines.slice(this.#seen)) for (const word of JSON.parse(line)) this.#take(String(word));
    this.#seen = lines.length;
  }

  #take(word: string): void {
    if (word.startsWith("STATUS=")) this.#status = word.slice("STATUS=".length);
    if (word === "READY=1") this.readies++;
    if (word === "WATCHDOG=1") this.pings++;
    if (word === "READY=1" || word === "WATCHDOG=1") {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#kill("silent"), this.#watchdogMs);
    }
    if (word === "WATCHDOG=trigger") this.#kill("trigger");
  }

  #kill(why: Kill["why"]): void {
    clearTimeout(this.#timer);
    if (this.#stopping || this.service?.running !== true) return;
    this.kills.push({ why, atMs: performance.now(), status: this.#status });
    this.service.child.kill("SIGABRT");
  }
}
