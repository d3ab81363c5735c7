import type { Clock } from "../../core/clock.ts";
import type { Logger } from "../../core/log.ts";
import type { Gauge, Metrics } from "../../core/metrics.ts";
import { formatDuration } from "../../core/options/units.ts";

const DAY_MS = 86_400_000;
/** Told when a certificate ends within so many days, once each. */
const DAYS = [30, 7, 1, 0];

/** Says in time that a certificate ends. Outlives connections. */
export class ExpiryWatch {
  readonly #uplink: string;
  readonly #log: Logger;
  readonly #gauge: Gauge;
  readonly #ends = new Map<string, number>();
  readonly #told = new Map<string, number>();

  constructor(uplink: string, log: Logger, metrics: Metrics) {
    this.#uplink = uplink;
    this.#log = log;
    this.#gauge = metrics.gauge(
      "millrace_uplink_certificate_expiry_timestamp_seconds",
      "When a certificate of the connection ends, Unix seconds.",
      ["uplink", "certificate"],
    );
  }

  /** @param certificate `client`, `server` or `ca`. */
  set(certificate: string, endMs: number | undefined): void {
    if (endMs === undefined || this.#ends.get(certificate) === endMs) return;
    this.#ends.set(certificate, endMs);
    this.#told.delete(certificate);
    this.#gauge.set(endMs / 1000, { uplink: this.#uplink, certificate });
  }

  /** Logs what is new, and returns what is to be said; nothing while the clock is not set. */
  look(clock: Clock | undefined): string | undefined {
    const now = clock?.now();
    if (now?.clock === "unsynced") return undefined;
    const nowMs = now?.wallMs ?? Date.now();
    let first: { text: string; endMs: number } | undefined;
    for (const [certificate, endMs] of this.#ends) {
      const days = DAYS.findLast((limit) => endMs - nowMs <= limit * DAY_MS);
      if (days === undefined) continue;
      const left = endMs - nowMs;
      const text =
        left > 0
          ? `the ${certificate} certificate ends in ${formatDuration(left)} (${new Date(endMs).toISOString()}); renew it`
          : `the ${certificate} certificate ended ${new Date(endMs).toISOString()}; renew it`;
      if (first === undefined || endMs < first.endMs) first = { text, endMs };
      if (this.#told.get(certificate) === days) continue;
      this.#told.set(certificate, days);
      const fields = { certificate, ends: new Date(endMs).toISOString(), days };
      if (days <= 1) this.#log.error(fields, "a certificate ends soon");
      else this.#log.warn(fields, "a certificate ends soon");
    }
    return first?.text;
  }
}
