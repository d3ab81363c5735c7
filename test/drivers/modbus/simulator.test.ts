import ModbusSerial from "modbus-serial";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { modbusModule } from "../../../drivers/modbus/module.ts";
import { waveAt } from "../../../drivers/modbus/simulator/waves.ts";
import type { Simulator } from "../../../gateway/core/driver.ts";
import { ConfigError } from "../../../gateway/core/errors.ts";
import { silentLogger } from "../../../gateway/core/log.ts";
import { deviceOf, driverOf, live, valuesOf } from "./bench.ts";
import { ptyPair } from "./pty.ts";

const TCP = { type: "tcp", port: 0 };
const constant = (value: number | string) => ({ wave: "constant", value });

const REGISTERS = [
  { address: "holding:0", type: "float32", order: "CDAB", value: constant(21.5) },
  { address: "holding:2", type: "uint16", count: 20, value: { wave: "random", min: 100, max: 200, period: "5ms" } },
  { address: "holding:40", type: "string(6)", order: "BA", value: constant("PRESS1") },
  { address: "holding:50.2", type: "bool", value: constant(1) },
  { address: "holding:50", type: "bits(8,4)", value: constant(9) },
  { address: "input:0", type: "int64", value: constant(-5) },
  { address: "coil:0", type: "bool", count: 20, value: constant(1) },
  { address: "discrete:7", type: "bool", value: constant(0) },
];

function start(options: unknown): Promise<Simulator> {
  const { simulator } = modbusModule;
  if (!simulator) throw new Error("modbus has a simulator");
  return simulator.start(options, silentLogger);
}

describe("simulator options", () => {
  it.each([
    ["no units", { transport: TCP, units: [] }, /units/],
    ["a type that does not exist", unit({ address: "holding:0", type: "int24" }), /type/],
    [
      "an address that does not fit",
      unit({ address: "coil:0", type: "int16" }),
      /units\[0\]\.registers\[0\]\.type.*one bit/,
    ],
    [
      "values beyond the last address",
      unit({ address: "holding:65530", type: "uint16", count: 9 }),
      /count.*ends at 65535/,
    ],
    [
      "a value that does not fit",
      unit({ address: "holding:0", type: "uint16", value: { max: 70_000 } }),
      /70000 does not fit/,
    ],
    [
      "a text that does not fit",
      unit({ address: "holding:0", type: "string(2)", value: constant("long") }),
      /longer than 2/,
    ],
    ["an unknown key", { ...unit({ address: "holding:0", type: "int16" }), unis: 1 }, /unis/],
    [
      "an unknown transport",
      { ...unit({ address: "holding:0", type: "int16" }), transport: { type: "rtu-over-udp" } },
      /rtu-over-tcp/,
    ],
  ])("refuse %s", async (_, options, message) => {
    await expect(start(options)).rejects.toBeInstanceOf(ConfigError);
    await expect(start(options)).rejects.toThrow(message);
  });

  it("are taken as they are written and as the schema gives them", async () => {
    const written = unit({ address: "holding:0", type: "int16", value: { period: "3s" } });
    for (const options of [written, modbusModule.simulator?.schema.parse(written)]) {
      const simulator = await start(options);
      expect(simulator.address).toMatch(/^127\.0\.0\.1:\d+$/);
      await simulator.stop();
      await simulator.stop();
    }
  });

  it("say when the port is taken", async () => {
    const first = await start(unit({ address: "holding:0", type: "int16" }));
    const port = Number(first.address.split(":")[1]);
    const second = { ...unit({ address: "holding:0", type: "int16" }), transport: { type: "tcp", port } };
    await expect(start(second)).rejects.toThrow(/EADDRINUSE/);
    await first.stop();
  });
});

describe("simulator answers our driver", () => {
  const tags = {
    temperature: { address: "holding:0", type: "float32", order: "CDAB" },
    name: { address: "holding:40", type: "string(6)", order: "BA" },
    bit: { address: "holding:50.2", type: "bool" },
    bits: { address: "holding:50", type: "bits(8,4)" },
    total: { address: "input:0", type: "int64" },
    on: { address: "coil:19", type: "bool" },
    off: { address: "discrete:7", type: "bool" },
    missing: { address: "input:900", type: "int16" },
  };
  const right = {
    temperature: 21.5,
    name: "PRESS1",
    bit: true,
    bits: 9,
    total: -5,
    on: true,
    off: false,
    missing: "[illegal data address]",
  };

  it("over tcp", async () => {
    const simulator = await start({ transport: TCP, units: [{ unit: 3, delay: "5ms", registers: REGISTERS }] });
    const port = Number(simulator.address.split(":")[1]);
    const driver = driverOf({ transport: { type: "tcp", host: "127.0.0.1", port } });
    await driver.connect(live());
    expect(await valuesOf(driver, deviceOf({ unit: 3, maxGap: 0 }, tags))).toEqual(right);
    await driver.close();
    await simulator.stop();
  });

  it("over a serial line", async () => {
    const line = await ptyPair();
    const serial = { type: "rtu", baud: 115_200, parity: "none" };
    const simulator = await start({
      transport: { ...serial, path: line.b },
      units: [{ unit: 3, registers: REGISTERS }],
    });
    expect(simulator.address).toBe(line.b);
    const driver = driverOf({ transport: { ...serial, path: line.a } });
    await driver.connect(live());
    expect(await valuesOf(driver, deviceOf({ unit: 3, maxGap: 0 }, tags))).toEqual(right);
    await driver.close();
    await simulator.stop();
    await line.stop();
  });

  it("with values that move", async () => {
    const simulator = await start({ transport: TCP, units: [{ unit: 3, registers: REGISTERS }] });
    const port = Number(simulator.address.split(":")[1]);
    const driver = driverOf({ transport: { type: "tcp", host: "127.0.0.1", port } });
    await driver.connect(live());
    const moving = Object.fromEntries(
      Array.from({ length: 20 }, (_, at) => [`r${at}`, { address: `holding:${at + 2}`, type: "uint16" }]),
    );
    const device = deviceOf({ unit: 3 }, moving);
    const seen = new Set<unknown>();
    while (seen.size < 30) for (const value of Object.values(await valuesOf(driver, device))) seen.add(value);
    for (const value of seen) expect(Number(value) >= 100 && Number(value) <= 200).toBe(true);
    await driver.close();
    await simulator.stop();
  });
});

describe("simulator answers modbus-serial's own client", () => {
  let simulator: Simulator;
  let client: InstanceType<typeof ModbusSerial.default>;

  beforeEach(async () => {
    simulator = await start({ transport: TCP, units: [{ unit: 1, registers: REGISTERS }] });
    client = new ModbusSerial.default();
    client.setTimeout(2000);
    await client.connectTCP("127.0.0.1", { port: Number(simulator.address.split(":")[1]) });
    client.setID(1);
  });
  afterEach(async () => {
    await new Promise<void>((resolve) => client.destroy(() => resolve()));
    await simulator.stop();
  });

  it("with functions 1 to 4", async () => {
    expect((await client.readCoils(0, 20)).data.slice(0, 20)).toEqual(Array.from({ length: 20 }, () => true));
    expect((await client.readDiscreteInputs(7, 1)).data[0]).toBe(false);
    expect((await client.readInputRegisters(0, 4)).data).toEqual([65_535, 65_535, 65_535, 65_531]);
    expect((await client.readHoldingRegisters(0, 2)).data).toEqual([0, 0x41ac]);
  });

  it("with functions 5, 6, 15 and 16, and keeps what was written", async () => {
    expect(await client.writeCoil(3, false)).toMatchObject({ address: 3, state: false });
    expect(await client.writeCoils(8, [false, true, false])).toMatchObject({ address: 8, length: 3 });
    const coils = (await client.readCoils(0, 11)).data.slice(0, 11);
    expect(coils).toEqual([true, true, true, false, true, true, true, true, false, true, false]);
    expect(await client.writeRegister(2, 4711)).toMatchObject({ address: 2, value: 4711 });
    expect(await client.writeRegisters(3, [1, 2, 65_535])).toMatchObject({ address: 3, length: 3 });
    expect((await client.readHoldingRegisters(2, 4)).data).toEqual([4711, 1, 2, 65_535]);
  });

  it.each<[string, (to: InstanceType<typeof ModbusSerial.default>) => Promise<unknown>, number]>([
    ["another function", (to) => to.customFunction(65, [1, 2]), 1],
    ["an address that is not there", (to) => to.readHoldingRegisters(22, 1), 2],
    ["a range that ends where nothing is", (to) => to.readHoldingRegisters(20, 3), 2],
    ["a write to what is not there", (to) => to.writeRegister(22, 1), 2],
    ["126 registers", (to) => to.readHoldingRegisters(0, 126), 3],
    ["no register", (to) => to.readHoldingRegisters(0, 0), 3],
    ["2001 coils", (to) => to.readCoils(0, 2001), 3],
    ["more than there are addresses", (to) => to.readHoldingRegisters(65_535, 2), 2],
  ])("refuses %s", async (_, ask, modbusCode) => {
    await expect(ask(client)).rejects.toMatchObject({ modbusCode });
  });
});

describe("waves", () => {
  const wave = { min: -10, max: 10, period: 1000 };

  it("stay within their range and move", () => {
    for (const name of ["sine", "ramp", "random", "toggle", "counter"] as const) {
      const seen = new Set<number>();
      for (let time = 0; time < 30_000; time += 137) {
        const value = waveAt({ ...wave, wave: name }, time, 5);
        expect(value >= -10 && value <= 10).toBe(true);
        seen.add(value);
      }
      expect(seen.size).toBeGreaterThan(1);
    }
  });

  it("depend on nothing but time and address", () => {
    for (const name of ["sine", "ramp", "random"] as const) {
      const at = (time: number, address: number) => waveAt({ ...wave, wave: name }, time, address);
      expect(at(123_456, 7)).toBe(at(123_456, 7));
      expect(at(123_456, 7)).not.toBe(at(123_456, 8));
    }
  });

  it("count one by one, round and round", () => {
    const values = Array.from({ length: 6 }, (_, step) =>
      waveAt({ wave: "counter", min: 1, max: 3, period: 10 }, step * 10, 0),
    );
    expect(values).toEqual([1, 2, 3, 1, 2, 3]);
  });
});

function unit(register: Readonly<Record<string, unknown>>) {
  return { transport: TCP, units: [{ unit: 1, registers: [register] }] };
}
