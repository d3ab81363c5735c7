import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { ModbusDriver } from "../../drivers/modbus/driver.ts";
import type { Value } from "../../gateway/core/sample.ts";
import { deviceOf, driverOf, live, readAll, type TagTexts } from "../drivers/modbus/bench.ts";
import { freePort, needProgram, Process, ptyPair, root, scratch } from "../support/processes.ts";

/** All types, orders and functions, on every transport, against pymodbus; Python's struct says what is right. */

const UNIT = 17;
const script = join(root, "test/interop/peers/modbus-server.py");
const python = needProgram("python3", "python3-pymodbus");
const folder = scratch("pymodbus");
const NET = ["tcp", "udp", "rtu-over-tcp", "ascii-over-tcp"];

interface Peer {
  readonly tags: readonly {
    readonly at: number;
    readonly type: string;
    readonly order: string;
    readonly value: unknown;
  }[];
  readonly registers: number;
  readonly bits: readonly boolean[];
}

let line: Awaited<ReturnType<typeof ptyPair>>;
beforeAll(async () => {
  try {
    execFileSync(python, ["-c", "import pymodbus, serial, serial_asyncio"], { stdio: "pipe" });
  } catch (error) {
    const packages = "python3-pymodbus python3-serial python3-serial-asyncio";
    throw new Error(`this suite needs pymodbus: apt-get install ${packages}`, { cause: error });
  }
  line = await ptyPair(folder.path);
});
afterAll(async () => {
  await line.stop();
  folder.remove();
});

async function open(kind: string): Promise<{ process: Process; peer: Peer; driver: ModbusDriver }> {
  const port = await freePort();
  const process = new Process(
    python,
    [script, kind, ...(NET.includes(kind) ? ["127.0.0.1", String(port)] : [line.b])],
    {
      stdin: true,
    },
  );
  const peer: Peer = JSON.parse(await process.line(/^\{"tags"/));
  const transport = NET.includes(kind)
    ? { type: kind, host: "127.0.0.1", port }
    : { type: kind, path: line.a, baud: 115_200, parity: "none", dataBits: 8, stopBits: 1 };
  const driver = driverOf({ transport, timeout: "2s" });
  await vi.waitFor(
    async () => {
      await driver.connect(live());
      await driver.probe(deviceOf({ unit: UNIT }, { a: { address: "holding:0", type: "uint16" } }), live());
    },
    { timeout: 20_000, interval: 200 },
  );
  return { process, peer, driver };
}

const orderOf = (order: string) => ({ order });

function deviceFor(peer: Peer, area: "holding" | "input") {
  const tags: Record<string, Record<string, unknown>> = {};
  for (const [index, { at, type, order }] of peer.tags.entries()) {
    tags[`t${index}`] = {
      address: `${area}:${at}`,
      type,
      ...orderOf(order),
      ...(area === "holding" && { writable: true }),
    };
  }
  return deviceOf({ unit: UNIT }, tags);
}

function bitsFor(peer: Peer, area: "coil" | "discrete") {
  const tags: TagTexts = Object.fromEntries(
    peer.bits.map((_, at) => [
      `b${at}`,
      { address: `${area}:${at}`, type: "bool", ...(area === "coil" && { writable: true }) },
    ]),
  );
  return deviceOf({ unit: UNIT }, tags);
}

const plain = (value: unknown) => (typeof value === "string" || typeof value === "boolean" ? value : String(value));

/** Another value of the same type than the one that is there. */
function another(type: string, value: unknown): Value {
  if (type.startsWith("string")) return `${String(value)[0]}new`;
  if (type.startsWith("float")) return Number(value) + 0.5;
  if (type.startsWith("bcd")) return (Number(value) + 1) % 1000;
  const wide = BigInt(String(value));
  const next = wide > 0n ? wide - 1n : wide + 1n;
  return Number.isSafeInteger(Number(next)) ? Number(next) : next;
}

describe("pymodbus as server", () => {
  it.each([...NET, "rtu", "ascii"])("%s: every type and order, every function, read and written", async (kind) => {
    const { process, peer, driver } = await open(kind);
    try {
      for (const area of ["holding", "input"] as const) {
        const samples = await readAll(driver, deviceFor(peer, area));
        expect(samples.map(({ value }) => plain(value))).toEqual(peer.tags.map(({ value }) => plain(value)));
      }
      for (const area of ["coil", "discrete"] as const) {
        const samples = await readAll(driver, bitsFor(peer, area));
        expect(samples.map(({ value }) => value)).toEqual(peer.bits);
      }
      const beyond = deviceOf({ unit: UNIT }, { a: { address: `holding:${peer.registers}`, type: "uint16" } });
      expect(await readAll(driver, beyond)).toMatchObject([{ quality: "bad", reason: "illegal data address" }]);

      const device = deviceFor(peer, "holding");
      const values = peer.tags.map(({ type, value }) => another(type, value));
      // One at a time, and then as many at once as a command takes.
      for (const step of [1, device.tags.length]) {
        for (let from = 0; from < device.tags.length; from += step) {
          const writes = device.tags
            .slice(from, from + step)
            .map((tag, index) => ({ tag, value: values[from + index] ?? 0 }));
          for (const result of await driver.write(device, writes, live())) expect(result).toMatchObject({ ok: true });
        }
        expect((await dump(process)).values.map(plain)).toEqual(values.map(plain));
        values.splice(0, values.length, ...peer.tags.map(({ type }, index) => another(type, values[index])));
      }

      const coils = bitsFor(peer, "coil");
      const inverse = coils.tags.map((tag, at) => ({ tag, value: !peer.bits[at] }));
      for (const result of await driver.write(coils, inverse, live())) expect(result).toMatchObject({ ok: true });
      expect((await dump(process)).coils).toEqual(peer.bits.map((bit) => !bit));

      const bit = deviceOf({ unit: UNIT }, { a: { address: "holding:0.5", type: "bool", writable: true } });
      const [tag] = bit.tags;
      if (!tag) throw new Error("there is a tag");
      for (const value of [true, false]) {
        expect(await driver.write(bit, [{ tag, value }], live())).toMatchObject([{ ok: true, after: value }]);
      }
    } finally {
      await driver.close();
      await process.stop("SIGKILL");
    }
  });
});

async function dump(process: Process): Promise<{ values: unknown[]; coils: boolean[] }> {
  const seen = process.lines.length;
  process.tell("dump");
  return await vi.waitFor(
    () => JSON.parse(process.lines.slice(seen).find((each) => each.startsWith('{"values"')) ?? ""),
    {
      timeout: 5000,
    },
  );
}
