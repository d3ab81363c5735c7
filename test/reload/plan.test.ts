import { describe, expect, it } from "vitest";
import { checkText } from "../../gateway/config/load.ts";
import { planReload } from "../../gateway/reload/plan.ts";

const device = (name: string, more = "") =>
  `{ name: ${name}, unit: 1, tags: [ { name: t, address: "holding:0", type: uint16, every: 1s }${more} ] }`;
const link = (name: string, port: number, ...devices: string[]) =>
  `  - { name: ${name}, driver: modbus, transport: { type: tcp, host: 127.0.0.1, port: ${port} }, devices: [ ${devices.join(", ")} ] }`;
const uplink = (name: string, more = "") => `  - { name: ${name}, type: mqtt, url: "mqtt://127.0.0.1:1883"${more} }`;

interface Text {
  readonly head?: string;
  readonly links?: readonly string[];
  readonly uplinks?: readonly string[];
}

const LINKS = [link("a", 502, device("press")), link("b", 503, device("oven"))];
const UPLINKS = [uplink("cloud")];

async function load({ head = "", links = LINKS, uplinks = UPLINKS }: Text) {
  const text = `gateway: { id: gw, dataDir: /nowhere/millrace }\n${head}links:\n${links.join("\n")}\nuplinks:\n${uplinks.join("\n")}\n`;
  return await checkText(text, "millrace.yaml", "/", {});
}

async function planned(before: Text, after: Text) {
  const plan = planReload(await load(before), await load(after));
  return { plan, steps: plan.steps.map(({ part, action, why }) => `${action} ${part}: ${why}`) };
}

describe("what a reload touches", () => {
  it("is nothing where nothing differs, whatever the order and the comments", async () => {
    const { plan, steps } = await planned({}, { head: "# other words\n", links: [...LINKS].reverse() });
    expect(steps).toEqual([]);
    expect(plan).toMatchObject({ whole: false, commands: false, users: false });
  });

  it("is one link where a tag of it changed, and says which device", async () => {
    const more = `, { name: u, address: "holding:1", type: uint16, every: 1s }`;
    const { plan, steps } = await planned({}, { links: [link("a", 502, device("press", more)), LINKS[1] ?? ""] });
    expect(steps).toEqual(["restart link a: device press: tags changed"]);
    expect(plan.whole).toBe(false);
    expect(plan.commands).toBe(true);
    expect([...plan.links.stop, ...plan.links.start]).toEqual(["a", "a"]);
    expect(plan.uplinks.stop.size).toBe(0);
  });

  it("tells devices that come and go, and the other keys", async () => {
    const after = link("a", 504, device("lathe"));
    const { steps } = await planned({}, { links: [after, LINKS[1] ?? ""] });
    expect(steps).toEqual(["restart link a: transport changed; device lathe added; device press removed"]);
  });

  it("is a start and a stop where a link is renamed", async () => {
    const { steps } = await planned({}, { links: [link("line", 502, device("press")), LINKS[1] ?? ""] });
    expect(steps).toEqual(["stop link a: removed", "start link line: new"]);
  });

  it("says of an uplink that goes what becomes of its backlog", async () => {
    const { plan, steps } = await planned({}, { uplinks: [uplink("edge", ", select: [ plant/# ]")] });
    expect(steps).toEqual([
      "stop uplink cloud: removed; what it is owed stays until millrace queue forget",
      "start uplink edge: new",
    ]);
    expect(plan.commands).toBe(false);
  });

  it("restarts a Sparkplug node whose devices changed, and no other uplink", async () => {
    const both = [uplink("cloud"), `  - { name: node, type: sparkplug, url: "mqtt://127.0.0.1:1884", group: shop }`];
    const links = [link("a", 502, device("press"), device("lathe").replace("unit: 1", "unit: 2")), LINKS[1] ?? ""];
    const { plan, steps } = await planned({ uplinks: both }, { uplinks: both, links });
    expect(steps).toEqual([
      "restart link a: device lathe added",
      "restart uplink node: its devices changed, and it tells of them at its start",
    ]);
    expect([...plan.uplinks.start]).toEqual(["node"]);
  });

  it.each([
    ["queue: { sync: always }\n", "restart queue: sync changed"],
    ["http: { port: 9000 }\n", "restart http: port changed"],
    [`capture: [ { topics: [ "shop/#" ], stream: events } ]\n`, "restart capture: changed"],
    ["broker: { listeners: [ { port: 1999 } ] }\n", "restart broker: listeners changed"],
  ])("is the whole for %s", async (head, step) => {
    const { plan, steps } = await planned({}, { head });
    expect(steps).toEqual([step]);
    expect(plan.whole).toBe(true);
  });

  it("is no restart where only users of the broker changed", async () => {
    const broker = (users: string) => `broker: { listeners: [ { port: 1999 } ], users: [ ${users} ] }\n`;
    const one = `{ name: hmi, password: { env: HMI }, publish: [ "a/#" ] }`;
    const two = `{ name: hmi, password: { env: HMI }, publish: [ "b/#" ] }`;
    const { plan, steps } = await planned({ head: broker(one) }, { head: broker(two) });
    expect(steps).toEqual(["change broker: users changed"]);
    expect(plan).toMatchObject({ whole: false, users: true });
  });
});
