import { describe, expect, it } from "vitest";
import type { DerivedTag } from "../../gateway/core/derived.ts";
import type { Tag } from "../../gateway/core/driver.ts";
import { loadText } from "./support.ts";

const MODBUS = "driver: modbus\n    transport: { type: tcp, host: 127.0.0.1 }";

async function deviceOf(tags: readonly string[], derived: readonly string[] = []) {
  const list = (items: readonly string[]) => items.map((item) => `\n          - { ${item} }`).join("");
  const { links } = await loadText(`gateway: { id: shop }
links:
  - name: plc
    ${MODBUS}
    devices:
      - name: d
        unit: 1
        tags:${list(tags)}
        ${derived.length === 0 ? "" : `derived:${list(derived)}`}
`);
  const device = links[0]?.devices[0];
  if (!device) throw new Error("no device");
  return device;
}

async function tagOf(keys: string): Promise<Tag | undefined> {
  return (await deviceOf([`name: t, address: "holding:0", ${keys}`])).tags[0];
}

describe("the shape of a tag", () => {
  it.each([
    ["type: int16, errorValue: 0x8000", [32_768, -32_768]],
    ["type: int16, errorValue: -32768", [-32_768]],
    ["type: int16, scale: 0.1, errorValue: 0x8000", [3276.8, -3276.8]],
    ["type: uint16, offset: -40, errorValue: [65535, 65534]", [65_495, 65_494]],
    ["type: float32, errorValue: 0x7F7FFFFF", [2_139_095_039, 3.4028235e38]],
    ["type: float32, errorValue: -9999", [-9999]],
    ['type: uint64, errorValue: "0xFFFFFFFFFFFFFFFF"', [2n ** 64n - 1n]],
    ['type: int64, errorValue: "0x8000000000000000"', [2n ** 63n, -(2n ** 63n)]],
    ['type: string(8), errorValue: "-----"', ["-----"]],
  ])("%s", async (keys, expected) => expect((await tagOf(keys))?.shape?.errorValues).toEqual(expected));

  it("is absent where nothing is asked for: such tags take the short way", async () => {
    expect(await tagOf("type: int16, scale: 0.1, range: [0, 100]")).not.toHaveProperty("shape");
    expect(await tagOf("type: int16")).not.toHaveProperty("deadband");
  });

  it("turns shares, rates and durations into what runs", async () => {
    const tag = await tagOf("type: int16, range: [-50, 150], deadband: 0.7 %, rate: 30/m, maxSilence: 5m");
    expect(tag).toMatchObject({ deadband: 1.4, minIntervalMs: 2000, maxSilenceMs: 300_000 });
    expect(await tagOf("type: int16, onChange: true")).toMatchObject({ deadband: 0 });
  });

  it("makes a text of a number for whoever encodes it", async () => {
    expect(await tagOf("type: int16, enum: { 0: off, 0x10: on }")).toMatchObject({
      type: "string",
      shape: {
        texts: new Map([
          ["0", "off"],
          ["16", "on"],
        ]),
      },
    });
  });
});

describe("derived tags", () => {
  const rule = (tag: DerivedTag | undefined) => tag?.rule;

  it("know where their counter begins again, in the unit of the tag", async () => {
    const tags = [
      'name: pulses, address: "holding:0", type: uint16, scale: 0.1',
      'name: wide, address: "holding:2", type: uint64',
      'name: float, address: "holding:8", type: float32',
    ];
    const { derived } = await deviceOf(tags, [
      "name: a, from: pulses, as: difference",
      "name: b, from: wide, as: per-hour, maxStep: 100",
      "name: c, from: float, as: per-second",
      "name: d, from: pulses, as: difference, rollover: 10000",
      "name: e, from: wide, as: difference, rollover: none",
    ]);
    expect(derived?.map(rule)).toEqual([
      { kind: "difference", modulus: 6553.6 },
      { kind: "rate", perMs: 3_600_000, modulus: 2n ** 64n, maxStep: 100 },
      { kind: "rate", perMs: 1000 },
      { kind: "difference", modulus: 1000 },
      { kind: "difference" },
    ]);
    expect(derived?.map(({ type }) => type)).toEqual(["float64", "float64", "float64", "float64", "int64"]);
  });

  it("stand behind those they need, and go with the fastest", async () => {
    const tags = [
      'name: slow, address: "holding:0", type: int16, every: 10s',
      'name: fast-one, address: "holding:1", type: int16, every: 200ms, stream: events',
    ];
    const { derived } = await deviceOf(tags, [
      'name: last, expr: "middle > 3"',
      'name: middle, expr: "slow + {fast-one}"',
      'name: calm, expr: "slow + {fast-one}", on: slow',
    ]);
    expect(
      derived?.map(({ name, type, everyMs, stream, triggers }) => [name, type, everyMs, stream, triggers]),
    ).toEqual([
      ["middle", "float64", 200, "events", ["slow", "fast-one"]],
      ["calm", "float64", 10_000, "telemetry", ["slow"]],
      ["last", "bool", 200, "events", ["middle"]],
    ]);
  });
});
