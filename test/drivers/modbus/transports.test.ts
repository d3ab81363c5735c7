import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { ModbusDriver } from "../../../drivers/modbus/driver.ts";
import { SimulatedRtuServer } from "../../../drivers/modbus/simulator/rtu-server.ts";
import { type ModbusServer, SimulatedUnit } from "../../../drivers/modbus/simulator/server.ts";
import { SimulatedTcpServer } from "../../../drivers/modbus/simulator/tcp-server.ts";
import { SimulatedUdpServer } from "../../../drivers/modbus/simulator/udp-server.ts";
import { asciiWire, mbapWire, rtuWire } from "../../../drivers/modbus/simulator/wires.ts";
import { TimeoutError } from "../../../gateway/core/driver.ts";
import { NotConnectedError } from "../../../gateway/core/errors.ts";
import { driverContract } from "../../contract/driver.ts";
import { deviceOf, driverOf, FrameCounts, live, readAll, valuesOf } from "./bench.ts";
import { type PtyPair, ptyPair } from "./pty.ts";

type Transport = Readonly<Record<string, unknown>>;
interface FarSide {
  readonly server: ModbusServer & { stop(): Promise<void>; dropConnections?(): void };
  readonly transport: Transport;
  /** The same with nobody there. */
  readonly nowhere: Transport;
}

let line: PtyPair;
beforeAll(async () => {
  line = await ptyPair();
});
afterAll(() => line.stop());

const HOST = "127.0.0.1";
const SERIAL = { baud: 115_200, parity: "none" } as const;

async function behindTcp(transport: Transport, wire: typeof mbapWire, units: readonly SimulatedUnit[]) {
  const server = new SimulatedTcpServer(HOST, 0, units, wire);
  await server.start();
  const spare = new SimulatedTcpServer(HOST, 0, []);
  await spare.start();
  const nowhere = { ...transport, host: HOST, port: spare.address.port };
  await spare.stop();
  return { server, transport: { ...transport, host: HOST, port: server.address.port }, nowhere };
}

const FAR_SIDES: Readonly<Record<string, (units: readonly SimulatedUnit[]) => Promise<FarSide>>> = {
  "tcp without ids": (units) => behindTcp({ type: "tcp", ignoreTransactionId: true }, mbapWire, units),
  "rtu-over-tcp": (units) => behindTcp({ type: "rtu-over-tcp" }, rtuWire, units),
  "ascii-over-tcp": (units) => behindTcp({ type: "ascii-over-tcp" }, asciiWire, units),
  async udp(units) {
    const server = new SimulatedUdpServer(HOST, 0, units);
    await server.start();
    const transport = { type: "udp", host: HOST, port: server.address.port };
    return { server, transport, nowhere: { type: "udp", host: "no-such-host.invalid", port: 502 } };
  },
  async "udp without ids"(units) {
    const { server, transport, nowhere } = await udp(units);
    const ignoreTransactionId = true;
    return { server, transport: { ...transport, ignoreTransactionId }, nowhere: { ...nowhere, ignoreTransactionId } };
  },
  async ascii(units) {
    const transport = { type: "ascii", ...SERIAL, dataBits: 8 } as const;
    const server = new SimulatedRtuServer({ ...transport, path: line.b }, units);
    await server.start();
    return {
      server,
      transport: { ...transport, path: line.a },
      nowhere: { ...transport, path: `${line.a}-not-there` },
    };
  },
};
const udp = FAR_SIDES["udp"] ?? (() => Promise.reject(new Error("no udp")));

const word = (at: number) => ({ address: `holding:${at}`, type: "uint16" });
const A = deviceOf({ unit: 1 }, { a: word(100), b: word(101), c: word(102) });
const B = deviceOf({ unit: 1 }, { a: word(200), b: word(201), c: word(202) });
const RIGHT = new Map([
  [A, { a: 100, b: 101, c: 102 }],
  [B, { a: 200, b: 201, c: 202 }],
]);

/** Unit 1 has registers that hold their own address; unit 2 is silent. */
function units(): SimulatedUnit[] {
  const silent = new SimulatedUnit(2);
  silent.silent = true;
  const unit = new SimulatedUnit(1);
  unit.registers.set(
    "holding",
    0,
    Array.from({ length: 400 }, (_, at) => at),
  );
  return [unit, silent];
}

describe.each(Object.entries(FAR_SIDES))("modbus over %s", (name, open) => {
  driverContract(name, async () => {
    const { server, transport, nowhere } = await open(units());
    return {
      driver: driverOf({ transport, timeout: "100ms" }),
      unreachable: driverOf({ transport: nowhere }),
      device: A,
      silent: deviceOf({ unit: 2 }, { a: word(0) }),
      ...("dropConnections" in server ? { cut: () => Promise.resolve(server.dropConnections?.()) } : {}),
      stop: () => server.stop(),
    };
  });

  let far: FarSide;
  let driver: ModbusDriver;
  let counts: FrameCounts;

  async function connected(timeout = "100ms"): Promise<void> {
    far = await open(units());
    counts = new FrameCounts();
    driver = driverOf({ transport: far.transport, timeout }, counts);
    await driver.connect(live());
  }
  afterEach(async () => {
    await driver?.close();
    await far?.server.stop();
  });

  it.each([1, 2, 3])("never takes an answer that comes %i requests late", async (late) => {
    await connected();
    let held: Buffer | undefined;
    let turn = 0;
    far.server.tamper = ({ answer }) => {
      if (turn++ === 0) {
        held = answer;
        return { chunks: [] };
      }
      return turn === 1 + late && held ? { chunks: [held, answer] } : undefined;
    };
    await expect(readAll(driver, A)).rejects.toBeInstanceOf(TimeoutError);
    for (let round = 0; round < 6; round++) {
      const device = round % 2 ? A : B;
      expect(await valuesOf(driver, device)).toEqual(RIGHT.get(device));
    }
    expect(counts.of("late")).toBe(1);
  });

  /** Undefined where there was no answer; connects again where that is needed. */
  async function isRight(device: typeof A): Promise<boolean | undefined> {
    try {
      return JSON.stringify(await valuesOf(driver, device)) === JSON.stringify(RIGHT.get(device));
    } catch (error) {
      if (error instanceof NotConnectedError) await driver.connect(live());
      else if (!(error instanceof TimeoutError)) throw error;
      return undefined;
    }
  }

  it("does not take an answer that was cut off or that somebody else gave", async () => {
    await connected("60ms");
    const spoilt: ((answer: Buffer) => Buffer)[] = [
      (answer) => answer.subarray(0, -1),
      (answer) => answer.subarray(0, 5),
      (answer) => flipped(answer, answer.length - 2),
    ];
    const cut = name.startsWith("tcp") || name.startsWith("udp") ? spoilt.slice(0, 2) : spoilt;
    for (const spoil of cut) {
      let turn = 0;
      far.server.tamper = ({ answer }) => (turn++ === 0 ? { chunks: [spoil(answer)] } : undefined);
      const results: unknown[] = [];
      // In a stream the rest of a cut off frame may be made up from the next one: then that is lost too.
      for (let round = 0; round < 4; round++) results.push(await isRight(round % 2 ? B : A));
      expect(results[0]).toBeUndefined();
      expect(results).not.toContain(false);
      expect(results.at(-1)).toBe(true);
    }
  });
});

describe("modbus over a gateway with broken ids", () => {
  it.each<[string, (id: number) => number]>([
    ["always 0", () => 0],
    ["one behind", (id) => (id - 1) & 0xffff],
  ])("works with ignoreTransactionId where they are %s", async (_, broken) => {
    const server = new SimulatedTcpServer(HOST, 0, units());
    await server.start();
    server.tamper = ({ answer }) => {
      const copy = Buffer.from(answer);
      copy.writeUInt16BE(broken(answer.readUInt16BE(0)), 0);
      return { chunks: [copy] };
    };
    const transport = { type: "tcp", host: HOST, port: server.address.port };
    const strict = driverOf({ transport, timeout: "50ms" });
    await strict.connect(live());
    await expect(readAll(strict, A)).rejects.toBeInstanceOf(TimeoutError);
    await strict.close();
    const driver = driverOf({ transport: { ...transport, ignoreTransactionId: true } });
    await driver.connect(live());
    for (let round = 0; round < 5; round++) expect(await valuesOf(driver, A)).toEqual(RIGHT.get(A));
    await driver.close();
    await server.stop();
  });
});

function flipped(frame: Buffer, at: number): Buffer {
  const copy = Buffer.from(frame);
  copy[at] = (copy[at] ?? 0) ^ 0x10;
  return copy;
}
