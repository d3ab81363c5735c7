import type { Logger } from "../../../core/log.ts";
import type { Gauge, Metrics } from "../../../core/metrics.ts";
import { reasonText } from "../reasons.ts";
import type { LocalConnection } from "./connection.ts";

export interface SubscriptionStatus {
  readonly filter: string;
  readonly state: "subscribed" | "refused" | "pending";
  /** Of what clients publish with more, the broker sends it with this. */
  readonly qos?: 0 | 1 | 2;
  readonly reason?: string;
}

/** What was refused is asked for again: somebody may have changed the broker's rules. */
const AGAIN_MS = 60_000;
const REFUSED = 0x80;

/** The subscriptions of the session, and what the broker says of them. */
export class Subscriptions {
  readonly #filters: readonly string[];
  readonly #log: Logger;
  readonly #refused: Gauge;
  readonly #states = new Map<string, SubscriptionStatus>();
  /** What was told last of a filter. */
  readonly #told = new Map<string, string>();
  #wake: (() => void) | undefined;

  constructor(parts: { readonly filters: readonly string[]; readonly log: Logger; readonly metrics: Metrics }) {
    this.#filters = parts.filters;
    this.#log = parts.log;
    this.#refused = parts.metrics.gauge(
      "millrace_external_broker_subscriptions_refused",
      "Subscriptions that the external local broker refuses.",
    );
  }

  status(): readonly SubscriptionStatus[] {
    return this.#filters.map((filter) => this.#states.get(filter) ?? { filter, state: "pending" });
  }

  get alarm(): string | undefined {
    const refused = this.status().filter(({ state }) => state === "refused");
    const [first] = refused;
    if (first === undefined) return undefined;
    const more = refused.length === 1 ? "" : ` and ${refused.length - 1} more`;
    return `the local broker refuses the subscription ${first.filter}${more}: ${first.reason}`;
  }

  /** Ends those that are not wanted any more and begins the others. @throws NotConnectedError. */
  async begin(connection: LocalConnection, stale: readonly string[], resumed: boolean): Promise<void> {
    // A session that was just made has none.
    if (resumed) await Promise.all(stale.map((filter) => connection.unsubscribe(filter)));
    await this.#ask(connection, this.#filters);
  }

  /** Asks again for those that were refused, as long as there are any. @throws NotConnectedError. */
  async repeat(connection: LocalConnection): Promise<void> {
    for (;;) {
      const refused = this.#filters.filter((filter) => this.#states.get(filter)?.state === "refused");
      if (refused.length === 0 || !(await this.#pause())) return;
      await this.#ask(connection, refused);
    }
  }

  /** The connection is gone. */
  lost(): void {
    this.#states.clear();
    this.#wake?.();
  }

  async #ask(connection: LocalConnection, filters: readonly string[]): Promise<void> {
    await Promise.all(
      filters.map(async (filter) => {
        this.#note(filter, await connection.subscribe(filter));
      }),
    );
    this.#refused.set(this.status().filter(({ state }) => state === "refused").length);
  }

  #note(filter: string, code: number): void {
    const known = this.#told.get(filter) ?? "";
    if (code >= REFUSED) {
      const reason = reasonText(code);
      this.#states.set(filter, { filter, state: "refused", reason });
      this.#told.set(filter, reason);
      const cure = "allow it in the broker's access rules; what clients publish there is not captured";
      if (known !== reason) this.#log.error({ filter, reason, cure }, "the local broker refuses a subscription");
      return;
    }
    const qos = code === 2 ? 2 : code === 1 ? 1 : 0;
    this.#states.set(filter, { filter, state: "subscribed", qos });
    this.#told.set(filter, `qos ${qos}`);
    if (known === `qos ${qos}`) return;
    if (qos === 0) {
      this.#log.warn({ filter }, "the local broker grants QoS 0 only: what comes while the gateway is away is lost");
    } else if (known !== "" && !known.startsWith("qos")) {
      this.#log.info({ filter, qos }, "the local broker grants a subscription that it refused");
    }
  }

  /** False when the connection went meanwhile. */
  #pause(): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => settle(true), AGAIN_MS);
      const settle = (stays: boolean) => {
        clearTimeout(timer);
        this.#wake = undefined;
        resolve(stays);
      };
      this.#wake = () => settle(false);
    });
  }
}
