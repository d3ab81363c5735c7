import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { ConfigFaults } from "../../gateway/config/faults.ts";
import { loadConfig } from "../../gateway/config/load.ts";
import { folderWith } from "../config/support.ts";
import { type Block, pages, parsePage } from "./markdown.ts";

/**
 * Every `yaml` block of the docs is loaded as a configuration. A block of whole sections gets the sections that it lacks; a
 * smaller one says above it what it is: `<!-- yaml: link -->` and the like, as below. `<!-- yaml: none, REASON -->`: no configuration.
 */
const MODBUS = "driver: modbus, transport: { type: tcp, host: 192.0.2.10 }";
const GATEWAY = "gateway: { id: docs-01 }\n";
const indent = (text: string, by: number) => text.replaceAll(/^(?=.)/gm, " ".repeat(by));
const link = (devices: string) =>
  `${GATEWAY}links:\n  - name: plc-1\n    driver: modbus\n    transport: { type: tcp, host: 192.0.2.10 }\n    devices:\n${devices}`;
/** Keys of an uplink of another kind, indented as in a whole configuration or not. */
function uplinkOf(kind: string, text: string): string {
  const first = kind
    .split(", ")
    .map((key, at) => `    ${at === 0 ? "type: " : ""}${key}\n`)
    .join("");
  return `${whole("")}uplinks:\n  - name: plant\n${first}${indent(text.replaceAll(/^ {4}/gm, ""), 4)}`;
}
const device = (keys: string) => link(`      - name: press-1\n        unit: 1\n${indent(keys, 8)}`);

const WRAP: Readonly<Record<string, (text: string) => string>> = {
  /** Keys of one link. */
  link: (text) => `${GATEWAY}links:\n  - name: line-1\n${indent(text, 4)}`,
  /** A list of links. */
  links: (text) => `${GATEWAY}links:\n${indent(text, 2)}`,
  /** `devices:` of a Modbus link. */
  devices: (text) =>
    `${GATEWAY}links:\n  - name: plc-1\n    driver: modbus\n    transport: { type: tcp, host: 192.0.2.10 }\n${indent(text, 4)}`,
  /** A list of devices of a Modbus link. */
  list: (text) => link(indent(text, 6)),
  /** Keys of one Modbus device. */
  device,
  /** A list of tags of a Modbus device. */
  tags: (text) => device(`tags:\n${indent(text, 2)}`),
  /** Keys of an MQTT uplink. */
  uplink: (text) =>
    `${whole("")}uplinks:\n  - name: cloud\n    type: mqtt\n    url: mqtt://broker.example.com\n${indent(text, 4)}`,
  rabbitmq: (text) => uplinkOf("rabbitmq, url: amqp://rabbit.example.com", text),
  kafka: (text) => uplinkOf("kafka, brokers: [ kafka.example.com:9092 ]", text),
  activemq: (text) => uplinkOf("activemq, url: amqp://broker.example.com", text),
  /** Sections that need a press with registers to write to. */
  press: (text) =>
    `${device(
      `tags:\n${["mode", "speed", "orderNo", "quantity", "dataReady", "dataTaken"]
        .map((name, at) => `  - { name: ${name}, address: "holding:${at}", type: uint16, writable: true }\n`)
        .join("")}`,
    )}${text}`,
};

/** Sections, with those that every configuration needs. */
function whole(text: string): string {
  const has = (section: string) => new RegExp(`^${section}:`, "m").test(text);
  const links = `links: [ { name: plc-1, ${MODBUS}, devices: [ { name: press-1, unit: 1, topic: plant/press-1, tags: [ { name: t, address: "holding:0", type: uint16 } ] } ] } ]\n`;
  return `${has("gateway") ? "" : GATEWAY}${text}${has("links") ? "" : links}`;
}

async function faultsIn(block: Block): Promise<string | undefined> {
  const mark = block.marks.get("yaml");
  if (mark?.startsWith("none")) return undefined;
  if (mark === "profile") return await profileFault(block.text);
  const wrap = mark === undefined ? whole : WRAP[mark];
  if (wrap === undefined) return `${block.page}:${block.line}: there is no wrapping "${mark}"`;
  return await loadFault(wrap(block.text));
}

async function loadFault(text: string, folder = folderWith()): Promise<string | undefined> {
  writeFileSync(join(folder, "millrace.yaml"), text);
  try {
    await loadConfig("millrace.yaml", { cwd: folder });
    return undefined;
  } catch (error) {
    if (!(error instanceof ConfigFaults)) throw error;
    return error.message;
  }
}

/** A profile, by a device that takes it and gives all its parameters a value. */
async function profileFault(text: string): Promise<string | undefined> {
  const folder = folderWith();
  mkdirSync(join(folder, "profiles", "own"), { recursive: true });
  writeFileSync(join(folder, "profiles", "own", "press.yaml"), text);
  const names = [...text.replaceAll(/#.*$/gm, "").matchAll(/^ {2}(\w+): \{(?!.*default)/gm)].map(
    ([, name]) => `${name}: 2`,
  );
  return await loadFault(device(`profile: own/press\nparameters: { ${names.join(", ")} }\n`), folder);
}

it("every configuration in the docs is loaded", async () => {
  const blocks = pages().flatMap((page) => page.blocks.filter(({ language }) => language === "yaml"));
  expect(blocks.length).toBeGreaterThan(25);
  const faults: string[] = [];
  for (const block of blocks) {
    const fault = await faultsIn(block);
    if (fault !== undefined) faults.push(`${block.page}:${block.line}: ${fault}`);
  }
  expect(faults).toEqual([]);
});

it("a wrong key in a fragment is noticed", async () => {
  const [block] = parsePage(
    "p.md",
    "<!-- yaml: tags -->\n```yaml\n- { name: a, adress: 40001, type: int16 }\n```\n",
  ).blocks;
  expect(block && (await faultsIn(block))).toContain('did you mean "address"');
});
