import type { Gauge, Metrics } from "../core/metrics.ts";
import type { DeviceStatus, LinkStatus } from "../southbound/status.ts";
import { setState } from "./state-set.ts";

const LINK_STATES: readonly LinkStatus["state"][] = ["stopped", "connecting", "connected", "down", "failed"];
const DEVICE_STATES: readonly DeviceStatus["state"][] = ["unknown", "online", "offline"];

/** Links and their devices. */
export class LineVitals {
  readonly #gauges: Readonly<Record<"link" | "linkAge" | "device" | "deviceAge" | "bad", Gauge>>;

  constructor(metrics: Metrics) {
    const both = ["link", "device"];
    this.#gauges = {
      link: metrics.gauge("millrace_link_state", "1 for the state the link is in.", ["link", "state"]),
      linkAge: metrics.gauge(
        "millrace_link_last_reply_age_seconds",
        "Since any device of the link answered; where none has yet, since the link came into its state.",
        ["link"],
      ),
      device: metrics.gauge("millrace_device_state", "1 for the state the device is in.", [...both, "state"]),
      deviceAge: metrics.gauge(
        "millrace_device_last_reply_age_seconds",
        "Since the device answered; where it has not yet, since it came into its state.",
        both,
      ),
      bad: metrics.gauge("millrace_device_bad_tags", "Tags without a good value.", both),
    };
  }

  look(links: readonly LinkStatus[], nowMs: number, badTags: (device: string) => number): void {
    for (const gauge of Object.values(this.#gauges)) gauge.reset?.();
    const { link, linkAge, device, deviceAge, bad } = this.#gauges;
    for (const one of links) {
      setState(link, LINK_STATES, one.state, { link: one.name });
      linkAge.set(ageOf(one, nowMs), { link: one.name });
      for (const each of one.devices) {
        const labels = { link: one.name, device: each.name };
        setState(device, DEVICE_STATES, each.state, labels);
        deviceAge.set(ageOf(each, nowMs), labels);
        bad.set(badTags(each.name), labels);
      }
    }
  }
}

/** Seconds. A clock that was stepped back must not make it negative. */
function ageOf({ lastReply, since }: { readonly lastReply?: number; readonly since: number }, nowMs: number): number {
  return Math.max(0, (nowMs - (lastReply ?? since)) / 1000);
}
