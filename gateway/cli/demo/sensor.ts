import { setTimeout as delay } from "node:timers/promises";
import mqtt from "mqtt";
import { RangeSet } from "../verify/ranges.ts";

export interface SensorOptions {
  /** Port of the gateway's own broker. */
  readonly port: number;
  readonly topic: string;
  readonly everyMs: number;
}

/**
 * A vibration sensor that speaks MQTT by itself: publishes a numbered reading with QoS 1 and waits for its PUBACK before
 * the next one, as a device with little memory does.
 */
export class Sensor {
  readonly #options: SensorOptions;
  /** Numbers of the readings that the gateway acknowledged. */
  readonly acknowledged = new RangeSet();
  #stop: AbortController | undefined;
  #running: Promise<void> | undefined;
  #count = 0;

  constructor(options: SensorOptions) {
    this.#options = options;
  }

  /** How many readings were acknowledged. */
  get count(): number {
    return this.#count;
  }

  start(): void {
    if (this.#running !== undefined) return;
    this.#stop = new AbortController();
    this.#running = this.#run(this.#stop.signal);
  }

  /** Idempotent, never rejects. */
  async stop(): Promise<void> {
    this.#stop?.abort();
    await this.#running;
    this.#running = undefined;
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { port, topic, everyMs } = this.#options;
    const client = mqtt.connect(`mqtt://127.0.0.1:${port}`, {
      protocolVersion: 4,
      clientId: "vibration-1",
      reconnectPeriod: 500,
      keepalive: 10,
      queueQoSZero: false,
    });
    client.on("error", () => {});
    const stopped = aborted(signal);
    for (let number = 1; !signal.aborted; number += 1) {
      const sent = client.publishAsync(topic, JSON.stringify(reading(number, Date.now())), { qos: 1 });
      const acknowledged = await Promise.race([
        sent.then(
          () => true,
          () => false,
        ),
        stopped,
      ]);
      if (acknowledged) {
        this.acknowledged.add(number, number);
        this.#count += 1;
      }
      await delay(everyMs, undefined, { signal }).catch(() => {});
    }
    await new Promise<void>((resolve) => client.end(true, () => resolve()));
    client.stream?.destroy();
  }
}

/** Velocity in mm/s: the stroke of the press and a bearing that hums. */
function reading(n: number, ts: number): { n: number; ts: number; rms: number; peak: number } {
  const rms = 2.4 + Math.sin(ts / 4_000) + 0.2 * Math.sin(ts / 170);
  return { n, ts, rms: round(rms), peak: round(rms * 2.8) };
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

function aborted(signal: AbortSignal): Promise<false> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(false);
    else signal.addEventListener("abort", () => resolve(false), { once: true });
  });
}
