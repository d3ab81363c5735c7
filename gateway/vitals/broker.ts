import type { BrokerStatus } from "../broker/local-broker.ts";
import type { Gauge, Metrics } from "../core/metrics.ts";

/** The embedded broker has all of it, one that is outside only some. */
export interface SomeBrokerStatus extends Partial<Pick<BrokerStatus, "clients" | "pending" | "holding" | "retained">> {
  readonly journal?: { readonly healthy: boolean };
}

export class BrokerVitals {
  readonly #gauges: Readonly<Record<"clients" | "pending" | "holding" | "retained" | "journal", Gauge>>;

  constructor(metrics: Metrics) {
    this.#gauges = {
      clients: metrics.gauge("millrace_broker_clients", "Connected local MQTT clients."),
      pending: metrics.gauge(
        "millrace_broker_pending_messages",
        "QoS 1 and 2 messages of local clients that wait for the disk and their acknowledgement.",
      ),
      holding: metrics.gauge("millrace_broker_holding", "1 while the queue refuses captured messages."),
      retained: metrics.gauge("millrace_broker_retained_bytes", "Bytes of the retained messages, in memory."),
      journal: metrics.gauge(
        "millrace_broker_journal_healthy",
        "0 while the disk refuses writes to the local sessions.",
      ),
    };
  }

  look({ clients, pending, holding, retained, journal }: SomeBrokerStatus): void {
    const { journal: healthy, ...gauges } = this.#gauges;
    for (const gauge of Object.values(gauges)) gauge.reset?.();
    if (clients !== undefined) gauges.clients.set(clients);
    if (pending !== undefined) gauges.pending.set(pending);
    if (holding !== undefined) gauges.holding.set(holding ? 1 : 0);
    if (retained !== undefined) gauges.retained.set(retained.bytes);
    healthy.set(journal?.healthy === false ? 0 : 1);
  }
}
