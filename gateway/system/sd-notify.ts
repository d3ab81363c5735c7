import { execFile } from "node:child_process";
import { messageOf } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import { type Counter, type Metrics, noMetrics } from "../core/metrics.ts";
import { type Stuck, stuckText } from "./progress.ts";

export interface SdNotifyOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Looks which parts are stuck (`Progress.look`): with one of them the process is to be killed and started again. */
  readonly stuck?: () => readonly Stuck[];
  /** CLOCK_MONOTONIC, in milliseconds. Without it systemd is not told of a reload. */
  readonly monoMs?: (() => number) | undefined;
  readonly log: Logger;
  readonly metrics?: Metrics;
  /** The program that speaks to systemd; tests give their own. */
  readonly program?: string;
}

const CALL_TIMEOUT_MS = 5_000;
/** How often parts are looked at, at most; of the watchdog's time it is an eighth. */
const LOOK_MS = 1_000;
/** Where there is no watchdog, a part is stuck after this. */
const LIMIT_MS = 15_000;

/** The time within which systemd expects a ping, in milliseconds; undefined where it expects none. */
function watchdogMs(env: SdNotifyOptions["env"]): number | undefined {
  const usec = Number(env["WATCHDOG_USEC"]);
  return (env["NOTIFY_SOCKET"] ?? "") !== "" && Number.isFinite(usec) && usec > 0 ? usec / 1000 : undefined;
}

/** How long a part may make no progress: half the watchdog's time, so that it is seen within that time. Milliseconds. */
export function stuckLimitMs(env: SdNotifyOptions["env"]): number {
  const ms = watchdogMs(env);
  return ms === undefined ? LIMIT_MS : ms / 2;
}

/**
 * Tells systemd how the service is (sd_notify(3)). Node has no datagram Unix sockets, so `systemd-notify` says it for
 * us: the unit needs `NotifyAccess=all`. Does nothing where NOTIFY_SOCKET is not set, and never fails: a message that
 * could not be sent is logged once. The watchdog's ping comes from a timer of the event loop, so a loop that stands
 * still is seen. A part that is stuck is told at once, by name, with the request to be killed. A disk that is full or refuses writes is no
 * reason: a restart mends nothing there, and the gateway goes on by itself once the disk does.
 */
export class SdNotify {
  readonly #options: SdNotifyOptions;
  readonly #enabled: boolean;
  readonly #pings: Counter;
  readonly #withheld: Counter;
  #timer: NodeJS.Timeout | undefined;
  #looking: NodeJS.Timeout | undefined;
  #pinging = false;
  #stuck = false;
  #failed = false;

  constructor(options: SdNotifyOptions) {
    this.#options = options;
    const { metrics = noMetrics } = options;
    this.#pings = metrics.counter("millrace_watchdog_pings_total", "Signs of life given to systemd's watchdog.");
    this.#withheld = metrics.counter(
      "millrace_watchdog_withheld_total",
      "Signs of life that were not given because a part is stuck; systemd restarts the gateway.",
    );
    this.#enabled = (options.env["NOTIFY_SOCKET"] ?? "") !== "";
  }

  /** READY=1. The first time it begins to look after the parts, and to ping at half the watchdog's time. */
  ready(): void {
    this.#say(["READY=1"]);
    if (this.#looking) return;
    const everyMs = watchdogMs(this.#options.env);
    this.#looking = setInterval(() => this.#look(), Math.min(LOOK_MS, stuckLimitMs(this.#options.env) / 4));
    this.#looking.unref();
    if (everyMs === undefined) return;
    this.#timer = setInterval(() => this.#ping(), Math.max(everyMs / 2, 1));
    this.#timer.unref();
  }

  /** RELOADING=1: systemd waits for the next `ready`. */
  reloading(): void {
    const monoMs = this.#options.monoMs?.();
    if (monoMs !== undefined) this.#say(["RELOADING=1", `MONOTONIC_USEC=${Math.round(monoMs * 1000)}`]);
  }

  /** One line for `systemctl status`. */
  status(text: string): void {
    this.#say([statusOf(text)]);
  }

  /** STOPPING=1; the pings go on until `close`, for stopping takes its time too, and has a limit of its own. */
  stopping(): void {
    clearInterval(this.#looking);
    this.#stuck = false;
    this.#say(["STOPPING=1"]);
  }

  close(): void {
    clearInterval(this.#looking);
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#looking = undefined;
  }

  /** Once stuck, no ping follows until all is well; the first time systemd is asked not to wait for the end of its time. */
  #look(): void {
    const [first, ...more] = this.#options.stuck?.() ?? [];
    if (first !== undefined && !this.#stuck && watchdogMs(this.#options.env) !== undefined) {
      const others = more.length === 0 ? "" : ` (and ${more.length} more)`;
      this.#say([statusOf(`${stuckText(first)}${others}; to be started again`), "WATCHDOG=trigger"]);
    }
    this.#stuck = first !== undefined;
  }

  #ping(): void {
    if (this.#stuck) this.#withheld.inc();
    if (this.#stuck || this.#pinging) return;
    this.#pinging = true;
    this.#pings.inc();
    this.#say(["WATCHDOG=1"], () => {
      this.#pinging = false;
    });
  }

  #say(words: string[], then: () => void = () => {}): void {
    if (!this.#enabled) return;
    const { env, log, program = "systemd-notify" } = this.#options;
    const settled = (error: unknown): void => {
      if (error && !this.#failed) log.warn({ error: messageOf(error), words }, "systemd could not be told");
      this.#failed = error !== null && error !== undefined;
      then();
    };
    try {
      execFile(program, words, { env: { ...env }, timeout: CALL_TIMEOUT_MS, windowsHide: true }, settled);
    } catch (error) {
      settled(error);
    }
  }
}

function statusOf(text: string): string {
  return `STATUS=${text.replaceAll("\n", " ")}`;
}
