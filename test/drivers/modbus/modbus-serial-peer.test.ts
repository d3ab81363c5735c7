import { once } from "node:events";
import { createServer } from "node:net";
import { ServerTCP } from "modbus-serial";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ModbusDriver } from "../../../drivers/modbus/driver.ts";
import { TimeoutError } from "../../../gateway/core/driver.ts";
import { deviceOf, driverOf, live, readAll, valuesOf } from "./bench.ts";

/** Every value follows from its address, in each area another way. */
const WORD = { holding: (at: number) => (at * 7 + 3) & 0xffff, input: (at: number) => (at * 11 + 5) & 0xffff };
const BIT = { coil: (at: number) => at % 3 === 0, discrete: (at: number) => at % 5 === 0 };

describe("the server of modbus-serial", () => {
  let server: ServerTCP;
  let driver: ModbusDriver;

  beforeAll(async () => {
    const port = await freePort();
    const vector = {
      getHoldingRegister: WORD.holding,
      getInputRegister: WORD.input,
      getCoil: BIT.coil,
      getDiscreteInput: BIT.discrete,
    };
    server = new ServerTCP(vector, { host: "127.0.0.1", port, unitID: 1 });
    server.on("error", () => {});
    await once(server, "initialized");
    driver = driverOf({ transport: { type: "tcp", host: "127.0.0.1", port }, timeout: "2s" });
    await driver.connect(live());
  });
  afterAll(async () => {
    await driver.close();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  });

  it("gives every register and bit where we look for it", async () => {
    const words = [0, 1, 2, 60, 124, 125, 300, 9_999, 65_535];
    const bits = [0, 1, 7, 8, 9, 15, 100, 1999, 2000, 65_535];
    const expected: Record<string, unknown> = {};
    const tags: Record<string, Record<string, unknown>> = {};
    for (const area of ["holding", "input"] as const) {
      for (const at of words) {
        tags[`${area}-${at}`] = { address: `${area}:${at}`, type: "uint16" };
        expected[`${area}-${at}`] = WORD[area](at);
      }
    }
    for (const area of ["coil", "discrete"] as const) {
      for (const at of bits) {
        tags[`${area}-${at}`] = { address: `${area}:${at}`, type: "bool" };
        expected[`${area}-${at}`] = BIT[area](at);
      }
    }
    for (const maxGap of [0, 125])
      expect(await valuesOf(driver, deviceOf({ unit: 1, maxGap }, tags))).toEqual(expected);
  });

  it("is silent for a unit that is not there", async () => {
    const device = deviceOf({ unit: 9, timeout: "50ms" }, { a: { address: "holding:0", type: "uint16" } });
    await expect(readAll(driver, device)).rejects.toBeInstanceOf(TimeoutError);
  });
});

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (typeof address !== "object" || !address) throw new Error("no port");
  return address.port;
}
