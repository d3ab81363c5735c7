import type { StatusReport } from "../status/report.ts";
import { backlogOf } from "../status/report.ts";
import type { RangeSet } from "../verify/ranges.ts";
import { RangeSet as Ranges } from "../verify/ranges.ts";
import { CompletenessTracker, type Verdict } from "../verify/tracker.ts";
import type { UserProperties } from "../verify/wire.ts";
import { type ShownDevice, UPLINK, UPSTREAM_PREFIX } from "./plant.ts";

export interface ShownValue {
  readonly value: string;
  readonly quality: string;
  /** Unix milliseconds of the sample. */
  readonly ts: number;
}

export interface GatewayView {
  /** Records owed to the upstream; undefined while the gateway does not answer. */
  readonly backlog?: number;
  readonly uplinkState?: string;
}

/** What the demo knows: the receiver's side from received messages alone, the gateway's side from its /status. */
export class DemoModel {
  readonly tracker = new CompletenessTracker({ fromStart: true });
  readonly devices: readonly ShownDevice[];
  readonly values = new Map<string, ShownValue>();
  /** Numbers of the sensor's readings that arrived upstream. */
  readonly readings: RangeSet = new Ranges();
  gateway: GatewayView = {};
  /** Milliseconds from the program's start to the first value of a polled device upstream. */
  firstValueMs: number | undefined;

  constructor(devices: readonly ShownDevice[]) {
    this.devices = devices;
  }

  /** A message at the upstream's receiver. `nowMs` is Unix time, `sinceStartMs` counts from the program's start. */
  message(
    topic: string,
    payload: Buffer,
    properties: UserProperties,
    retained: boolean,
    at: { nowMs: number; sinceStartMs: number },
  ): void {
    const heard = this.tracker.message(payload, properties, retained);
    if (heard.kind !== "record") return;
    const local = topic.startsWith(UPSTREAM_PREFIX) ? topic.slice(UPSTREAM_PREFIX.length) : topic;
    const device = this.devices.find((entry) => entry.topic === local);
    const body = objectOf(heard.body);
    if (!device || !body) return;
    const ts = typeof body["ts"] === "number" ? body["ts"] : at.nowMs;
    const reading = objectOf(body["payload"]);
    if (reading) this.#reading(device, reading, ts);
    else this.#samples(device, body, ts);
    if (!reading && this.firstValueMs === undefined) this.firstValueMs = at.sinceStartMs;
  }

  status(report: StatusReport | undefined): void {
    if (!report) {
      this.gateway = {};
      return;
    }
    const backlog = backlogOf(report, UPLINK);
    const uplinkState = report.uplinks.find((uplink) => uplink.name === UPLINK)?.state;
    this.gateway = {
      ...(backlog === undefined ? {} : { backlog }),
      ...(uplinkState === undefined ? {} : { uplinkState }),
    };
  }

  verdict(): Verdict {
    return this.tracker.report();
  }

  /** Records told as lost, of every reason. */
  static told(verdict: Verdict): number {
    return verdict.chains.flatMap((chain) => chain.gaps).reduce((sum, gap) => sum + gap.gaps, 0);
  }

  #samples(device: ShownDevice, body: Record<string, unknown>, ts: number): void {
    for (const [tag, value] of Object.entries(objectOf(body["values"]) ?? {})) {
      this.#show(device, tag, { value: textOf(value), quality: "good", ts });
    }
    for (const [tag, reason] of Object.entries(objectOf(body["errors"]) ?? {})) {
      this.#show(device, tag, { value: "", quality: textOf(reason), ts });
    }
  }

  #reading(device: ShownDevice, reading: Record<string, unknown>, ts: number): void {
    const { n, ts: own } = reading;
    if (typeof n === "number" && Number.isSafeInteger(n)) this.readings.add(n, n);
    const takenMs = typeof own === "number" ? own : ts;
    for (const { name } of device.tags) {
      if (reading[name] !== undefined)
        this.#show(device, name, { value: textOf(reading[name]), quality: "good", ts: takenMs });
    }
  }

  /** A record of the backlog must not replace what is newer. */
  #show(device: ShownDevice, tag: string, value: ShownValue): void {
    const key = `${device.name}/${tag}`;
    if ((this.values.get(key)?.ts ?? 0) <= value.ts) this.values.set(key, value);
  }
}

function objectOf(value: unknown): Record<string, unknown> | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : undefined;
}

function textOf(value: unknown): string {
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : value.toFixed(2);
  return typeof value === "string" ? value : JSON.stringify(value);
}
