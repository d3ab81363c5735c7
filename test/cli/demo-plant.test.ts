import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { driverModules } from "../../drivers/index.ts";
import { demoConfig, meterDevice, PRESS_DEVICE } from "../../gateway/cli/demo/plant.ts";
import { openPtyPair } from "../../gateway/cli/demo/pty-pair.ts";
import { startSimulator } from "../../gateway/cli/simulate.ts";
import { loadConfig } from "../../gateway/config/load.ts";
import type { Device, Driver, Tag } from "../../gateway/core/driver.ts";
import { silentLogger } from "../../gateway/core/log.ts";
import { noMetrics } from "../../gateway/core/metrics.ts";
import type { Sample } from "../../gateway/core/sample.ts";
import { SystemClock } from "../../gateway/system/clock.ts";

const cleanup: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const task of cleanup.splice(0).reverse()) await task();
});

/** Reads every scan group of a configuration once, as the gateway does; tags that are not good, with their reasons. */
async function readAll(text: string): Promise<{ good: string[]; bad: string[] }> {
  const folder = await mkdtemp(join(tmpdir(), "millrace-plant-"));
  cleanup.push(() => rm(folder, { recursive: true }));
  const file = join(folder, "millrace.yaml");
  await writeFile(file, text);
  const config = await loadConfig(file);
  const read: { name: string; sample: Sample }[] = [];
  for (const link of config.links) {
    const context = { link: link.name, clock: new SystemClock(), log: silentLogger, metrics: noMetrics };
    const driver = link.driver.create(link.options, context);
    cleanup.push(() => driver.close());
    await driver.connect(AbortSignal.timeout(10_000));
    for (const device of link.devices) {
      const samples = await readDevice(driver, device);
      read.push(...samples.map((sample) => ({ name: `${device.name}/${sample.tag}`, sample })));
    }
  }
  const isGood = ({ sample }: { sample: Sample }) => sample.quality === "good";
  return {
    good: read.filter(isGood).map(({ name }) => name),
    bad: read.filter((one) => !isGood(one)).map(({ name, sample }) => `${name}: ${sample.reason}`),
  };
}

async function readDevice(driver: Driver, device: Device): Promise<Sample[]> {
  const groups = new Map<string, Tag[]>();
  for (const tag of device.tags) {
    const key = `${tag.everyMs} ${tag.stream}`;
    groups.set(key, [...(groups.get(key) ?? []), tag]);
  }
  const requests = [...groups.values()].flatMap((tags) => driver.plan(device, tags, {}));
  const samples: Sample[] = [];
  for (const request of requests) samples.push(...(await driver.read(request, AbortSignal.timeout(10_000))));
  return samples;
}

describe("what a simulated device has", () => {
  it("is what the demo's configuration asks for", async () => {
    const pair = await openPtyPair();
    if (!pair) throw new Error("no pty pair");
    cleanup.push(pair.close);
    const plc = await startSimulator(PRESS_DEVICE, driverModules, silentLogger);
    cleanup.push(() => plc.stop());
    const meter = await startSimulator(meterDevice(pair.right), driverModules, silentLogger);
    cleanup.push(() => meter.stop());
    const port = Number(plc.address.split(":").at(-1));
    const ports = { plc: { host: "127.0.0.1", port }, broker: 1, upstream: 2, http: 3, meterPath: pair.left };
    const { good, bad } = await readAll(demoConfig(ports));
    expect(bad).toEqual([]);
    expect(good).toHaveLength(9);
  });

  it("is what the first example asks for", async () => {
    const folder = new URL("../../examples/", import.meta.url);
    const device = parse(await readFile(fileURLToPath(new URL("devices/press.yaml", folder)), "utf8"));
    const plc = await startSimulator({ ...device, transport: PRESS_DEVICE.transport }, driverModules, silentLogger);
    cleanup.push(() => plc.stop());
    const text = await readFile(fileURLToPath(new URL("quick-start.yaml", folder)), "utf8");
    const asked = text.replace(`port: ${device.transport.port}`, `port: ${plc.address.split(":").at(-1)}`);
    expect(asked).not.toBe(text);
    const { good, bad } = await readAll(asked);
    expect(bad).toEqual([]);
    expect(good.length).toBeGreaterThan(0);
  });
});
