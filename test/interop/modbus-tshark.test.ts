import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, describe, expect, it } from "vitest";
import { SimulatedUnit } from "../../drivers/modbus/simulator/server.ts";
import { SimulatedTcpServer } from "../../drivers/modbus/simulator/tcp-server.ts";
import { SimulatedUdpServer } from "../../drivers/modbus/simulator/udp-server.ts";
import { rtuWire } from "../../drivers/modbus/simulator/wires.ts";
import { deviceOf, driverOf, live, readAll } from "../drivers/modbus/bench.ts";
import { needProgram, Process, scratch } from "../support/processes.ts";

/** What tshark makes of a session between our driver and our simulator. Capturing needs the right to, as root has it. */

const tshark = needProgram("tshark", "tshark");
const folder = scratch("tshark");
afterAll(() => folder.remove());

const HOST = "127.0.0.1";
const WIRES = {
  tcp: { server: (units: SimulatedUnit[]) => new SimulatedTcpServer(HOST, 0, units), layer: "tcp", as: "mbtcp" },
  udp: { server: (units: SimulatedUnit[]) => new SimulatedUdpServer(HOST, 0, units), layer: "udp", as: "mbudp" },
  "rtu-over-tcp": {
    server: (units: SimulatedUnit[]) => new SimulatedTcpServer(HOST, 0, units, rtuWire),
    layer: "tcp",
    as: "mbrtu",
  },
} as const;

const word = (at: number) => ({ address: `holding:${at}`, type: "uint16", writable: true });

describe("a captured session", () => {
  it.each(Object.entries(WIRES))("over %s decodes as Modbus without a malformed frame", async (type, wire) => {
    const unit = new SimulatedUnit(1);
    unit.registers.set("holding", 0, new Array<number>(300).fill(7));
    unit.registers.set("coil", 0, new Array<number>(50).fill(1));
    const server = wire.server([unit]);
    await server.start();
    const { port } = server.address;
    const file = join(folder.path, `${type}.pcapng`);
    const capture = new Process(tshark, ["-i", "lo", "-f", `${wire.layer} port ${port}`, "-w", file]);
    await capture.line(/Capturing on/, 20_000);
    // It says so before the first packet would be seen.
    await pause(500);

    const device = deviceOf(
      { unit: 1 },
      {
        ...Object.fromEntries([0, 1, 2, 50, 51, 299].map((at) => [`w${at}`, word(at)])),
        hole: { address: "holding:5000", type: "uint16" },
        coil: { address: "coil:3", type: "bool", writable: true },
        next: { address: "coil:4", type: "bool", writable: true },
        bit: { address: "holding:9.3", type: "bool", writable: true },
      },
    );
    const driver = driverOf({ transport: { type, host: HOST, port }, timeout: "2s" });
    await driver.connect(live());
    for (let round = 0; round < 20; round++) await readAll(driver, device);
    const writes = device.tags
      .filter(({ name }) => name !== "hole")
      .map((tag) => ({ tag, value: tag.type === "bool" ? false : 9 }));
    for (const result of await driver.write(device, writes, live())) expect(result.ok).toBe(true);
    await driver.close();
    await pause(500);
    await capture.stop("SIGINT");
    await server.stop();

    const decoded = (filter: string, ...fields: string[]) => {
      const shown = fields.flatMap((field) => ["-e", field]);
      const args = ["-r", file, "-d", `${wire.layer}.port==${port},${wire.as}`, "-Y", filter, "-T", "fields", ...shown];
      return execFileSync(tshark, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] })
        .split("\n")
        .filter((line) => line !== "");
    };
    expect(decoded("_ws.malformed", "frame.number")).toEqual([]);
    const codes = decoded("modbus", "modbus.func_code");
    // Each question and each answer.
    expect(codes).toHaveLength(2 * unit.asked);
    expect(new Set(codes)).toEqual(new Set(["1", "3", "6", "15", "16", "22"]));
    // The hole is asked for until it is learnt.
    expect(new Set(decoded("modbus.exception_code", "modbus.exception_code"))).toEqual(new Set(["2"]));
    if (wire.as === "mbrtu") expect(decoded("mbrtu.crc16.status == 0", "frame.number")).toEqual([]);
    process.stdout.write(`${type}: ${codes.length} Modbus frames, none malformed\n`);
  });
});
