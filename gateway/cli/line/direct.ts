import type { Clock } from "../../core/clock.ts";
import { type Device, type DriverModule, type TagWrite, TimeoutError, type WriteResult } from "../../core/driver.ts";
import { resolveErrand } from "../../core/errand.ts";
import { NotConnectedError, RejectedError } from "../../core/errors.ts";
import { silentLogger } from "../../core/log.ts";
import { noMetrics } from "../../core/metrics.ts";
import { readOnce } from "../../core/read-once.ts";
import type { Sample } from "../../core/sample.ts";
import { type LineAccess, unanswered } from "./access.ts";

/** A link as a configuration has it, or as somebody named it on the command line. */
export interface LineLink {
  readonly name: string;
  readonly driver: DriverModule;
  /** The driver's own link options, parsed. */
  readonly options: unknown;
  readonly devices: readonly Device[];
}

/** What scale, texts and limits of the configuration make of a device's values, both ways. */
export interface LineShaper {
  up(samples: readonly Sample[]): readonly Sample[];
  down(writes: readonly TagWrite[]): {
    readonly writes: readonly TagWrite[];
    readonly results: (done: readonly WriteResult[]) => WriteResult[];
  };
}

export interface DirectParts {
  readonly clock: Clock;
  readonly shaperOf: (device: Device) => LineShaper | undefined;
}

const CONNECT_MS = 10_000;

/** Connects. @throws NotConnectedError naming who has the port; ConfigError. */
export async function openDirect(
  link: LineLink,
  { clock, shaperOf }: DirectParts,
  signal: AbortSignal,
): Promise<LineAccess> {
  const context = { link: link.name, clock, log: silentLogger, metrics: noMetrics };
  const driver = link.driver.create(link.options, context);
  try {
    await driver.connect(AbortSignal.any([signal, AbortSignal.timeout(CONNECT_MS)]));
  } catch (error) {
    await driver.close();
    if (error instanceof DOMException && error.name === "TimeoutError") {
      throw new NotConnectedError(`no connection within ${CONNECT_MS / 1000} s`);
    }
    throw error;
  }
  return {
    via: "direct",
    async read(ask, bound) {
      const { device, tags } = resolveErrand({ device: ask.device, tags: [...ask.tags] }, link);
      try {
        const samples = await readOnce(tags, {
          plan: (some) => driver.plan(device, some, {}),
          read: (request) => driver.read(request, bound),
          monoMs: () => clock.now().monoMs,
        });
        return shaperOf(device)?.up(samples) ?? samples;
      } catch (error) {
        if (error instanceof TimeoutError) return unanswered(tags, error.message);
        throw error;
      }
    },
    async write(device, writes, bound) {
      if (!driver.write) throw new RejectedError(`the ${link.driver.name} driver cannot write`);
      try {
        const down = shaperOf(device)?.down(writes);
        if (!down) return await driver.write(device, writes, bound);
        // What the device cannot take is not sent; the rest is.
        return down.results(down.writes.length === 0 ? [] : await driver.write(device, down.writes, bound));
      } catch (error) {
        // A driver throws this only before it wrote anything; later it is in the results.
        if (error instanceof TimeoutError) throw new NotConnectedError(`${error.message}: nothing was written`);
        throw error;
      }
    },
    close: () => driver.close(),
  };
}
