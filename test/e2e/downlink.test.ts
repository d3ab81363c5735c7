import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { connectAsync, type IClientOptions, type MqttClient } from "mqtt";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CountingPlc } from "../support/counting-plc.ts";
import { Cutter } from "../support/cutter.ts";
import { freePort, type Mosquitto, mosquitto, scratch, startGateway, until } from "../support/processes.ts";

/** What comes down from a real broker: plans to lines, recipes, and no message that goes round. */
const home = scratch("downlink");
const cleanup: (() => Promise<unknown>)[] = [];
let north: Mosquitto;
let south: Mosquitto;
beforeAll(async () => {
  north = await mosquitto(join(home.path, "north"));
  cleanup.push(() => north.stop());
  south = await mosquitto(join(home.path, "south"));
  cleanup.push(() => south.stop());
});
afterAll(async () => {
  for (const step of cleanup.reverse()) await step();
  home.remove();
});

interface Heard {
  readonly client: MqttClient;
  /** `topic body`, in the order of arrival. */
  readonly lines: string[];
}

async function listen(port: number, filter: string, options: IClientOptions = {}): Promise<Heard> {
  const client = await connectAsync(`mqtt://127.0.0.1:${port}`, options);
  cleanup.push(() => client.endAsync(true));
  const lines: string[] = [];
  client.on("message", (topic, payload, { retain }) => lines.push(`${topic} ${payload}${retain ? " retained" : ""}`));
  await client.subscribeAsync(filter, { qos: 1 });
  return { client, lines };
}

async function gateway(id: string, rest: string): Promise<number> {
  const local = await freePort();
  const file = join(home.path, `${id}.yaml`);
  writeFileSync(
    file,
    `gateway: { id: ${id}, dataDir: ${join(home.path, id)} }
queue: { minFree: 16MiB }
http: { port: 0 }
broker: { listeners: [ { port: ${local} } ] }
${rest}`,
  );
  const running = await startGateway(file);
  cleanup.push(() => running.stop());
  await running.line(/accepting what comes down/);
  return local;
}

it("gives a line its plans, in order, over a link that is cut", async () => {
  const cable = new Cutter(north.port);
  const port = await cable.listen();
  cleanup.push(() => cable.stop());
  const local = await gateway(
    "plans",
    `uplinks: [ { name: erp, type: mqtt, url: "mqtt://127.0.0.1:${port}", accept: [ { from: "erp/+/line/#", to: "line/+/#" } ] } ]`,
  );
  const line = await listen(local, "line/#");
  const { client: planner } = await listen(north.port, "nothing");
  const plans = Array.from({ length: 200 }, (_, n) => `line/press/plan/${n} ${n}`);
  for (const [n, plan] of plans.entries()) {
    if (n === 60) cable.cut();
    if (n === 140) cable.mend();
    const [topic = "", body = ""] = plan.split(" ");
    await planner.publishAsync(topic.replace("line/press", "erp/press/line"), body, { qos: 1 });
  }
  await until("all plans", () => line.lines.length >= plans.length, 30_000);
  // A cut between PUBLISH and PUBACK gives one a second time; never a gap, and the first ones in order.
  expect([...new Set(line.lines)]).toEqual(plans);
  console.log(JSON.stringify({ suite: "plans", sent: plans.length, arrived: line.lines.length, cuts: cable.cuts }));
}, 60_000);

it("lets nothing go round between two gateways in a ring, nor come back from one broker", async () => {
  const ring = (up: number, down: number) => `capture: [ { topics: [ "#" ] } ]
uplinks:
  - { name: up, type: mqtt, url: "mqtt://127.0.0.1:${up}", topic: "{topic}", accept: [ { from: "own/#" } ] }
  - { name: down, type: mqtt, url: "mqtt://127.0.0.1:${down}", select: [ "none/at/all" ], accept: [ { from: "x/#" } ] }
`;
  // What a captures goes to north, what b captures to south; each accepts what the other one sends.
  const a = await gateway("a", ring(north.port, south.port));
  const b = await gateway("b", ring(south.port, north.port));
  const at = {
    a: await listen(a, "#"),
    b: await listen(b, "#"),
    north: await listen(north.port, "x/#"),
    south: await listen(south.port, "x/#"),
    own: await listen(north.port, "own/#"),
  };
  for (let n = 0; n < 50; n++) {
    await at.a.client.publishAsync("x/from-a", String(n), { qos: 1 });
    await at.b.client.publishAsync("x/from-b", String(n), { qos: 1 });
    await at.north.client.publishAsync("x/from-north", String(n), { qos: 1 });
    await at.a.client.publishAsync("own/a", String(n), { qos: 1 });
  }
  const of = (heard: Heard, topic: string) => heard.lines.filter((line) => line.startsWith(`${topic} `)).length;
  const complete = () => of(at.b, "x/from-a") >= 50 && of(at.a, "x/from-b") >= 50 && of(at.own, "own/a") >= 50;
  await until("everything once", () => complete() && of(at.b, "x/from-north") >= 50, 20_000);
  await pause(2000);
  const count = (heard: Heard) => ["x/from-a", "x/from-b", "x/from-north", "own/a"].map((topic) => of(heard, topic));
  const counts = { a: count(at.a), b: count(at.b), north: count(at.north), south: count(at.south), own: count(at.own) };
  console.log(JSON.stringify({ suite: "ring", ...counts }));
  expect(counts).toEqual({
    a: [50, 50, 0, 50],
    b: [50, 50, 50, 0],
    north: [50, 0, 50, 0],
    south: [0, 50, 0, 0],
    own: [0, 0, 0, 50],
  });
}, 60_000);

describe("a recipe", () => {
  it("is given to a PLC that asks for it, or by an order from upstream, with a handshake", async () => {
    const plc = new CountingPlc();
    const device = await plc.listen();
    cleanup.push(() => plc.stop());
    // The PLC's side: takes what is ready, and says so until ready is taken back.
    const program = setInterval(() => {
      plc.registers[7] = plc.registers[5] ?? 0;
    }, 20);
    cleanup.push(async () => clearInterval(program));
    const tag = (name: string, address: number, writable: boolean) =>
      `{ name: ${name}, address: "holding:${address}", type: uint32, every: 100ms${writable ? ", writable: { min: 0, max: 1000 }" : ""} }`;
    await gateway(
      "recipes",
      `links:
  - name: line
    driver: modbus
    transport: { type: tcp, host: 127.0.0.1, port: ${device} }
    devices:
      - name: press
        unit: 1
        tags:
          - ${tag("order", 0, true)}
          - ${tag("speed", 2, true)}
          - ${tag("ready", 4, true)}
          - ${tag("done", 6, false)}
          - ${tag("request", 8, false)}
recipes:
  - { name: order, device: press, values: { speed: 120 }, parameters: [ order ], ready: { tag: ready, reset: 0 }, done: { tag: done }, within: 5s }
  - { name: idle, device: press, values: { speed: 5 }, trigger: { tag: request, equals: 1 }, ready: { tag: ready, reset: 0 }, done: { tag: done }, within: 5s }
uplinks:
  - { name: erp, type: mqtt, url: "mqtt://127.0.0.1:${north.port}", select: [ none ], topic: "up/{gateway}/{topic}", accept: [ { from: "erp/{gateway}/cmd/#", to: "cmd/#" } ] }
`,
    );
    const answers = await listen(north.port, "up/recipes/cmd/press/result");
    const bodyOf = (line: string | undefined) => JSON.parse(line?.slice(line.indexOf("{")) ?? "null");
    const expires = Date.now() + 60_000;
    const order = JSON.stringify({ id: "o-1", expires, recipe: "order", values: { order: 77 } });
    await answers.client.publishAsync("erp/recipes/cmd/press/write", order, { qos: 1 });
    await until("the answer to the order", () => answers.lines.length === 1, 15_000);
    expect(bodyOf(answers.lines[0])).toMatchObject({ id: "o-1", ok: true, recipe: "order", handshake: "done" });
    expect([plc.registers[1], plc.registers[3], plc.registers[5]]).toEqual([77, 120, 0]);
    await until("the end of the handshake", () => plc.registers[7] === 0, 5000);
    plc.registers[9] = 1;
    await until("the answer to the request", () => answers.lines.length === 2, 15_000);
    expect(bodyOf(answers.lines[1])).toMatchObject({ ok: true, recipe: "idle", handshake: "done" });
    expect(plc.registers[3]).toBe(5);
    expect(plc.written.get(77)).toBe(1);
  }, 60_000);
});
