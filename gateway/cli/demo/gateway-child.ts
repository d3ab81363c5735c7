import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { open, readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";

export interface GatewayChildOptions {
  readonly execPath: string;
  /** The program's main file. */
  readonly program: string;
  readonly config: string;
  /** Everything it says goes here. */
  readonly logFile: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** It ended by itself and runs again, or will not: `code` 64 and 78 cannot be cured by trying again. */
  onDeath(death: { pid: number; how: string; again: boolean }): void;
}

const RESTART_MS = 500;
const STOP_MS = 8_000;
const HOPELESS = new Set([64, 78]);

/**
 * The gateway as a process of its own, started again when it dies: what systemd does on a real machine. It has its own
 * process group, so Ctrl-C in the terminal reaches it only through `stop`.
 */
export class GatewayChild {
  readonly #options: GatewayChildOptions;
  #child: ChildProcess | undefined;
  #stopping = new AbortController();
  #running: Promise<void> | undefined;
  #restarts = 0;

  constructor(options: GatewayChildOptions) {
    this.#options = options;
  }

  /** undefined while it is not running. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }
  get restarts(): number {
    return this.#restarts;
  }

  start(): void {
    if (this.#running !== undefined) return;
    this.#stopping = new AbortController();
    this.#running = this.#run(this.#stopping.signal);
  }

  /** SIGTERM, and SIGKILL when it takes longer than 8 s. Idempotent, never rejects. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    const child = this.#child;
    if (child) {
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
      await this.#running;
      clearTimeout(timer);
    }
    await this.#running;
    this.#running = undefined;
  }

  /** The end of what it said. */
  async lastWords(lines: number): Promise<string> {
    const text = await readFile(this.#options.logFile, "utf8").catch(() => "");
    return text.trimEnd().split("\n").slice(-lines).join("\n");
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const { pid, how, code } = await this.#once();
      if (signal.aborted) return;
      const again = !HOPELESS.has(code ?? -1);
      this.#options.onDeath({ pid, how, again });
      if (!again) return;
      this.#restarts += 1;
      await delay(RESTART_MS, undefined, { signal }).catch(() => {});
    }
  }

  async #once(): Promise<{ pid: number; how: string; code: number | null }> {
    const { execPath, program, config, logFile, env } = this.#options;
    const log = await open(logFile, "a");
    try {
      const child = spawn(execPath, [program, "run", "--config", config], {
        stdio: ["ignore", log.fd, log.fd],
        detached: true,
        env: { ...env, UV_THREADPOOL_SIZE: "16" },
      });
      this.#child = child;
      if (this.#stopping.signal.aborted) child.kill("SIGTERM");
      const [code, signal] = await ended(child);
      return { pid: child.pid ?? 0, how: signal ?? `exit code ${code}`, code };
    } finally {
      this.#child = undefined;
      await log.close();
    }
  }
}

async function ended(child: ChildProcess): Promise<[number | null, string | null]> {
  try {
    const [code, signal] = await once(child, "exit");
    return [typeof code === "number" ? code : null, typeof signal === "string" ? signal : null];
  } catch (error) {
    return [null, error instanceof Error ? error.message : String(error)];
  }
}
