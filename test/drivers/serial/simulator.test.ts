import { readFileSync } from "node:fs";
import { afterEach, expect, it } from "vitest";
import { parse } from "yaml";
import { driverModules } from "../../../drivers/index.ts";
import { startSimulator } from "../../../gateway/cli/simulate.ts";
import { loadConfig } from "../../../gateway/config/load.ts";
import { silentLogger } from "../../../gateway/core/log.ts";
import { ptyPair } from "../modbus/pty.ts";
import { deviceOf, driverOf, live, readAll, until, valuesOf } from "./bench.ts";

const EXAMPLES = new URL("../../../examples/", import.meta.url);
const cleanup: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const step of cleanup.splice(0).reverse()) await step();
});

/** A simulated device of the examples, on another transport. */
async function simulate(name: string, transport: object, more: object = {}) {
  const device = parse(readFileSync(new URL(`devices/${name}.yaml`, EXAMPLES), "utf8"));
  const simulator = await startSimulator({ ...device, ...more, transport }, driverModules, silentLogger);
  cleanup.push(() => simulator.stop());
  return { transport: { type: "tcp", host: "127.0.0.1", port: Number(simulator.address.split(":")[1]) } };
}

/** The first device of an example configuration, and its driver on another transport. */
async function example(name: string, link: number, transport: object) {
  const { links } = await loadConfig(`${name}.yaml`, { cwd: new URL(EXAMPLES).pathname });
  const loaded = links[link];
  const device = loaded?.devices[0];
  const text = parse(readFileSync(new URL(`${name}.yaml`, EXAMPLES), "utf8"));
  if (!device) throw new Error("an example has devices");
  const driver = driverOf({ transport, framing: text.links[link].framing });
  cleanup.push(() => driver.close());
  await driver.connect(live());
  return { driver, device };
}

it("the scale of the examples weighs for the gateway of the examples", async () => {
  const line = await ptyPair();
  cleanup.push(() => line.stop());
  await simulate("scale", { path: line.b });
  const { driver, device } = await example("scale", 0, { path: line.a });
  const values = await readAll(driver, device);
  expect(values).toEqual({ weight: expect.any(Number), stable: true, status: "S" });
  expect(values["weight"]).toBeGreaterThanOrEqual(0);
  expect(values["weight"]).toBeLessThanOrEqual(30);
});

it("the scanner of the examples scans for the gateway of the examples", async () => {
  const telegrams = [{ every: "20ms", say: "]C100{sscc}\r\n" }];
  const { transport } = await simulate("scanner", { type: "tcp", port: 0 }, { telegrams });
  const { driver, device } = await example("barcode-scanner", 1, transport);
  const seen: unknown[] = [];
  const ending = new AbortController();
  const listening = driver.listen(device, device.tags, (samples) => void seen.push(valuesOf(samples)), ending.signal);
  await until(() => seen.length >= 3);
  ending.abort();
  await listening;
  expect(seen).toContainEqual({ symbology: "]C1", sscc: "340123450000000025" });
});

it("the RFID reader's telegrams with BCC are what the example expects", async () => {
  const telegrams = [{ ask: "?", say: "\x02010068D2A1\x03", checksum: { type: "xor" }, skip: 1 }];
  const { transport } = await simulate("scanner", { type: "tcp", port: 0 }, { telegrams });
  const { driver, device } = await example("rfid-reader", 0, transport);
  const asked = deviceOf(
    "reader",
    { ask: "?", parse: { columns: { customer: "1-2", id: "3-10" } } },
    {
      id: { type: "int64", radix: 16 },
      customer: { type: "string" },
    },
  );
  expect(device.tags.map(({ name }) => name)).toEqual(asked.tags.map(({ name }) => name));
  expect(await readAll(driver, asked)).toEqual({ id: 0x0068d2a1, customer: "01" });
});

it("names the key that is wrong", async () => {
  await expect(
    simulate("scanner", { type: "tcp", port: 0 }, { telegrams: [{ say: "x", evry: "1s" }] }),
  ).rejects.toThrow("telegrams.0");
});
