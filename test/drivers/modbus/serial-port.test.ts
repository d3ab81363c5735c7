import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { SimulatedRtuServer } from "../../../drivers/modbus/simulator/rtu-server.ts";
import { SimulatedUnit } from "../../../drivers/modbus/simulator/server.ts";
import { NotConnectedError } from "../../../gateway/core/errors.ts";
import { holderOf } from "../../../gateway/host/file-holder.ts";
import { deviceOf, driverOf, live, readAll, valuesOf } from "./bench.ts";
import { ptyPair } from "./pty.ts";

const SERIAL = { type: "rtu", baud: 115_200, parity: "none" } as const;
const DEVICE = deviceOf({ unit: 1 }, { a: { address: "holding:7", type: "uint16" } });

const undo: (() => unknown)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

async function adapter(value: number) {
  const pair = await ptyPair();
  undo.push(() => pair.stop());
  const unit = new SimulatedUnit(1);
  unit.registers.set("holding", 7, [value]);
  const server = new SimulatedRtuServer({ ...SERIAL, path: pair.b, dataBits: 8 }, [unit]);
  await server.start();
  undo.push(() => server.stop());
  return { pair, unit };
}

function byId(): string {
  const folder = mkdtempSync(join(tmpdir(), "millrace-by-id-"));
  undo.push(() => rmSync(folder, { recursive: true }));
  return join(folder, "usb-adapter");
}

describe("a serial port", () => {
  it("that another program has is an error which names it", async () => {
    const { pair } = await adapter(1);
    const script = '$| = 1; open(my $port, "+<", $ARGV[0]); flock($port, 6); print "ready\\n"; sleep 60';
    const other = spawn("perl", ["-e", script, pair.a], { stdio: ["ignore", "pipe", "inherit"] });
    undo.push(async () => {
      other.kill("SIGKILL");
      await once(other, "exit");
    });
    await once(other.stdout, "data");
    const driver = driverOf({ transport: { ...SERIAL, path: pair.a } });
    undo.push(() => driver.close());
    const expected = `${pair.a} is in use by perl (pid ${other.pid}): stop it, or use another port`;
    await expect(driver.connect(live())).rejects.toThrow(expected);
    await expect(driver.connect(live())).rejects.toBeInstanceOf(NotConnectedError);
  });

  it("that nobody else has has no holder", async () => {
    expect(await holderOf("/dev/null-not-there")).toBeUndefined();
    const path = byId();
    writeFileSync(path, "");
    expect(await holderOf(path)).toBeUndefined();
  });

  it("that was unplugged without a word is noticed by the next answer that is missing", async () => {
    const path = byId();
    const first = await adapter(1);
    symlinkSync(first.pair.a, path);
    const driver = driverOf({ transport: { ...SERIAL, path }, timeout: "50ms" });
    undo.push(() => driver.close());
    await driver.connect(live());
    expect(await valuesOf(driver, DEVICE)).toEqual({ a: 1 });
    // The name is gone, and the adapter is silent; its end of the line never says that it closed.
    first.unit.silent = true;
    unlinkSync(path);
    await expect(readAll(driver, DEVICE)).rejects.toThrow("did not answer");
    await vi.waitFor(() => expect(readAll(driver, DEVICE)).rejects.toThrow(`${path} was unplugged`));
    await expect(driver.connect(live())).rejects.toBeInstanceOf(NotConnectedError);
    // Back under the same name, as another device.
    const second = await adapter(2);
    symlinkSync(second.pair.a, path);
    await driver.connect(live());
    expect(await valuesOf(driver, DEVICE)).toEqual({ a: 2 });
  });
});

describe("pauses", () => {
  it("keeps the guard between an answer and the next question, and waits after it connected", async () => {
    const { pair, unit } = await adapter(1);
    const transport = { ...SERIAL, path: pair.a };
    const driver = driverOf({ transport, guard: "30ms", pauseAfterConnect: "40ms" });
    undo.push(() => driver.close());
    const startMs = performance.now();
    await driver.connect(live());
    const connectedMs = performance.now() - startMs;
    for (let round = 0; round < 4; round++) expect(await valuesOf(driver, DEVICE)).toEqual({ a: 1 });
    const readMs = performance.now() - startMs - connectedMs;
    expect(connectedMs).toBeGreaterThanOrEqual(39);
    expect(readMs).toBeGreaterThanOrEqual(3 * 29);
    expect(unit.asked).toBe(4);
  });

  it("ends the pause after connecting when it is closed", async () => {
    const { pair } = await adapter(1);
    const driver = driverOf({ transport: { ...SERIAL, path: pair.a }, pauseAfterConnect: "1h" });
    const connecting = expect(driver.connect(live())).rejects.toBeInstanceOf(NotConnectedError);
    await vi.waitFor(async () => {
      const second = driverOf({ transport: { ...SERIAL, path: pair.a } });
      await expect(second.connect(live())).rejects.toBeInstanceOf(NotConnectedError);
    });
    await driver.close();
    await connecting;
  });
});
