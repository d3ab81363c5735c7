import { SerialPort } from "serialport";
import { SerialDriver } from "../../../drivers/serial/driver.ts";
import { serialModule } from "../../../drivers/serial/module.ts";
import { type FramingOptions, readLink } from "../../../drivers/serial/options.ts";
import type { Clock } from "../../../gateway/core/clock.ts";
import type { Device, DriverContext, Tag } from "../../../gateway/core/driver.ts";
import type { Logger } from "../../../gateway/core/log.ts";
import type { Metrics } from "../../../gateway/core/metrics.ts";
import type { StreamName } from "../../../gateway/core/record.ts";
import type { Sample } from "../../../gateway/core/sample.ts";

type Keys = Readonly<Record<string, unknown>>;

/** Framing as people write it, with its defaults. */
export function framingOf(framing: Keys): FramingOptions {
  return readLink(serialModule.linkSchema.parse({ transport: { path: "/dev/null" }, framing })).framing;
}

/** `options` are the device's own keys; each tag its own, and `stream` and `every` where they matter. */
export function deviceOf(name: string, options: Keys, tags: Readonly<Record<string, Keys>>): Device {
  return {
    name,
    link: "line",
    topic: `test/${name}`,
    options: serialModule.deviceSchema.parse(options),
    tags: Object.entries(tags).map(([tag, keys]) => tagOf(tag, keys)),
  };
}

export function tagOf(name: string, { stream, ...keys }: Keys): Tag {
  const options = serialModule.tagSchema.parse(keys);
  const into: StreamName = stream === "events" ? "events" : "telemetry";
  return { name, everyMs: 1000, stream: into, type: serialModule.typeOf(options), options };
}

export const clock: Clock = {
  bootId: "test",
  now: () => ({ wallMs: Date.now(), monoMs: performance.now(), clock: "synced" }),
};

/** What a driver counted and said. */
export class Notes {
  readonly counts = new Map<string, number>();
  readonly warnings: Record<string, unknown>[] = [];

  of(kind: string): number {
    return this.counts.get(kind) ?? 0;
  }
  get metrics(): Metrics {
    const inc = (labels?: Keys, by = 1) => {
      const kind = String(labels?.["kind"] ?? "bytes");
      this.counts.set(kind, this.of(kind) + by);
    };
    return { counter: () => ({ inc }), gauge: () => ({ set() {} }), histogram: () => ({ observe() {} }) };
  }
  get log(): Logger {
    const log: Logger = {
      debug() {},
      info() {},
      warn: (fields) => void this.warnings.push({ ...fields }),
      error: (fields, message) => void this.warnings.push({ ...fields, message }),
      child: () => log,
    };
    return log;
  }
}

export function driverOf(link: Keys, notes = new Notes()): SerialDriver {
  const context: DriverContext = { link: "line", clock, log: notes.log, metrics: notes.metrics };
  return new SerialDriver(readLink(serialModule.linkSchema.parse(link)), context);
}

/** The device's end of a serial line. */
export interface FarEnd {
  /** Resolves when it was taken over by the system. */
  say(bytes: Uint8Array | string): Promise<void>;
  /** All that came, as text. */
  heard(): string;
  /** Called with each piece that comes. */
  onData: (text: string) => void;
  close(): Promise<void>;
}

export async function farEnd(path: string): Promise<FarEnd> {
  const port = new SerialPort({ path, baudRate: 115_200, autoOpen: false });
  let all = "";
  const end: FarEnd = {
    say: (bytes) =>
      new Promise((resolve) => {
        port.write(Buffer.from(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes));
        port.drain(() => resolve());
      }),
    heard: () => all,
    onData: () => {},
    close: () => new Promise((resolve) => (port.isOpen ? port.close(() => resolve()) : resolve())),
  };
  port.on("error", () => {});
  port.on("data", (chunk: Buffer) => {
    all += chunk.toString("latin1");
    end.onData(chunk.toString("latin1"));
  });
  await new Promise<void>((resolve, reject) => port.open((error) => (error ? reject(error) : resolve())));
  return end;
}

/** Looks again and again, without waiting, until it is so. */
export async function until(isSo: () => boolean, deadlineMs = 5_000): Promise<void> {
  const endMs = performance.now() + deadlineMs;
  while (!isSo()) {
    if (performance.now() > endMs) throw new Error("it never came to that");
    await new Promise((resolve) => setImmediate(resolve));
  }
}

export function live(): AbortSignal {
  return new AbortController().signal;
}

/** Values by tag; a bad one is its reason in brackets. */
export function valuesOf(samples: readonly Sample[]): Record<string, unknown> {
  return Object.fromEntries(samples.map(({ tag, value, reason }) => [tag, value ?? `[${reason}]`]));
}

export async function readAll(driver: SerialDriver, device: Device, signal = live()): Promise<Record<string, unknown>> {
  const samples: Sample[] = [];
  for (const request of driver.plan(device, device.tags)) samples.push(...(await driver.read(request, signal)));
  return valuesOf(samples);
}
