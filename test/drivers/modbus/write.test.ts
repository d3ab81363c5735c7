import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ModbusDriver } from "../../../drivers/modbus/driver.ts";
import { modbusModule } from "../../../drivers/modbus/module.ts";
import { SimulatedUnit } from "../../../drivers/modbus/simulator/server.ts";
import { SimulatedTcpServer } from "../../../drivers/modbus/simulator/tcp-server.ts";
import { rtuWire, type ServerWire } from "../../../drivers/modbus/simulator/wires.ts";
import { TimeoutError, type WriteResult } from "../../../gateway/core/driver.ts";
import { NotConnectedError } from "../../../gateway/core/errors.ts";
import type { Value } from "../../../gateway/core/sample.ts";
import { deviceOf, driverOf, FrameCounts, live } from "./bench.ts";

const DEVICE = deviceOf(
  { unit: 1 },
  {
    coil: { address: "coil:3", type: "bool", writable: true },
    coil2: { address: "coil:4", type: "bool", writable: true },
    coil3: { address: "coil:5", type: "bool", writable: true },
    word: { address: "holding:10", type: "uint16", writable: { min: 5, max: 300 } },
    next: { address: "holding:11", type: "int16", writable: true },
    float: { address: "holding:12", type: "float32", order: "CDAB", writable: true },
    scaled: { address: "holding:20", type: "int16", scale: 0.1, offset: -40, writable: true },
    wide: { address: "holding:30", type: "uint64", order: "GHEFCDAB", writable: true },
    text: { address: "holding:40", type: "string(6)", writable: true },
    bcd: { address: "holding:50", type: "bcd32", writable: true },
    half: { address: "holding:52", type: "float16", writable: true },
    bit: { address: "holding:60.3", type: "bool", writable: true },
    bits: { address: "holding:60", type: "bits(8,4)", writable: true },
    swapped: { address: "holding:61", type: "bits(0,4)", order: "BA", writable: true },
    self: { address: "holding:70", type: "uint16", writable: { verify: false } },
    hole: { address: "holding:500", type: "uint16", writable: true },
    locked: { address: "holding:10", type: "uint16" },
  },
);

let unit: SimulatedUnit;
let server: SimulatedTcpServer;
let driver: ModbusDriver;
let counts: FrameCounts;
/** Function codes as they were asked. */
let asked: number[];

async function open(wire?: ServerWire): Promise<void> {
  unit = new SimulatedUnit(1);
  unit.registers.set("holding", 0, new Array<number>(100).fill(0));
  unit.registers.set("coil", 0, new Array<number>(20).fill(0));
  server = new SimulatedTcpServer("127.0.0.1", 0, [unit], wire);
  await server.start();
  asked = [];
  server.tamper = ({ functionCode }) => {
    asked.push(functionCode);
    return undefined;
  };
  counts = new FrameCounts();
  const type = wire ? "rtu-over-tcp" : "tcp";
  const transport = { type, host: "127.0.0.1", port: server.address.port };
  driver = driverOf({ transport, timeout: "300ms" }, counts);
  await driver.connect(live());
}
beforeEach(() => open());
afterEach(async () => {
  await driver.close();
  await server.stop();
});

function write(values: Readonly<Record<string, Value>>): Promise<WriteResult[]> {
  const writes = Object.entries(values).map(([name, value]) => {
    const tag = DEVICE.tags.find((each) => each.name === name);
    if (!tag) throw new Error(`no tag ${name}`);
    return { tag, value };
  });
  return driver.write(DEVICE, writes, live());
}
const holding = (at: number, count = 1) => unit.registers.read("holding", at, count, 0);

/** The unit does not know this function. */
function refuse(...codes: number[]): void {
  server.tamper = ({ functionCode, answer }) => {
    asked.push(functionCode);
    if (!codes.includes(functionCode)) return undefined;
    const refusal = Buffer.from(answer.subarray(0, 9));
    refusal.writeUInt16BE(3, 4);
    refusal[7] = functionCode | 0x80;
    refusal[8] = 1;
    return { chunks: [refusal] };
  };
}

describe("writes", () => {
  it.each<[string, Value, Value, number[]]>([
    ["coil", true, true, [1, 5, 1]],
    ["coil", 1, true, [1, 5, 1]],
    ["word", 42, 42, [3, 6, 3]],
    ["next", -5, -5, [3, 6, 3]],
    ["float", 21.4, 21.4, [3, 16, 3]],
    ["scaled", 21.4, 21.4, [3, 6, 3]],
    ["scaled", 21.44, 21.4, [3, 6, 3]],
    ["wide", 2n ** 63n + 5n, 2n ** 63n + 5n, [3, 16, 3]],
    ["text", "Hällo", "Hällo", [3, 16, 3]],
    ["bcd", 123_456, 123_456, [3, 16, 3]],
    ["half", -1.5, -1.5, [3, 6, 3]],
    ["bit", true, true, [3, 22, 3]],
    ["bits", 9, 9, [3, 22, 3]],
    ["swapped", 9, 9, [3, 22, 3]],
    ["self", 7, 7, [3, 6]],
  ])("%s: %s", async (tag, value, after, codes) => {
    const [result] = await write({ [tag]: value });
    expect(result).toMatchObject({ tag, ok: true });
    expect(result).toHaveProperty("before");
    if (tag !== "self") expect(result?.after).toBe(after);
    expect(asked).toEqual(codes);
  });

  it("puts the bytes where a read finds them", async () => {
    await write({ float: 1, wide: 0x0102030405060708n });
    expect(holding(12, 2)).toEqual([0x0000, 0x3f80]);
    expect(holding(30, 4)).toEqual([0x0708, 0x0506, 0x0304, 0x0102]);
  });

  it("joins neighbours into one command and keeps the order of all others", async () => {
    const done = await write({ coil: true, coil2: false, coil3: true, word: 7, next: 8, float: 9 });
    expect(done.map(({ ok }) => ok)).toEqual([true, true, true, true, true, true]);
    expect(asked).toEqual([1, 15, 1, 3, 16, 3]);
    expect(holding(10, 4)).toEqual([7, 8, 0, 0x4110]);
    expect(unit.registers.read("coil", 3, 3, 0)).toEqual([1, 0, 1]);
    asked.length = 0;
    await write({ next: 1, word: 6 });
    expect(asked).toEqual([3, 6, 3, 3, 6, 3]);
  });

  it("changes bits and leaves the others, by function 22 or without it", async () => {
    unit.registers.set("holding", 60, [0xa5a5]);
    expect((await write({ bit: true, bits: 0 })).map(({ ok, before, after }) => [ok, before, after])).toEqual([
      [true, false, true],
      [true, 5, 0],
    ]);
    expect(holding(60)).toEqual([0xa0ad]);
    expect(asked).toEqual([3, 22, 3]);
    refuse(22);
    await write({ bit: false });
    await write({ bits: 15 });
    expect(holding(60)).toEqual([0xafa5]);
    // It is asked once only whether it knows function 22.
    expect(asked.slice(3)).toEqual([3, 22, 6, 3, 3, 6, 3]);
  });

  it("lets nothing in between reading and writing a register for one of its bits", async () => {
    await driver.close();
    const transport = { type: "tcp", host: "127.0.0.1", port: server.address.port };
    driver = driverOf({ transport, inFlight: 8 });
    await driver.connect(live());
    refuse(22);
    const all = Promise.all([write({ bit: true }), write({ bits: 3 }), write({ bit: true }), write({ bits: 12 })]);
    await all;
    expect(holding(60)).toEqual([0x0c08]);
  });

  it("uses the other function where the unit knows only one", async () => {
    refuse(6, 5);
    expect(await write({ word: 9, coil: true })).toMatchObject([{ ok: true }, { ok: true }]);
    expect(asked).toEqual([3, 6, 16, 3, 1, 5, 15, 1]);
    refuse(16, 15);
    asked.length = 0;
    expect(await write({ word: 10, next: 11, coil: false, coil2: true })).toMatchObject(
      new Array(4).fill({ ok: true }),
    );
    expect(holding(10, 2)).toEqual([10, 11]);
    // A value is never split: there is no way then.
    expect(await write({ float: 1 })).toMatchObject([{ ok: false, reason: "illegal function" }]);
  });

  it.each<[string, Value, string]>([
    ["word", 301, "301 is above the greatest, 300"],
    ["word", 4, "4 is below the least, 5"],
    ["word", 7.5, "a whole number is needed, not 7.5"],
    ["word", "7", "a number is needed, not 7"],
    ["next", 40_000, "40000 does not fit"],
    ["half", 70_000, "70000 does not fit float16"],
    ["float", Number.NaN, "NaN is not a number"],
    ["coil", "false", "true or false is needed, not false"],
    ["coil", 2, "true or false is needed, not 2"],
    ["bits", 16, "16 does not fit"],
    ["bcd", -1, "-1 does not fit"],
    ["text", "too long", '"too long" is longer than 6 bytes'],
    ["locked", 1, "the tag is not writable"],
  ])("refuses %s: %s before anything is on the wire", async (tag, value, reason) => {
    expect(await write({ [tag]: value })).toEqual([{ tag, ok: false, reason }]);
    expect(asked).toEqual([]);
  });

  it("says what the unit says", async () => {
    expect(await write({ hole: 1 })).toEqual([{ tag: "hole", ok: false, reason: "illegal data address" }]);
  });

  it("finds a value that did not stay", async () => {
    server.tamper = ({ functionCode }) => {
      if (functionCode === 6) unit.registers.set("holding", 10, [99]);
      return undefined;
    };
    const expected = { tag: "word", ok: false, reason: "read back as another value", before: 0, after: 99 };
    expect(await write({ word: 42 })).toEqual([expected]);
  });

  it("reads back what an answer that was lost did not say", async () => {
    server.tamper = ({ functionCode }) => (functionCode === 6 ? { chunks: [] } : undefined);
    expect(await write({ word: 42 })).toMatchObject([{ ok: true, after: 42 }]);
    unit.silent = true;
    await expect(write({ word: 43 })).rejects.toBeInstanceOf(TimeoutError);
    unit.silent = false;
    server.tamper = ({ functionCode }) => {
      if (functionCode !== 6) return undefined;
      unit.silent = true;
      return { chunks: [] };
    };
    const [first, second] = await write({ word: 44, coil: true });
    expect(first).toMatchObject({ ok: false, reason: "no answer: it may have been written", before: 42 });
    expect(second).toMatchObject({ ok: false, reason: expect.stringContaining("not written: unit 1 did not answer") });
  });

  it("says what was not written when the connection is lost", async () => {
    await driver.close();
    await expect(write({ word: 42 })).rejects.toBeInstanceOf(NotConnectedError);
    await driver.connect(live());
    server.tamper = ({ functionCode }) => {
      if (functionCode === 3) server.dropConnections();
      return undefined;
    };
    await expect(write({ word: 42 })).rejects.toBeInstanceOf(NotConnectedError);
    await driver.connect(live());
    server.tamper = ({ functionCode }) => {
      if (functionCode === 6) server.dropConnections();
      return undefined;
    };
    const results = await write({ word: 43, coil: true });
    expect(results.map(({ ok }) => ok)).toEqual([false, false]);
  });

  it("does not take the echo of a command for its answer on a line that hears itself", async () => {
    await driver.close();
    await server.stop();
    await open(rtuWire);
    server.tamper = ({ question, answer }) => ({ chunks: [question, answer] });
    expect(await write({ word: 42 })).toMatchObject([{ ok: true, after: 42 }]);
    expect(counts.of("echo")).toBe(3);
    let turn = 0;
    server.tamper = ({ question, answer }) => ({ chunks: turn++ === 1 ? [question] : [question, answer] });
    const [result] = await write({ self: 1 });
    // The unit wrote it, and its answer was lost: that it is there shows only when it is read back.
    expect(result).toMatchObject({ ok: true, after: 1 });
    expect(counts.of("echo")).toBe(6);
  });

  it("checks what may be written", () => {
    const tag = (options: object) => ({
      transport: { type: "tcp", host: "h", port: 502, ignoreTransactionId: false },
      ...{ timeout: 1, connectTimeout: 1, pauseAfterConnect: 0, guard: 0, inFlight: 1 },
      devices: [{ unit: 1, maxRegisters: 125, maxCoils: 1, maxGap: 0, maxCoilGap: 0, tags: [options] }],
    });
    const faults = (options: object) => modbusModule.check(tag(options)).map(({ message }) => message);
    expect(faults({ address: "input:0", type: "int16", writable: true })[0]).toContain("input cannot be written");
    expect(faults({ address: "holding:0", type: "string(248)", writable: true })[0]).toContain("needs 124");
    expect(faults({ address: "coil:0", type: "bool", writable: { min: 0, verify: true } })[0]).toContain(
      "no min and max",
    );
    expect(faults({ address: "holding:0", type: "int16", writable: true })).toEqual([]);
  });
});
