import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { connect, connectAsync, type IPublishPacket, type MqttClient } from "mqtt";
import { afterAll, describe, expect, it } from "vitest";
import { CountingPlc } from "../support/counting-plc.ts";
import { Cutter } from "../support/cutter.ts";
import { freePort, type Mosquitto, mosquitto, scratch, startGateway, until } from "../support/processes.ts";
import { Random, seedOf } from "../support/random.ts";

/**
 * Commands that come down from a real broker with QoS 1 while the gateway is killed (SIGKILL) and its link is cut, both at
 * random, and beside each a plan for a line that is not there until the end. Results are taken from the broker, where they arrive
 * over the same link. MILLRACE_COMMANDS sets how many.
 */
const COMMANDS = Number(process.env["MILLRACE_COMMANDS"] ?? 120);
const PER_LIFE = 6;
const random = new Random(seedOf(process.env["MILLRACE_SEED"]));
const home = scratch("accept");
const plc = new CountingPlc();
let broker: Mosquitto | undefined;
let link: Cutter | undefined;
const clients: MqttClient[] = [];

afterAll(async () => {
  for (const client of clients) await client.endAsync(true);
  await link?.stop();
  await broker?.stop();
  await plc.stop();
  home.remove();
});

const config = (local: number, upstream: number, device: number) => `gateway: { id: kill, dataDir: ${home.path}/data }
queue: { minFree: 16MiB }
http: { port: 0 }
broker: { listeners: [ { port: ${local} } ], sessions: { maxMessages: ${Math.min(60_000, 1000 + 2 * COMMANDS)}, maxBytes: 16MiB } }
links:
  - name: line
    driver: modbus
    transport: { type: tcp, host: 127.0.0.1, port: ${device} }
    devices:
      - name: plc
        unit: 1
        tags: [ { name: order, address: "holding:0", type: uint32, every: 200ms, writable: { min: 0, max: 100000 } } ]
uplinks:
  - name: cloud
    type: mqtt
    url: "mqtt://127.0.0.1:${upstream}"
    select: [ none/at/all ]
    topic: "up/{gateway}/{topic}"
    accept: [ { from: "acme/{gateway}/cmd/#", to: "cmd/#" }, { from: "acme/plans/#", to: "plans/#" } ]
`;

type Kind = "good" | "expired" | "retained";
const kindOf = (n: number): Kind => (n % 10 === 3 ? "expired" : n % 10 === 7 ? "retained" : "good");
const idOf = (n: number) => `order-${n}`;

interface Body {
  readonly id: string;
  readonly ok: boolean;
  readonly unknown?: boolean;
  readonly values?: { readonly order?: { readonly readBack?: number } };
}

/** What arrived at the broker: per command, the records that answer it, and the answers on the response topic. */
class Answers {
  readonly results = new Map<string, Map<string, Body>>();
  readonly answers = new Map<string, number>();
  wrongCorrelation = 0;

  take(topic: string, payload: Buffer, packet: IPublishPacket): void {
    const body = JSON.parse(payload.toString("utf8")) as Body;
    if (topic === "planner/answers") {
      this.answers.set(body.id, (this.answers.get(body.id) ?? 0) + 1);
      if (packet.properties?.correlationData?.toString() !== body.id) this.wrongCorrelation++;
      return;
    }
    const record = String(packet.properties?.userProperties?.["id"]);
    const records = this.results.get(body.id) ?? new Map<string, Body>();
    this.results.set(body.id, records.set(record, body));
  }
}

async function client(port: number, clientId: string): Promise<MqttClient> {
  const made = await connectAsync(`mqtt://127.0.0.1:${port}`, { protocolVersion: 5, clientId });
  made.on("error", () => {});
  clients.push(made);
  return made;
}

async function order(planner: MqttClient, n: number): Promise<void> {
  const expires = kindOf(n) === "expired" ? Date.now() - 1000 : Date.now() + 3_600_000;
  const payload = JSON.stringify({ id: idOf(n), expires, values: { order: n } });
  const retain = kindOf(n) === "retained";
  const properties = { responseTopic: "planner/answers", correlationData: Buffer.from(idOf(n)) };
  await planner.publishAsync("acme/kill/cmd/plc/write", payload, { qos: 1, retain, properties });
  await planner.publishAsync(`acme/plans/${n}`, String(n), { qos: 1 });
}

/** The line's session on the gateway's own broker; what waits in it comes at once. */
async function line(port: number, heard: number[]): Promise<MqttClient> {
  const options = { protocolVersion: 4 as const, clientId: "line", clean: false };
  const made = connect(`mqtt://127.0.0.1:${port}`, options);
  made.on("message", (_topic, payload) => heard.push(Number(payload.toString())));
  made.on("error", () => {});
  await new Promise<void>((resolve) => made.once("connect", () => resolve()));
  return made;
}

describe("SIGKILL and cut links while commands come down", () => {
  it(`loses none of ${COMMANDS}, writes none twice, answers each once (seed ${random.seed})`, {
    timeout: COMMANDS * 1500 + 120_000,
  }, async () => {
    broker = await mosquitto(join(home.path, "mosquitto"));
    link = new Cutter(broker.port);
    const cable = link;
    const [device, local, upstream] = [await plc.listen(), await freePort(), await cable.listen()];
    const file = join(home.path, "millrace.yaml");
    writeFileSync(file, config(local, upstream, device));
    plc.delayMs = () => random.whole(0, 15);
    const answers = new Answers();
    const listener = await client(broker.port, "listener");
    listener.on("message", (topic, payload, packet) => answers.take(topic, payload, packet));
    await listener.subscribeAsync(["planner/answers", "up/kill/cmd/plc/result"], { qos: 1 });
    const planner = await client(broker.port, "planner");

    const first = await startGateway(file);
    await first.line(/accepting what comes down/);
    const plans: number[] = [];
    const absent = await line(local, plans);
    await absent.subscribeAsync("plans/#", { qos: 1 });
    await absent.endAsync();
    await first.stop("SIGKILL");
    let kills = 1;
    for (let next = 1; next <= COMMANDS; ) {
      const gateway = await startGateway(file);
      if (random.whole(0, 2) > 0) await gateway.line(/uplink connected/);
      for (let n = 0; n < PER_LIFE && next <= COMMANDS; n++, next++) await order(planner, next);
      await pause(random.whole(0, 150));
      if (random.whole(0, 2) === 0) {
        cable.cut();
        await pause(random.whole(0, 300));
        cable.mend();
        await pause(random.whole(0, 2000));
      } else await pause(random.whole(0, 250));
      await gateway.stop("SIGKILL");
      kills++;
    }
    const gateway = await startGateway(file);
    const numbers = Array.from({ length: COMMANDS }, (_, n) => n + 1);
    const open = () => numbers.filter((n) => !answers.results.has(idOf(n)) || !answers.answers.has(idOf(n)));
    await until("all answered upstream", () => open().length === 0, 60_000).catch(() => {});
    const back = await line(local, plans);
    clients.push(back);
    await until("all plans at the line", () => numbers.every((n) => plans.includes(n)), 20_000).catch(() => {});
    // Whatever would still be written or told twice has a moment for it.
    await pause(1500);
    const stopped = await gateway.stop("SIGTERM");

    const bodies = numbers.flatMap((n) => [...(answers.results.get(idOf(n))?.values() ?? [])]);
    const unknown = bodies.filter((body) => body.unknown === true);
    const found = {
      lost: numbers.filter((n) => !answers.results.has(idOf(n))),
      notToTheResponseTopic: numbers.filter((n) => !answers.answers.has(idOf(n))),
      writtenTwice: numbers.filter((n) => (plc.written.get(n) ?? 0) > 1),
      forbidden: numbers.filter((n) => kindOf(n) !== "good" && plc.written.has(n)),
      answeredTwice: numbers.filter((n) => (answers.results.get(idOf(n))?.size ?? 0) > 1),
      wrong: numbers.filter((n) => {
        const [body] = answers.results.get(idOf(n))?.values() ?? [];
        return body !== undefined && body.unknown !== true && body.ok !== plc.written.has(n);
      }),
      notReadBack: unknown.filter(({ values }) => values?.order?.readBack === undefined),
      wrongCorrelation: answers.wrongCorrelation,
      plansLost: numbers.filter((n) => !plans.includes(n)),
      plansOutOfOrder: firstOf(plans).filter((n, at, all) => at > 0 && n < (all[at - 1] ?? 0)),
    };
    const counts = Object.entries(found).map(([name, one]) => [name, Array.isArray(one) ? one.length : one]);
    const ok = bodies.filter((body) => body.ok).length;
    console.log(
      JSON.stringify({
        ...{ suite: "accept-kills", seed: random.seed, commands: COMMANDS, kills, cuts: cable.cuts },
        ...{ written: plc.written.size, ok, unknown: unknown.length, refused: bodies.length - ok - unknown.length },
        ...{ ...Object.fromEntries(counts), plansTwice: plans.length - new Set(plans).size },
      }),
    );
    expect(found).toEqual({
      ...{ lost: [], notToTheResponseTopic: [], writtenTwice: [], forbidden: [], answeredTwice: [], wrong: [] },
      ...{ notReadBack: [], wrongCorrelation: 0, plansLost: [], plansOutOfOrder: [] },
    });
    expect(stopped).toBe(0);
  });
});

function firstOf(numbers: readonly number[]): number[] {
  return [...new Set(numbers)];
}
