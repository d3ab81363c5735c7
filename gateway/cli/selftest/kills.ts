import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import type { Readable, Writable } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import { type Account, Ledger } from "./ledger.ts";
import { random } from "./numbers.ts";

export interface KillPlan {
  readonly execPath: string;
  /** The program's main file. */
  readonly program: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Of the scratch queue. */
  readonly dataDir: string;
  readonly seed: number;
  readonly signal: AbortSignal;
  /** Whether to go on after so many cycles. */
  more(cycles: number): boolean;
}

export interface KillFigures extends Account {
  readonly cycles: number;
  readonly seed: number;
  /** Why the queue did not start, or stopped by itself; nothing was killed after that. */
  readonly failure?: string;
}

/** A queue that is not there by then counts as one that does not start. */
const START_LIMIT_MS = 60_000;
const MOST_WORK_MS = 400;
/** Part of the kills that fall into the start. */
const KILLED_AT_START = 1 / 6;

type Child = ChildProcessByStdio<Writable, Readable, Readable>;

/**
 * Starts the process again and again and kills it at random moments; at last lets one read everything to the end.
 * @throws `signal.reason` when aborted; no process is left behind.
 */
export async function killCycles(plan: KillPlan): Promise<KillFigures> {
  const ledger = new Ledger();
  const next = random(plan.seed);
  let startMs = 200;
  let cycles = 0;
  let failure: string | undefined;
  while (failure === undefined && plan.more(cycles)) {
    const atStart = cycles > 0 && next() < KILLED_AT_START;
    const afterMs = next() * (atStart ? startMs : MOST_WORK_MS);
    const run = new Run(plan, ++cycles, ledger, false);
    const readyMs = atStart ? undefined : await run.ready();
    if (readyMs !== undefined) startMs = readyMs;
    if (atStart || readyMs !== undefined) await run.endsWithin(afterMs);
    failure = await run.kill();
  }
  if (failure === undefined && cycles > 0) {
    const run = new Run(plan, cycles + 1, ledger, true);
    failure = (await run.ready()) === undefined ? await run.kill() : await run.finished();
  }
  return { cycles, seed: plan.seed, ...ledger.account(), ...(failure === undefined ? {} : { failure }) };
}

/** One life of the process. */
class Run {
  readonly #plan: KillPlan;
  readonly #child: Child;
  readonly #ledger: Ledger;
  readonly #began = performance.now();
  readonly #closed: Promise<unknown>;
  #late = false;
  #rest = "";
  #words = "";
  #onReady: () => void = () => {};
  readonly #ready: Promise<void>;

  constructor(plan: KillPlan, cycle: number, ledger: Ledger, drain: boolean) {
    this.#plan = plan;
    this.#ledger = ledger;
    this.#ready = new Promise((resolve) => {
      this.#onReady = resolve;
    });
    const args = ["selftest", "storage-child", "--dir", plan.dataDir, "--seed", `${plan.seed}`, "--cycle", `${cycle}`];
    // A group of its own: Ctrl-C in the terminal reaches it only through `kill`.
    this.#child = spawn(plan.execPath, [plan.program, ...args, ...(drain ? ["--drain"] : [])], {
      stdio: ["pipe", "pipe", "pipe"],
      detached: true,
      env: { ...plan.env, UV_THREADPOOL_SIZE: "16" },
    });
    this.#child.stdin.on("error", () => {});
    this.#child.stdout.on("data", (bytes: Buffer) => this.#take(bytes));
    this.#child.stderr.on("data", (bytes: Buffer) => {
      this.#words = (this.#words + bytes.toString()).slice(-2000);
    });
    this.#closed = once(this.#child, "close").catch((error: unknown) => {
      this.#words += String(error);
    });
  }

  /** Milliseconds from the start until it worked; undefined where it ended before, or never came. */
  async ready(): Promise<number | undefined> {
    const limit = new AbortController();
    const late = pause(START_LIMIT_MS, "late", { signal: AbortSignal.any([limit.signal, this.#plan.signal]) });
    try {
      const what = await Promise.race([this.#ready.then(() => "ready"), this.#closed.then(() => "closed"), late]);
      if (what === "ready") return performance.now() - this.#began;
      this.#late = what === "late";
      return undefined;
    } catch {
      await this.kill();
      throw this.#plan.signal.reason;
    } finally {
      late.catch(() => {});
      limit.abort();
    }
  }

  /** Waits, less long where it ends by itself. */
  async endsWithin(ms: number): Promise<void> {
    const limit = new AbortController();
    const over = pause(ms, undefined, { signal: AbortSignal.any([limit.signal, this.#plan.signal]) });
    try {
      await Promise.race([over, this.#closed]);
    } catch {
      await this.kill();
      throw this.#plan.signal.reason;
    } finally {
      over.catch(() => {});
      limit.abort();
    }
  }

  /** Kills it; what it had ended with before, if it had. */
  async kill(): Promise<string | undefined> {
    this.#child.kill("SIGKILL");
    await this.#closed;
    return this.#child.signalCode === "SIGKILL" && !this.#late ? undefined : this.#lastWords();
  }

  /** Waits for its own end; undefined where that is a good one. */
  async finished(): Promise<string | undefined> {
    const stop = () => void this.#child.kill("SIGKILL");
    this.#plan.signal.addEventListener("abort", stop, { once: true });
    if (this.#plan.signal.aborted) stop();
    await this.#closed;
    this.#plan.signal.removeEventListener("abort", stop);
    this.#plan.signal.throwIfAborted();
    return this.#child.exitCode === 0 ? undefined : this.#lastWords();
  }

  #take(bytes: Buffer): void {
    // What follows the last line break was cut off by the kill: nobody was told that.
    const lines = (this.#rest + bytes.toString()).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line === "ready") this.#onReady();
      else this.#ledger.line(line);
    }
  }

  #lastWords(): string {
    if (this.#late) return `it did not start within ${START_LIMIT_MS / 1000} s`;
    const { exitCode, signalCode } = this.#child;
    const how = signalCode ?? `exit code ${exitCode}`;
    return `${how}: ${this.#words.trim().split("\n").slice(-3).join(" ") || "it said nothing"}`;
  }
}
