import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { driverModules } from "../../drivers/index.ts";
import { openPtyPair } from "../../gateway/cli/demo/pty-pair.ts";
import { runSimulate } from "../../gateway/cli/simulate.ts";
import { testIo } from "./io.ts";

const require = createRequire(import.meta.url);
const deps = { drivers: driverModules };
const example = (name: string) => fileURLToPath(new URL(`../../examples/devices/${name}.yaml`, import.meta.url));
let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "millrace-simulate-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function file(text: string): Promise<string> {
  const path = join(folder, "device.yaml");
  await writeFile(path, text);
  return path;
}

/** Starts the command and gives its address once it answers. */
async function started(args: string[]) {
  const io = testIo();
  const done = runSimulate([...args, "--json"], io, deps);
  await vi.waitFor(() => expect(io.stdout()).not.toBe(""), 5_000);
  return { io, done, address: String(JSON.parse(io.stdout()).address) };
}

describe("millrace simulate", () => {
  it("answers Modbus TCP with values that move, until it is stopped", async () => {
    const { io, done, address } = await started([example("press"), "--port", "0"]);
    expect(address).toMatch(/^127\.0\.0\.1:\d+$/);
    const port = Number(address.split(":")[1]);
    const ModbusRTU = require("modbus-serial");
    const client = new ModbusRTU();
    client.on("error", () => {});
    await client.connectTCP("127.0.0.1", { port });
    client.setID(1);
    client.setTimeout(2_000);
    const first = (await client.readHoldingRegisters(0, 2)).buffer.readFloatBE(0);
    expect(first).toBeGreaterThanOrEqual(42);
    expect(first).toBeLessThanOrEqual(58);
    await vi.waitFor(async () => {
      expect((await client.readHoldingRegisters(0, 2)).buffer.readFloatBE(0)).not.toBe(first);
    }, 5_000);
    expect((await client.readDiscreteInputs(0, 1)).data[0]).toBe(true);
    client.close(() => {});
    io.abort();
    expect(await done).toBe(0);
    const gone = connect(port, "127.0.0.1");
    await expect(once(gone, "connect")).rejects.toThrow("ECONNREFUSED");
  });

  it("answers Modbus RTU on a serial line", async () => {
    const pair = await openPtyPair();
    if (!pair) throw new Error("no pty pair");
    const { io, done, address } = await started([example("meter"), "--path", pair.right]);
    expect(address).toContain(pair.right);
    const ModbusRTU = require("modbus-serial");
    const client = new ModbusRTU();
    client.on("error", () => {});
    await client.connectRTUBuffered(pair.left, { baudRate: 19_200, parity: "even" });
    client.setID(7);
    client.setTimeout(2_000);
    const voltage = (await client.readInputRegisters(0, 2)).buffer.readFloatBE(0);
    expect(voltage).toBeGreaterThanOrEqual(228);
    expect(voltage).toBeLessThanOrEqual(232);
    await new Promise<void>((resolve) => client.close(() => resolve()));
    io.abort();
    expect(await done).toBe(0);
    await pair.close();
  });

  it.each([
    ["driver: nosuch\n", 78, 'driver "nosuch" has no simulator; there is one for: modbus'],
    ["transport: { type: tcp, host: 127.0.0.1, port: 0 }\nunits: []\n", 78, "units:"],
    ["units: [1]\n", 78, "transport"],
    ["- 1\n", 78, "a mapping"],
    ["a: [\n", 78, "device.yaml"],
  ])("%j is exit %d with the place", async (text, code, message) => {
    const io = testIo();
    expect(await runSimulate([await file(text)], io, deps)).toBe(code);
    expect(io.stderr()).toContain(message);
  });

  it("answers as a device of a profile", async () => {
    const { io, done, address } = await started(["--profile", "eastron/sdm630", "--unit", "7", "--port", "0"]);
    const ModbusRTU = require("modbus-serial");
    const client = new ModbusRTU();
    client.on("error", () => {});
    await client.connectTCP("127.0.0.1", { port: Number(address.split(":")[1]) });
    client.setID(7);
    client.setTimeout(2_000);
    const voltage = (await client.readInputRegisters(0, 2)).buffer.readFloatBE(0);
    expect(voltage).toBeGreaterThanOrEqual(226);
    expect(voltage).toBeLessThanOrEqual(234);
    await new Promise<void>((resolve) => client.close(() => resolve()));
    io.abort();
    expect(await done).toBe(0);
  });

  it("answers as a device of a profile on a serial line", async () => {
    const pair = await openPtyPair();
    if (!pair) throw new Error("no pty pair");
    const { io, done } = await started(["--profile", "eastron/sdm120", "--unit", "7", "--path", pair.right]);
    const ModbusRTU = require("modbus-serial");
    const client = new ModbusRTU();
    client.on("error", () => {});
    await client.connectRTUBuffered(pair.left, { baudRate: 19_200, parity: "even" });
    client.setID(7);
    client.setTimeout(2_000);
    const voltage = (await client.readInputRegisters(0, 2)).buffer.readFloatBE(0);
    expect(voltage).toBeGreaterThanOrEqual(226);
    expect(voltage).toBeLessThanOrEqual(234);
    await new Promise<void>((resolve) => client.close(() => resolve()));
    io.abort();
    expect(await done).toBe(0);
    await pair.close();
  });

  it.each([
    [["--profile", "no/such"], 78, 'there is no profile "no/such"; see: millrace profile list'],
    [["--profile", "sunspec/mppt-160"], 78, 'missing parameter "mppt"'],
    [["--profile", "eastron/sdm630", "--set", "x=1"], 64, "--set x: the profile has no parameters"],
    [["--profile", "eastron/sdm630", "--set", "x"], 64, "NAME=VALUE"],
    [["--profile", "eastron/sdm630", "--unit", "900"], 64, '--unit needs a number from 0 to 255, not "900"'],
    [["--profile", "eastron/sdm630", "x.yaml"], 64, "--profile takes the place of the file"],
    [["--unit", "7", "x.yaml"], 64, "--unit needs --profile"],
  ])("%j is exit %d and says why", async (args, code, message) => {
    const io = testIo();
    expect(await runSimulate(args, io, deps)).toBe(code);
    expect(io.stderr()).toContain(message);
  });

  it("says that there is no such file, and what it needs", async () => {
    const io = testIo();
    expect(await runSimulate([join(folder, "none.yaml")], io, deps)).toBe(66);
    expect(await runSimulate([], io, deps)).toBe(64);
    expect(await runSimulate([example("press"), "--port", "x"], io, deps)).toBe(64);
    expect(await runSimulate([example("press"), "--path", "/dev/x"], io, deps)).toBe(64);
    expect(await runSimulate(["--help"], io, deps)).toBe(0);
    expect(io.stdout()).toContain("Example: millrace simulate");
  });
});
