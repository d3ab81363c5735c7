import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ReadRequest } from "../../../drivers/modbus/plan/request.ts";
import { ConfigError } from "../../../gateway/core/errors.ts";
import { deviceOf, driverOf, type TagTexts, tagOf } from "./bench.ts";

const tcp = driverOf({ transport: { type: "tcp", host: "127.0.0.1" } });

function labels(options: Record<string, unknown>, tags: TagTexts): string[] {
  const device = deviceOf({ unit: 1, ...options }, tags);
  return tcp.plan(device, device.tags, {}).map((request) => request.label);
}

const word = (at: number) => ({ address: `holding:${at}`, type: "uint16" });

describe("plan", () => {
  it("joins neighbours, and what a small gap parts", () => {
    expect(labels({}, { a: word(0), b: word(1), c: word(10) })).toEqual(["holding 0..10 (11 registers)"]);
    expect(labels({ maxGap: 8 }, { a: word(0), b: word(10) })).toEqual([
      "holding 0 (1 register)",
      "holding 10 (1 register)",
    ]);
    expect(labels({ maxGap: 0 }, { a: word(0), b: word(1), c: word(3) })).toEqual([
      "holding 0..1 (2 registers)",
      "holding 3 (1 register)",
    ]);
  });

  it("keeps areas apart", () => {
    const tags = { a: word(0), b: { address: "input:1", type: "uint16" }, c: { address: "coil:2", type: "bool" } };
    expect(labels({}, tags)).toEqual(["coil 2 (1 bit)", "input 1 (1 register)", "holding 0 (1 register)"]);
  });

  it("does not split a value at the limit", () => {
    const tags = { a: word(0), b: { address: "holding:1", type: "float64" }, c: word(5) };
    expect(labels({ maxRegisters: 4 }, tags)).toEqual([
      "holding 0 (1 register)",
      "holding 1..4 (4 registers)",
      "holding 5 (1 register)",
    ]);
  });

  it("obeys what was learnt about the device", () => {
    const device = deviceOf({ unit: 1 }, { a: word(0), b: word(1), c: word(2) });
    expect(tcp.plan(device, device.tags, { maxRegisters: 2 })).toHaveLength(2);
    expect(tcp.plan(device, device.tags, { maxRegisters: 200 })).toHaveLength(1);
  });

  it("names the tag that no answer can carry", () => {
    const device = deviceOf({ unit: 1, maxRegisters: 2 }, { wide: { address: "holding:0", type: "float64" } });
    expect(() => tcp.plan(device, device.tags, {})).toThrow(ConfigError);
    expect(() => tcp.plan(device, device.tags, {})).toThrow(/unit-1\/wide/);
  });

  it("predicts the time on a serial line", () => {
    const rtu = driverOf({ transport: { type: "rtu", path: "/dev/null", baud: 9600, parity: "even" } });
    const device = deviceOf({ unit: 1 }, { a: word(0), b: word(9) });
    const [request] = rtu.plan(device, device.tags, {});
    // 8 + 5 + 20 characters and two silences of 3.5, of 11 bits each.
    expect(request?.wireMs).toBeCloseTo((40 * 11 * 1000) / 9600, 6);
  });

  it("covers every tag exactly once and never asks for more than the limit, whatever the map", () => {
    const types = ["int16", "uint32", "float64", "string(7)", "bool"] as const;
    const place = fc.record({
      area: fc.constantFrom("coil", "discrete", "input", "holding"),
      at: fc.integer({ min: 0, max: 400 }),
      type: fc.constantFrom(...types),
    });
    fc.assert(
      fc.property(
        fc.array(place, { maxLength: 60 }),
        fc.integer({ min: 4, max: 125 }),
        fc.integer({ min: 0, max: 20 }),
        fc.integer({ min: 1, max: 200 }),
        (places, maxRegisters, maxGap, maxCoils) => {
          const tags = places.map(({ area, at, type }, index) => {
            const bits = area === "coil" || area === "discrete";
            const bit = type === "bool" && !bits ? ".3" : "";
            return tagOf(`t${index}`, { address: `${area}:${at}${bit}`, type: bits ? "bool" : type });
          });
          const device = { ...deviceOf({ unit: 1, maxRegisters, maxGap, maxCoils }, {}), tags };
          const requests = tcp.plan(device, tags, {});
          expect(requests.flatMap((request) => request.tags.map((tag) => tag.name)).sort()).toEqual(
            tags.map((tag) => tag.name).sort(),
          );
          for (const request of requests) expectCovered(request, maxRegisters, maxCoils);
        },
      ),
      { numRuns: 300 },
    );
  });
});

function expectCovered(request: ReadRequest, maxRegisters: number, maxCoils: number): void {
  expect(request).toBeInstanceOf(ReadRequest);
  const { address, count, functionCode } = request.question;
  expect(count).toBeLessThanOrEqual(functionCode <= 2 ? maxCoils : maxRegisters);
  for (const { point } of request.points) {
    expect(point.address.index).toBeGreaterThanOrEqual(address);
    expect(point.address.index + point.count).toBeLessThanOrEqual(address + count);
  }
}

describe("a plan with rules of the device", () => {
  it("does not cross pages, unless a value does", () => {
    const tags = { a: word(62), b: word(63), c: word(64), d: { address: "holding:127", type: "uint32" }, e: word(129) };
    expect(labels({ align: 64 }, tags)).toEqual(["holding 62..63 (2 registers)", "holding 64..129 (66 registers)"]);
  });

  it("reads over no hole and no border", () => {
    const holes = ["holding:3..4", "holding:8|", "input:0..9"];
    expect(labels({ holes }, { a: word(0), b: word(5), c: word(7), d: word(8) })).toEqual([
      "holding 0 (1 register)",
      "holding 5..7 (3 registers)",
      "holding 8 (1 register)",
    ]);
  });

  it("says how many registers are read for nothing, and how long the bus is taken", () => {
    const rtu = driverOf({ transport: { type: "rtu", path: "/dev/null", baud: 19_200, parity: "even" } });
    const device = deviceOf({ unit: 1 }, { a: word(0), b: word(3), c: { address: "holding:3", type: "uint32" } });
    const [request] = rtu.plan(device, device.tags, {});
    expect(request).toMatchObject({ addresses: 5, spare: 2 });
    // 8 + 5 + 10 characters, two silences of 3.5, and the 5 ms that are assumed until a unit was measured.
    expect(request?.busyMs).toBeCloseTo((30 * 11 * 1000) / 19_200 + 5, 6);
  });
});
