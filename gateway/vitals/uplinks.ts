import type { Gauge, Metrics } from "../core/metrics.ts";
import type { ForwarderStatus } from "../northbound/forwarder.ts";
import { setState } from "./state-set.ts";

const STATES: readonly ForwarderStatus["state"][] = ["stopped", "connecting", "connected", "waiting"];

export class UplinkVitals {
  readonly #gauges: Readonly<Record<"state" | "alarm" | "window" | "retrying" | "letters", Gauge>>;

  constructor(metrics: Metrics) {
    const own = ["uplink"];
    this.#gauges = {
      state: metrics.gauge("millrace_uplink_state", "1 for the state the uplink is in.", [...own, "state"]),
      alarm: metrics.gauge("millrace_uplink_alarm", "1 while something is wrong that only a person can cure.", own),
      window: metrics.gauge(
        "millrace_uplink_window_messages",
        "Messages that may be in flight; none while there is no connection.",
        own,
      ),
      retrying: metrics.gauge("millrace_uplink_retrying", "Messages that wait to be sent again.", own),
      letters: metrics.gauge("millrace_uplink_dead_letters", "Dead letters kept.", own),
    };
  }

  look(uplinks: readonly ForwarderStatus[]): void {
    for (const gauge of Object.values(this.#gauges)) gauge.reset?.();
    const { state, alarm, window, retrying, letters } = this.#gauges;
    for (const one of uplinks) {
      const labels = { uplink: one.name };
      setState(state, STATES, one.state, labels);
      alarm.set(one.alarm === undefined ? 0 : 1, labels);
      if (one.limits) window.set(one.limits.inFlight, labels);
      retrying.set(one.retrying, labels);
      if (one.deadLetters) letters.set(one.deadLetters.records, labels);
    }
  }
}
