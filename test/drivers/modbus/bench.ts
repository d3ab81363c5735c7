import { ModbusDriver } from "../../../drivers/modbus/driver.ts";
import { modbusModule } from "../../../drivers/modbus/module.ts";
import { readLink } from "../../../drivers/modbus/options.ts";
import type { Device, DriverContext, Tag } from "../../../gateway/core/driver.ts";
import { silentLogger } from "../../../gateway/core/log.ts";
import type { Metrics } from "../../../gateway/core/metrics.ts";
import type { Sample } from "../../../gateway/core/sample.ts";

/** Tags as people write them: name to the driver's own keys. */
export type TagTexts = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

export function deviceOf(options: Readonly<Record<string, unknown>>, tags: TagTexts): Device {
  return {
    name: `unit-${options["unit"]}`,
    link: "link",
    topic: `test/unit-${options["unit"]}`,
    options: modbusModule.deviceSchema.parse(options),
    tags: Object.entries(tags).map(([name, tag]) => tagOf(name, tag)),
  };
}

export function tagOf(name: string, options: Readonly<Record<string, unknown>>): Tag {
  const parsed = modbusModule.tagSchema.parse(options);
  return { name, everyMs: 1000, stream: "telemetry", type: modbusModule.typeOf(parsed), options: parsed };
}

/** Counts what became of frames, by kind. */
export class FrameCounts {
  readonly byKind = new Map<string, number>();

  get metrics(): Metrics {
    return {
      counter: () => ({
        inc: (labels) => {
          const kind = labels?.["kind"] ?? "";
          this.byKind.set(kind, this.of(kind) + 1);
        },
      }),
      gauge: () => ({ set() {} }),
      histogram: () => ({ observe() {} }),
    };
  }
  of(kind: string): number {
    return this.byKind.get(kind) ?? 0;
  }
}

export function driverOf(link: Readonly<Record<string, unknown>>, counts = new FrameCounts()): ModbusDriver {
  const clock = {
    bootId: "test",
    now: () => ({ wallMs: Date.now(), monoMs: performance.now(), clock: "synced" as const }),
  };
  const context: DriverContext = { link: "link", clock, log: silentLogger, metrics: counts.metrics };
  return new ModbusDriver(readLink(modbusModule.linkSchema.parse(link)), context);
}

export async function readAll(driver: ModbusDriver, device: Device, signal = live()): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (const request of driver.plan(device, device.tags, {})) samples.push(...(await driver.read(request, signal)));
  return samples;
}

/** Values by tag; a bad one is its reason in brackets. */
export async function valuesOf(driver: ModbusDriver, device: Device): Promise<Record<string, unknown>> {
  const samples = await readAll(driver, device);
  return Object.fromEntries(samples.map(({ tag, value, reason }) => [tag, value ?? `[${reason}]`]));
}

export function live(): AbortSignal {
  return new AbortController().signal;
}
