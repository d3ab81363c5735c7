import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ModbusDriver } from "../../drivers/modbus/driver.ts";
import { SimulatedRtuServer } from "../../drivers/modbus/simulator/rtu-server.ts";
import { SimulatedUnit } from "../../drivers/modbus/simulator/server.ts";
import { SimulatedTcpServer } from "../../drivers/modbus/simulator/tcp-server.ts";
import { deviceOf, driverOf, live, valuesOf } from "../drivers/modbus/bench.ts";
import { buildModbusServer, freePort, needProgram, Process, ptyPair, scratch } from "../support/processes.ts";

/** Our driver against libmodbus, and our simulator against mbpoll, over TCP and over a line of pseudo-terminals. */

const REGISTERS = 1000;
const UNIT = 17;
const SERIAL = { type: "rtu", baud: 115_200, parity: "none", stopBits: 1 } as const;
const folder = scratch("modbus-peers");
const run = promisify(execFile);

let program: string;
let line: Awaited<ReturnType<typeof ptyPair>>;

beforeAll(async () => {
  program = buildModbusServer(folder.path);
  line = await ptyPair(folder.path);
});
afterAll(async () => {
  await line.stop();
  folder.remove();
});

const device = deviceOf(
  { unit: UNIT },
  Object.fromEntries(
    Array.from({ length: REGISTERS }, (_, at) => [`r${at}`, { address: `holding:${at}`, type: "uint16" }]),
  ),
);

/** All registers of one answer are of one tick, and no answer is of an earlier tick than the one before. */
async function expectTicks(driver: ModbusDriver, rounds: number): Promise<Set<number>> {
  const ticks = new Set<number>();
  const requests = driver.plan(device, device.tags, {});
  expect(requests).toHaveLength(REGISTERS / 125);
  let last = 0;
  for (let round = 0; round < rounds; round++) {
    for (const request of requests) {
      const samples = await driver.read(request, live());
      const { address } = request.question;
      const found = samples.map(({ value }, index) => tickOf(Number(value), address + index));
      expect(new Set(found).size).toBe(1);
      const [tick = -1] = found;
      expect(tick).toBeGreaterThanOrEqual(last);
      last = tick;
      ticks.add(tick);
    }
  }
  return ticks;
}

/** Register a at tick t is (t × 31 + a × 17) mod 65536; 31 × 31711 is 1 mod 65536. */
function tickOf(value: number, address: number): number {
  return (((value - address * 17) & 0xffff) * 31_711) % 65_536;
}

describe("libmodbus as server", () => {
  it("over tcp", async () => {
    const port = await freePort();
    const args = ["tcp", String(port), String(UNIT), String(REGISTERS), "20", `${folder.path}/tcp.log`];
    const server = new Process(program, args);
    await server.line(/ready/, 5000);
    const driver = driverOf({ transport: { type: "tcp", host: "127.0.0.1", port } });
    await driver.connect(live());
    expect((await expectTicks(driver, 200)).size).toBeGreaterThan(3);
    const beyond = deviceOf({ unit: UNIT }, { a: { address: "holding:1000", type: "uint16" } });
    expect(await valuesOf(driver, beyond)).toEqual({ a: "[illegal data address]" });
    await driver.close();
    await server.stop();
  });

  it("over a serial line", async () => {
    const args = ["rtu", line.b, String(UNIT), String(REGISTERS), "20", `${folder.path}/rtu.log`];
    const server = new Process(program, args);
    await server.line(/ready/, 5000);
    const driver = driverOf({ transport: { ...SERIAL, path: line.a } });
    await driver.connect(live());
    expect((await expectTicks(driver, 40)).size).toBeGreaterThan(3);
    const beyond = deviceOf({ unit: UNIT }, { a: { address: "holding:1000", type: "uint16" } });
    expect(await valuesOf(driver, beyond)).toEqual({ a: "[illegal data address]" });
    await driver.close();
    await server.stop();
  });
});

describe("mbpoll as client", () => {
  const mbpoll = needProgram("mbpoll", "mbpoll");
  const right = Array.from({ length: 100 }, (_, at) => [at, at * 257]);

  function unit(): SimulatedUnit {
    const simulated = new SimulatedUnit(UNIT);
    simulated.registers.set(
      "holding",
      0,
      right.map(([, word]) => word ?? 0),
    );
    simulated.registers.set("coil", 0, [1, 0, 1, 1]);
    return simulated;
  }

  async function poll(where: readonly string[], what: readonly string[]): Promise<(number | undefined)[][]> {
    const { stdout } = await run(mbpoll, ["-a", String(UNIT), "-0", "-1", "-q", ...what, ...where]);
    return [...stdout.matchAll(/^\[(\d+)\]:\s+(\d+)/gm)].map((row) => [Number(row[1]), Number(row[2])]);
  }

  async function expectRight(where: readonly string[], simulated: SimulatedUnit): Promise<void> {
    expect(await poll(where, ["-t", "4", "-r", "0", "-c", "100"])).toEqual(right);
    expect(await poll(where, ["-t", "0", "-r", "0", "-c", "4"])).toEqual([
      [0, 1],
      [1, 0],
      [2, 1],
      [3, 1],
    ]);
    await expect(poll(where, ["-t", "4", "-r", "99", "-c", "2"])).rejects.toThrow(/Illegal data address/);
    await run(mbpoll, ["-a", String(UNIT), "-0", "-t", "4", "-r", "5", ...where, "4711", "4712"]);
    expect(simulated.registers.read("holding", 5, 2, 0)).toEqual([4711, 4712]);
  }

  it("over tcp", async () => {
    const simulated = unit();
    const server = new SimulatedTcpServer("127.0.0.1", 0, [simulated]);
    await server.start();
    await expectRight(["-p", String(server.address.port), "127.0.0.1"], simulated);
    await server.stop();
  });

  it("over a serial line", async () => {
    const simulated = unit();
    const server = new SimulatedRtuServer({ ...SERIAL, path: line.b, dataBits: 8 }, [simulated]);
    await server.start();
    await expectRight(["-m", "rtu", "-b", "115200", "-P", "none", line.a], simulated);
    await server.stop();
  });
});
