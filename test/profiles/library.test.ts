import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { ReadRequest } from "../../drivers/modbus/plan/request.ts";
import { RegisterMap } from "../../drivers/modbus/simulator/registers.ts";
import { SimulatedUnit } from "../../drivers/modbus/simulator/server.ts";
import { SimulatedTcpServer } from "../../drivers/modbus/simulator/tcp-server.ts";
import { mbapWire } from "../../drivers/modbus/simulator/wires.ts";
import { listProfiles, shelvesOf } from "../../gateway/config/profiles/library.ts";
import { readProfile } from "../../gateway/config/profiles/profile-file.ts";
import type { LoadedConfig } from "../../gateway/config/types.ts";
import type { Sample } from "../../gateway/core/sample.ts";
import { loadText } from "../config/support.ts";
import { driverOf, live } from "../drivers/modbus/bench.ts";
import { CASES, type Case } from "./cases.ts";

/** Parameters that have no default. */
const NEEDED: Readonly<Record<string, string>> = { "sunspec/mppt-160": "mppt: 40122" };
const LIBRARY = await listProfiles(await shelvesOf(join(import.meta.dirname, "nowhere")));
const NAMES = LIBRARY.map(({ name }) => name);

function load(profile: string | readonly string[], parameters: string): Promise<LoadedConfig> {
  return loadText(`gateway: { id: gw }
links:
  - name: line
    driver: modbus
    transport: { type: tcp, host: 127.0.0.1 }
    devices:
      - { name: device, unit: 1, profile: ${JSON.stringify(profile)}, parameters: { ${parameters} } }
`);
}

describe("the library", () => {
  it("has at least 20 real devices, SunSpec among them, each with a case", () => {
    expect(NAMES.length).toBeGreaterThanOrEqual(20);
    for (const model of ["common", "inverter-103", "mppt-160", "meter-201", "meter-202", "meter-203", "meter-204"]) {
      expect(NAMES).toContain(`sunspec/${model}`);
    }
    expect(NAMES.filter((name) => !CASES.some(({ profile }) => profile === name))).toEqual([]);
  });

  it.each(NAMES)("%s says what it is and where its addresses come from, and is planned", async (name) => {
    const found = LIBRARY.find((profile) => profile.name === name);
    if (!found) throw new Error("not found");
    const profile = await readProfile(found, name);
    expect([profile.vendor, profile.model, profile.description]).not.toContain(undefined);
    // At least one that was read itself.
    expect(profile.sources.filter(({ url, via }) => url !== undefined && via === undefined).length).toBeGreaterThan(0);
    const config = await load(name, NEEDED[name] ?? "");
    const groups = config.links[0]?.groups ?? [];
    const read = groups.flatMap(({ requests }) => requests.flatMap(({ tags }) => tags.map((tag) => tag.name)));
    expect(read.sort()).toEqual((config.links[0]?.devices[0]?.tags ?? []).map((tag) => tag.name).sort());
    for (const { requests } of groups)
      for (const { addresses = 0 } of requests) expect(addresses).toBeLessThanOrEqual(125);
  });
});

describe("values of the library, through the driver", () => {
  it.each(CASES.map((each) => [String(each.profile), each] as const))("%s", async (_name, given) => {
    const config = await load(given.profile, parametersOf(given));
    const groups = config.links[0]?.groups ?? [];
    const words = new RegisterMap();
    // What the case does not name holds 0.
    for (const request of groups.flatMap(({ requests }) => requests)) {
      if (!(request instanceof ReadRequest)) throw new Error("another driver");
      words.set(request.frame.area, request.question.address, Array(request.question.count).fill(0));
    }
    for (const [area, address, content] of given.words) words.set(area, address, content);
    const simulator = new SimulatedTcpServer("127.0.0.1", 0, [new SimulatedUnit(1, words, 0)], mbapWire);
    await simulator.start();
    onTestFinished(() => simulator.stop());
    const driver = driverOf({ transport: { type: "tcp", host: "127.0.0.1", port: simulator.address.port } });
    onTestFinished(() => driver.close());
    await driver.connect(live());
    const samples: Sample[] = [];
    for (const { device, tags } of groups) {
      for (const request of driver.plan(device, tags, {})) samples.push(...(await driver.read(request, live())));
    }
    const values = Object.fromEntries(samples.map(({ tag, value, reason }) => [tag, value ?? `[${reason}]`]));
    expect(Object.fromEntries(Object.keys(given.values).map((tag) => [tag, values[tag]]))).toEqual(given.values);
  });
});

function parametersOf({ parameters = {} }: Case): string {
  return Object.entries(parameters)
    .map(([name, value]) => `${name}: ${JSON.stringify(value)}`)
    .join(", ");
}
