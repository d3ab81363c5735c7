import { describe, expect, it, onTestFinished } from "vitest";
import { modbusModule } from "../../../drivers/modbus/module.ts";
import { RegisterMap } from "../../../drivers/modbus/simulator/registers.ts";
import { SimulatedUnit } from "../../../drivers/modbus/simulator/server.ts";
import { SimulatedTcpServer } from "../../../drivers/modbus/simulator/tcp-server.ts";
import { mbapWire } from "../../../drivers/modbus/simulator/wires.ts";
import { deviceOf, driverOf, live, type TagTexts, valuesOf } from "./bench.ts";

/** What a unit with these registers from 0 on gives for the tags. */
async function valuesFrom(words: readonly number[], tags: TagTexts): Promise<Record<string, unknown>> {
  const map = new RegisterMap();
  map.set("holding", 0, words);
  const server = new SimulatedTcpServer("127.0.0.1", 0, [new SimulatedUnit(1, map, 0)], mbapWire);
  await server.start();
  onTestFinished(() => server.stop());
  const driver = driverOf({ transport: { type: "tcp", host: "127.0.0.1", port: server.address.port } });
  onTestFinished(() => driver.close());
  await driver.connect(live());
  return await valuesOf(driver, deviceOf({ unit: 1 }, tags));
}

function faultsOf(tags: TagTexts, device: Readonly<Record<string, unknown>> = {}): string[] {
  const link = {
    ...modbusModule.linkSchema.parse({ transport: { type: "tcp", host: "192.0.2.1" } }),
    devices: [
      {
        ...modbusModule.deviceSchema.parse({ unit: 1, ...device }),
        tags: Object.entries(tags).map(([name, tag]) => ({ name, ...modbusModule.tagSchema.parse(tag) })),
      },
    ],
  };
  return modbusModule.check(link).map(({ path, message }) => `${path.slice(3).join(".")}: ${message}`);
}

describe("scaleFactor", () => {
  it("is the power of ten of another register, exact in decimals, by address or by tag", async () => {
    const tags: TagTexts = {
      a: { address: "holding:0", type: "uint16", scaleFactor: "holding:3" },
      b: { address: "holding:1", type: "int32", scaleFactor: "sf" },
      c: { address: "holding:0", type: "uint16", scaleFactor: 40_005, scale: 0.3, offset: 1 },
      sf: { address: "holding:3", type: "int16" },
    };
    expect(await valuesFrom([2301, 0xffff, 0xfff9, 0xffff, 2], tags)).toEqual({ a: 230.1, b: -0.7, c: 69_031, sf: -1 });
  });

  it.each<[factor: number, value: unknown]>([
    [0, 7],
    [10, 70_000_000_000],
    [0xfff6, 7e-10],
    [0x8000, "[scale factor not implemented]"],
    [11, "[scale factor 11 out of range]"],
    [0xfff5, "[scale factor -11 out of range]"],
  ])("of %s gives %s", async (factor, value) => {
    const tags: TagTexts = { a: { address: "holding:0", type: "uint16", scaleFactor: "holding:1" } };
    expect(await valuesFrom([7, factor], tags)).toEqual({ a: value });
  });

  it("comes in the same answer as its value, however far away it stands", () => {
    const device = deviceOf(
      { unit: 1, maxGap: 0 },
      {
        a: { address: "holding:10", type: "uint16", scaleFactor: "holding:60" },
        b: { address: "holding:55", type: "uint16" },
        c: { address: "holding:80", type: "uint16", scaleFactor: "holding:70" },
      },
    );
    const driver = driverOf({ transport: { type: "tcp", host: "192.0.2.1" } });
    const requests = driver.plan(device, device.tags, {});
    expect(requests.map(({ label }) => label)).toEqual([
      "holding 10..60 (51 registers)",
      "holding 70..80 (11 registers)",
    ]);
    expect(requests.map(({ tags }) => tags.map(({ name }) => name))).toEqual([["a", "b"], ["c"]]);
  });

  it("is refused where it cannot be", () => {
    const value = { address: "holding:0", type: "uint16" };
    expect(faultsOf({ a: { ...value, scaleFactor: "holding:124" } })).toEqual([]);
    expect(faultsOf({ a: { ...value, scaleFactor: "holding:60" } }, { maxRegisters: 60 })).toEqual([
      "0.scaleFactor: uint16 and its scale factor are 61 registers apart, but maxRegisters of the device is 60",
    ]);
    expect(faultsOf({ a: { ...value, scaleFactor: "b" } })).toEqual([
      '0.scaleFactor: "b" is neither a tag of this device nor an address such as "holding:40"',
    ]);
    expect(faultsOf({ a: { ...value, scaleFactor: "b" }, b: value })).toEqual([
      '0.scaleFactor: a scale factor is an int16; tag "b" is uint16',
    ]);
    expect(faultsOf({ a: { ...value, scaleFactor: "input:3" } })).toEqual([
      "0.scaleFactor: the scale factor must be a register of the same area: holding:…",
    ]);
    expect(faultsOf({ a: { ...value, scaleFactor: "holding:3", writable: true } })).toEqual([
      "0.writable: what a value with scaleFactor would be in registers is known to the device alone: remove writable",
    ]);
    expect(faultsOf({ a: { address: "holding:0", type: "string(4)", scaleFactor: "holding:3" } })).toEqual([
      "0.scaleFactor: a string has no scale factor: remove it",
    ]);
  });
});

describe("notImplemented", () => {
  it.each<[type: string, words: number[]]>([
    ["int16", [0x8000]],
    ["uint16", [0xffff]],
    ["int32", [0x8000, 0]],
    ["uint32", [0xffff, 0xffff]],
    ["int64", [0x8000, 0, 0, 0]],
    ["uint64", [0xffff, 0xffff, 0xffff, 0xffff]],
    ["float32", [0x7fc0, 0]],
    ["string(4)", [0, 0]],
  ])("%s", async (type, words) => {
    const tag = { address: "holding:0", type };
    const absent = { tag: { ...tag, notImplemented: true } };
    expect(await valuesFrom(words, absent)).toEqual({ tag: "[not implemented]" });
    // One less is a value, and without the key all are as they were.
    if (type.startsWith("float") || type.startsWith("string")) return;
    const plain = await valuesFrom(words, { tag });
    expect(typeof plain["tag"]).toMatch(/^(number|bigint)$/);
    const near = await valuesFrom([...words.slice(0, -1), (words.at(-1) ?? 0) ^ 1], absent);
    expect(typeof near["tag"]).toMatch(/^(number|bigint)$/);
  });

  it("goes with scale and offset, and can be switched off beside a scale factor", async () => {
    const tags: TagTexts = {
      a: { address: "holding:0", type: "uint16", scale: 0.1, offset: 5, notImplemented: true },
      b: { address: "holding:1", type: "uint16", scaleFactor: "holding:2", notImplemented: false },
    };
    expect(await valuesFrom([100, 0xffff, 0xffff], tags)).toEqual({ a: 15, b: 6553.5 });
  });
});
