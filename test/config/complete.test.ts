import { describe, expect, it } from "vitest";
import { complete } from "../../gateway/config/complete.ts";
import { configJsonSchema } from "../../gateway/config/json-schema.ts";

const schema = configJsonSchema();

/** The text has a bar where the cursor is. */
function at(text: string) {
  const offset = text.indexOf("|");
  const whole = text.replace("|", "");
  const found = complete(whole, offset, schema);
  return {
    ...found,
    labels: found.candidates.map(({ label }) => label),
    /** What is there once the candidate is taken. */
    taking(label: string): string {
      const one = found.candidates.find((candidate) => candidate.label === label);
      if (one === undefined) throw new Error(`no ${label} among ${found.candidates.map((each) => each.label)}`);
      return `${whole.slice(0, found.from)}${one.insert}|${whole.slice(found.to)}`;
    },
  };
}

const MODBUS = `gateway: { id: a }
links:
  - name: plc-1
    driver: modbus
    transport: { type: tcp, host: 192.0.2.10 }
`;

describe("completion of a configuration", () => {
  it("gives the sections at the top, those that are needed first, and not those that are there", () => {
    expect(at("|").labels.slice(0, 3)).toEqual(["gateway", "broker", "capture"]);
    expect(at("|").candidates[0]).toMatchObject({ required: true, type: "map", description: "Who this gateway is." });
    expect(at("gateway: { id: a }\n|").labels).not.toContain("gateway");
    expect(at("gateway: { id: a }\nlin|").taking("links")).toBe("gateway: { id: a }\nlinks:\n  - |");
  });

  it.each([
    ["in a map of one line", "gateway: { |", ["id", "dataDir"]],
    ["in one that ends", "gateway: { | }", ["id", "dataDir"]],
    ["before what is there", "gateway: { | id: a }", ["dataDir"]],
    ["behind what is there", "gateway: { id: a, d|", ["dataDir"]],
    ["in an indented map", "gateway:\n  |", ["id", "dataDir"]],
    ["half a word", "gateway:\n  id: a\n  dat|\nqueue: {}\n", ["dataDir"]],
    ["in the middle of a file", "gateway:\n  id: a\n  |\nqueue:\n  sync: always\n", ["dataDir"]],
  ])("knows its place: %s", (_, text, expected) => {
    const { labels, path } = at(text);
    expect(path).toBe("gateway");
    expect(labels).toEqual(expect.arrayContaining(expected));
    expect(labels).not.toContain("links");
  });

  it("asks for the choice first, then for what belongs to it", () => {
    const first = at("links:\n  - |");
    expect(first.labels.slice(0, 2).toSorted()).toEqual(["driver", "name"]);
    expect(first.labels).not.toContain("transport");
    expect(at("uplinks:\n  - na|").taking("name")).toBe("uplinks:\n  - name: |");
    expect(at("links:\n  - name: a\n    driver: |").labels).toEqual(["modbus", "serial", "simulated"]);
    const { labels, candidates } = at("links:\n  - driver: modbus\n    |");
    expect(labels).toEqual(expect.arrayContaining(["name", "transport", "devices"]));
    expect(labels).not.toContain("driver");
    expect(candidates.filter(({ required }) => required).map(({ label }) => label)).toContain("transport");
    expect(at("links:\n  |").taking("-")).toBe("links:\n  - |");
  });

  it("follows a discriminator in a map of one line", () => {
    const text = (type: string) => `links:\n  - driver: modbus\n    transport: { type: ${type}, | }\n`;
    expect(at(text("tcp")).labels).toEqual(expect.arrayContaining(["host", "port"]));
    expect(at(text("tcp")).labels).not.toContain("baud");
    expect(at(text("rtu")).labels).toEqual(expect.arrayContaining(["path", "baud", "parity"]));
    expect(at(text("rtu")).labels).not.toContain("host");
    expect(at("links:\n  - driver: modbus\n    transport: { type: | }").labels).toEqual(
      expect.arrayContaining(["tcp", "udp", "rtu"]),
    );
  });

  it("gives values: choices, yes and no, the default, and where a secret is kept", () => {
    expect(at("links:\n  - driver: modbus\n    transport: { type: rtu, parity: |").candidates).toEqual(
      expect.arrayContaining([expect.objectContaining({ label: "even", description: "default" })]),
    );
    expect(at("queue:\n  sync: |").labels).toContain("always");
    expect(at("uplinks:\n  - { name: cloud, type: mqtt, password: | }").labels).toEqual(
      expect.arrayContaining(["{ env: ", "{ file: ", "{ credential: "]),
    );
    expect(at(`${MODBUS}    recorder: { off: |`).labels).toEqual(expect.arrayContaining(["true", "false"]));
  });

  it("reaches tags, in either way of writing them", () => {
    const device = `${MODBUS}    devices:\n      - name: press\n        unit: 1\n        topic: p\n        tags:\n`;
    const flow = at(`${device}          - { name: t, address: "holding:0", | }`);
    expect(flow.path).toBe("links[0].devices[0].tags[0]");
    expect(flow.labels).toEqual(expect.arrayContaining(["type", "order", "every", "unit"]));
    const block = at(`${device}          - name: t\n            ty|`);
    expect(block.taking("type")).toBe(`${device}          - name: t\n            type: |`);
    expect(at(`${device}          - { name: t, type: float|`).labels).toEqual(
      expect.arrayContaining(["float32", "float64", "uint16"]),
    );
  });

  it("opens what it puts there, indented", () => {
    expect(at(`${MODBUS}    dev|`).taking("devices")).toBe(`${MODBUS}    devices:\n      - |`);
    expect(at("broker:\n  lim|").taking("limits")).toBe("broker:\n  limits:\n    |");
  });

  it("changes a key that has its value already, and nothing else", () => {
    expect(at("gateway:\n  da|ta: ./x\n").taking("dataDir")).toBe("gateway:\n  dataDir|: ./x\n");
  });

  it.each([
    ["a comment", "gateway: { id: a } # li|"],
    ["a text", "gateway: { id: gw-|"],
    ["what nothing is known of", "gateway:\n  id: a\n  nobody:\n    |"],
    ["what is no YAML at all", "}}}{{{ [[|"],
    ["nonsense", '\t\t- : "|'],
  ])("has nothing in %s", (_, text) => {
    expect(at(text).labels).toEqual([]);
  });

  it("says what is being written", () => {
    expect(at(`${MODBUS}    transport: { type: tcp, port: |`)).toMatchObject({ path: "links[0].transport.port" });
    expect(at("queue:\n  sync: |").about).not.toBe("");
  });

  it("does not fall over any offset of a configuration that is cut off there", () => {
    const text = `${MODBUS}    devices:\n      - { name: a, unit: 1, topic: t, tags: [ { name: x, address: "coil:3", type: bool } ] }\n`;
    for (let offset = 0; offset <= text.length; offset++) {
      expect(complete(text, offset, schema).candidates.length).toBeLessThanOrEqual(200);
      expect(complete(text.slice(0, offset), offset, schema).candidates.length).toBeLessThanOrEqual(200);
    }
  });
});
