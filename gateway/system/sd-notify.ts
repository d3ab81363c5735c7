import { execFile } from "node:child_process";
import { messageOf } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import { type Counter, type Metrics, noMetrics } from "../core/metrics.ts";

export interface SdNotifyOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Asked before each watchdog ping: no ping, and so a restart, while the process is not well. */
  readonly healthy: () => boolean;
  readonly log: Logger;
  readonly metrics?: Metrics;
  /** The program that speaks to systemd; tests give their own. */
  readonly program?: string;
}

const CALL_TIMEOUT_MS = 5_000;

/**
 * Tells systemd how the service is (sd_notify(3)). Node has no datagram Unix sockets, so `systemd-notify` says it for
 * us: the unit needs `NotifyAccess=all`. Does nothing where NOTIFY_SOCKET is not set, and never fails: a message that
 * could not be sent is logged once. The watchdog's ping comes from a timer of the event loop, so a loop that stands
 * still is seen.
 */
export class SdNotify {
  readonly #options: SdNotifyOptions;
  readonly #enabled: boolean;
  readonly #pings: Counter;
  readonly #withheld: Counter;
  #timer: NodeJS.Timeout | undefined;
  #pinging = false;
  #unwell = false;
  #failed = false;

  constructor(options: SdNotifyOptions) {
    this.#options = options;
    const { metrics = noMetrics } = options;
    this.#pings = metrics.counter("millrace_watchdog_pings_total", "Signs of life given to systemd's watchdog.");
    this.#withheld = metrics.counter(
      "millrace_watchdog_withheld_total",
      "Signs of life that were not given because the gateway is not well; systemd restarts it after some.",
    );
    this.#enabled = (options.env["NOTIFY_SOCKET"] ?? "") !== "";
  }

  /** READY=1, and the watchdog's pings at half its time from now on. */
  ready(): void {
    this.#say(["READY=1"]);
    const everyMs = this.#watchdogMs();
    if (everyMs === undefined || this.#timer) return;
    this.#timer = setInterval(() => this.#ping(), everyMs);
    this.#timer.unref();
  }

  /** RELOADING=1 until the next `ready`. */
  reloading(): void {
    this.#say(["RELOADING=1"]);
  }

  /** One line for `systemctl status`. */
  status(text: string): void {
    this.#say([`STATUS=${text.replaceAll("\n", " ")}`]);
  }

  /** STOPPING=1; the pings go on until `close`, for stopping takes its time too. */
  stopping(): void {
    this.#say(["STOPPING=1"]);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Half of WATCHDOG_USEC, in milliseconds. */
  #watchdogMs(): number | undefined {
    const usec = Number(this.#options.env["WATCHDOG_USEC"]);
    return this.#enabled && Number.isFinite(usec) && usec > 0 ? Math.max(usec / 2000, 1) : undefined;
  }

  #ping(): void {
    const well = this.#options.healthy();
    if (well !== !this.#unwell) {
      this.#unwell = !well;
      if (well) this.#options.log.info({}, "healthy again, watchdog pings go on");
      else this.#options.log.error({}, "not healthy, watchdog pings withheld");
    }
    if (!well) this.#withheld.inc();
    if (!well || this.#pinging) return;
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
