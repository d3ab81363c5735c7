import { describe, expect, it } from "vitest";
import { z } from "zod";
import { modbusModule } from "../../../drivers/modbus/module.ts";

const link = z.strictObject({
  ...modbusModule.linkSchema.shape,
  devices: z.array(
    z.strictObject({
      name: z.string(),
      ...modbusModule.deviceSchema.shape,
      tags: z.array(z.strictObject({ name: z.string(), ...modbusModule.tagSchema.shape })),
    }),
  ),
});

const TCP = { type: "tcp", host: "127.0.0.1" };
const RTU = { type: "rtu", path: "/dev/ttyS0" };
type Part = Readonly<Record<string, unknown>>;

function faults(tags: readonly Part[], device: Part = {}, transport: Part = TCP) {
  const named = tags.map((tag, index) => ({ name: `t${index}`, ...tag }));
  return modbusModule.check(link.parse({ transport, devices: [{ name: "d", unit: 1, ...device, tags: named }] }));
}

describe("schemas", () => {
  it("fill in what is not said", () => {
    expect(modbusModule.linkSchema.parse({ transport: RTU })).toEqual({
      transport: { ...RTU, baud: 19_200, parity: "even", dataBits: 8 },
      timeout: 1000,
      connectTimeout: 3000,
      pauseAfterConnect: 0,
      guard: 0,
      inFlight: 1,
    });
    expect(modbusModule.deviceSchema.parse({ unit: 3 })).toEqual({
      unit: 3,
      maxRegisters: 125,
      maxCoils: 2000,
      holes: [],
      learn: true,
    });
  });

  it("names the transports there are", () => {
    const result = modbusModule.linkSchema.safeParse({ transport: { type: "rtu-over-udp", host: "h", port: 1 } });
    expect(result.error?.issues[0]?.message).toContain("tcp, udp, rtu, rtu-over-tcp, ascii or ascii-over-tcp");
  });

  it.each<[string, z.ZodObject, Part]>([
    ["unknown key of a tag", modbusModule.tagSchema, { address: "holding:0", type: "int16", adress: 1 }],
    ["unknown key of a transport", modbusModule.linkSchema, { transport: { ...TCP, baud: 9600 } }],
    ["unit 256", modbusModule.deviceSchema, { unit: 256 }],
    ["maxRegisters 126", modbusModule.deviceSchema, { unit: 1, maxRegisters: 126 }],
    ["a timeout without its unit", modbusModule.linkSchema, { transport: TCP, timeout: 1000 }],
    ["a timeout of nothing", modbusModule.linkSchema, { transport: TCP, timeout: "0ms" }],
    ["a type that does not exist", modbusModule.tagSchema, { address: "holding:0", type: "int24" }],
    ["an order that does not exist", modbusModule.tagSchema, { address: "holding:0", type: "int32", order: "ACBD" }],
    ["a scale of 0", modbusModule.tagSchema, { address: "holding:0", type: "int16", scale: 0 }],
    [
      "an infinite scale",
      modbusModule.tagSchema,
      { address: "holding:0", type: "int16", scale: Number.POSITIVE_INFINITY },
    ],
  ])("refuse %s", (_, schema, value) => {
    expect(schema.safeParse(value).success).toBe(false);
  });

  it("give a JSON Schema", () => {
    const schemas = [modbusModule.linkSchema, modbusModule.deviceSchema, modbusModule.tagSchema];
    for (const schema of [...schemas, modbusModule.simulator?.schema ?? z.object()]) {
      expect(z.toJSONSchema(schema, { io: "input" })).toMatchObject({ type: "object", additionalProperties: false });
    }
  });
});

describe("check", () => {
  it("finds a tag in a hole of its device", () => {
    const found = faults([{ address: "holding:3", type: "float32" }], { holes: ["holding:4..9", "holding:3|"] });
    expect(found.map(({ message }) => message)).toEqual([
      'this lies in the hole "holding:4..9" of its device: remove one',
    ]);
    expect(faults([{ address: "holding:3", type: "uint16" }], { holes: ["holding:4..9", "input:3"] })).toEqual([]);
  });

  it("finds nothing in what is right", () => {
    const tags = [
      { address: "holding:65534", type: "float32", order: "CDAB", scale: 0.1 },
      { address: "holding:7.3", type: "bool", order: "BA" },
      { address: 40_001, type: "string(10)", order: "BA" },
      { address: "coil:65535", type: "bool" },
      { address: "30001", type: "bits(4,4)", scale: 2 },
    ];
    expect(faults(tags)).toEqual([]);
    expect(faults(tags, { unit: 255 })).toEqual([]);
    expect(faults(tags, {}, RTU)).toEqual([]);
  });

  it.each<[Part, string, RegExp]>([
    [{ address: "holding:65535", type: "float32" }, "address", /needs 2 registers.*65534 or below/],
    [{ address: "holding:70000", type: "int16" }, "address", /last address/],
    [{ address: "holding:7", type: "bool" }, "address", /needs its bit: holding:7\.0/],
    [{ address: "holding:7.3", type: "int16" }, "address", /use type bool, or holding:7/],
    [{ address: "holding:7.16", type: "bool" }, "address", /bits 0 to 15/],
    [{ address: "coil:7.1", type: "bool" }, "address", /remove "\.1"/],
    [{ address: "coil:7", type: "int16" }, "type", /use type bool/],
    [{ address: "coil:7", type: "bool", order: "AB" }, "order", /has no order: remove it/],
    [{ address: "holding:7", type: "int16", order: "ABCD" }, "order", /does not fit int16: use AB, BA/],
    [{ address: "holding:7", type: "int64", order: "CDAB" }, "order", /GHEFCDAB/],
    [{ address: "holding:7", type: "string(4)", order: "ABCD" }, "order", /use AB, BA/],
    [{ address: "holding:7", type: "string(0)" }, "type", /1 to 250/],
    [{ address: "holding:7", type: "string(251)" }, "type", /1 to 250/],
    [{ address: "holding:7", type: "bits(10,7)" }, "type", /bits 0 to 15/],
    [{ address: "holding:7", type: "bits(3,0)" }, "type", /bits 0 to 15/],
    [{ address: "coil:7", type: "bool", scale: 2 }, "scale", /a bool has no scale: remove it/],
    [{ address: "holding:7", type: "string(4)", offset: 2 }, "offset", /a string has no offset: remove it/],
  ])("%j: %s", (tag, key, message) => {
    const found = faults([{ address: "holding:0", type: "int16" }, tag]);
    expect(found).toHaveLength(1);
    expect(found[0]).toMatchObject({ path: ["devices", 0, "tags", 1, key] });
    expect(found[0]?.message).toMatch(message);
  });

  it("names both what is wrong with the address and with the type", () => {
    expect(faults([{ address: "x", type: "string(999)" }]).map((fault) => fault.path.at(-1))).toEqual([
      "address",
      "type",
    ]);
  });

  it("finds a tag that is wider than one answer", () => {
    const found = faults([{ address: "holding:0", type: "float64" }], { maxRegisters: 2 });
    expect(found).toMatchObject([{ path: ["devices", 0, "tags", 0, "type"] }]);
    expect(found[0]?.message).toContain("maxRegisters");
  });

  it("finds a tag that is there twice", () => {
    const tag = { name: "same", address: "holding:0", type: "int16" };
    expect(faults([tag, { ...tag, address: "holding:1" }])).toMatchObject([
      { path: ["devices", 0, "tags", 1, "name"] },
    ]);
  });

  it("finds a unit that is there twice on a link", () => {
    const device = { name: "d", unit: 4, tags: [] };
    const found = modbusModule.check(link.parse({ transport: TCP, devices: [device, { ...device, name: "e" }] }));
    expect(found).toMatchObject([{ path: ["devices", 1, "unit"] }]);
  });

  it.each<[number, Part, RegExp]>([
    [0, RTU, /never answers: use 1 to 247/],
    [248, RTU, /use 1 to 247$/],
    [255, RTU, /reserved/],
    [248, TCP, /or 255 for the device itself/],
  ])("finds that unit %i cannot be on %j", (unit, transport, message) => {
    const found = faults([], { unit }, transport);
    expect(found).toMatchObject([{ path: ["devices", 0, "unit"] }]);
    expect(found[0]?.message).toMatch(message);
  });

  it("finds seven data bits on an rtu line", () => {
    expect(faults([], {}, { ...RTU, dataBits: 7 })).toMatchObject([{ path: ["transport", "dataBits"] }]);
  });

  it("leaves to the schemas what has not even their shape", () => {
    expect(modbusModule.check({})).toEqual([]);
    expect(modbusModule.check(undefined)).toEqual([]);
  });
});
