import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { driverModules } from "../../drivers/index.ts";
import { registersOf } from "../../drivers/modbus/simulator/from-tags.ts";
import { deviceOfProfile } from "../../gateway/cli/simulate/profile.ts";
import { startSimulator } from "../../gateway/cli/simulate.ts";
import { listProfiles, shelvesOf } from "../../gateway/config/profiles/library.ts";
import { silentLogger } from "../../gateway/core/log.ts";
import { readOnce } from "../../gateway/core/read-once.ts";
import { loadText } from "../config/support.ts";
import { driverOf, live } from "../drivers/modbus/bench.ts";

/** Parameters that have no default. */
const NEEDED: Readonly<Record<string, { readonly set: string; readonly yaml: string }>> = {
  "sunspec/mppt-160": { set: "mppt=40122", yaml: "mppt: 40122" },
};
const FOLDER = join(import.meta.dirname, "nowhere");
const NAMES = (await listProfiles(await shelvesOf(FOLDER))).map(({ name }) => name);
/** Least and greatest of what such a thing shows, with what rounding adds. */
const BOUNDS: Readonly<Record<string, readonly [number, number]>> = {
  V: [225, 235],
  Hz: [49.9, 50.1],
  "°C": [17, 63],
  kW: [0, 4],
};

describe("a device simulated by its profile", () => {
  it.each(NAMES)("%s answers for every tag, with values that such a device has", async (profile) => {
    const needed = NEEDED[profile];
    const given = { profile, unit: "3", port: "0", set: needed ? [needed.set] : [] };
    const simulator = await startSimulator(
      await deviceOfProfile(given, FOLDER, driverModules),
      driverModules,
      silentLogger,
    );
    onTestFinished(() => simulator.stop());
    const config = await loadText(`gateway: { id: gw }
links:
  - name: line
    driver: modbus
    transport: { type: tcp, host: 127.0.0.1 }
    devices:
      - { name: device, unit: 3, profile: ${profile}, parameters: { ${needed?.yaml ?? ""} } }
`);
    const device = config.links[0]?.devices[0];
    if (!device) throw new Error("no device");
    const port = Number(simulator.address.split(":")[1]);
    const driver = driverOf({ transport: { type: "tcp", host: "127.0.0.1", port } });
    onTestFinished(() => driver.close());
    await driver.connect(live());
    const samples = await readOnce(device.tags, {
      plan: (tags) => driver.plan(device, tags, {}),
      read: (request) => driver.read(request, live()),
      monoMs: () => 0,
    });
    expect(samples.map(({ tag }) => tag)).toEqual(device.tags.map(({ name }) => name));
    expect(samples.filter(({ quality }) => quality !== "good")).toEqual([]);
    const outside = samples.filter(({ tag, value }) => {
      const bounds = BOUNDS[device.tags.find(({ name }) => name === tag)?.unit ?? ""];
      return bounds && (Number(value) < bounds[0] || Number(value) > bounds[1]);
    });
    expect(outside).toEqual([]);
  });

  it("gives a register that two tags name to the whole one, and bits beside each other", () => {
    const bit = (at: number) => ({ name: `bit${at}`, address: `holding:3.${at}`, type: "bool" });
    const word = { name: "word", address: "holding:0", type: "uint16", unit: "V" };
    const double = { name: "double", address: "holding:0", type: "uint32" };
    expect(registersOf([bit(0), bit(1), word, double]).map(({ address }) => address)).toEqual([
      "holding:0",
      "holding:3.0",
      "holding:3.1",
    ]);
  });

  it("names a tag that cannot be", () => {
    expect(() => registersOf([{ name: "power", address: "holding:x", type: "int16" }])).toThrow("power: ");
    expect(() => registersOf([{ name: "power", address: "holding:0" }])).toThrow("power: ");
  });
});
