import { join } from "node:path";
import { type ChannelModel, connect } from "amqplib";
import { connectAsync, connect as openClient } from "mqtt";
import { afterAll, describe, expect, it } from "vitest";
import { Cutter } from "../support/cutter.ts";
import { millrace, until } from "../support/processes.ts";
import { type RabbitMq, rabbitMq } from "../support/rabbitmq.ts";
import { areThere, publish, type Taken, UplinkRig } from "../support/uplink-rig.ts";

/**
 * The gateway's own process into Debian's RabbitMQ: records from a local client, the server stopped twice, the link cut and the gateway
 * killed in the middle, and what a consumer gets.
 */

const RECORDS = Number(process.env["MILLRACE_RECORDS"] ?? 8_000);
const WINDOW = 500;
const rig = new UplinkRig("rabbitmq", { name: "rabbit", type: "rabbitmq" });
const { cleanUp } = rig;
const configOf = (name: string, port: number, uplink: object) =>
  rig.configOf(name, { url: `amqp://127.0.0.1:${port}`, ...uplink });
const running = (file: string) => rig.running(file);
afterAll(() => rig.end());

let known: Promise<RabbitMq> | undefined;
/** One for all tests: it takes long to start. */
function server(): Promise<RabbitMq> {
  known ??= rabbitMq(join(rig.path, "server")).then((started) => {
    cleanUp.push(() => started.stop());
    process.stdout.write(`RabbitMQ ${started.version}\n`);
    return started;
  });
  return known;
}

/** Takes all there is out of a queue, again and again: a quorum queue has no leader for a while after a crash. */
async function drained(port: number, queue: string, least: number): Promise<readonly Taken[]> {
  const got: Taken[] = [];
  const all = () => areThere(got, least);
  const end = Date.now() + 120_000;
  while (!all()) {
    try {
      await take(port, queue, got, all);
    } catch (error) {
      if (Date.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
  }
  return got;
}

async function take(port: number, queue: string, got: Taken[], all: () => boolean): Promise<void> {
  const model = await connect(`amqp://127.0.0.1:${port}`);
  let closed = false;
  let why: unknown;
  model.on("error", (error) => {
    why = error;
  });
  model.on("close", () => {
    closed = true;
  });
  try {
    await consume(model, queue, got, () => closed || all());
  } catch (error) {
    throw new Error(`${queue}: ${error} (${why}), after ${got.length} records`);
  }
  if (closed) throw new Error(`the server closed the connection after ${got.length} records: ${why}`);
  await model.close();
}

async function consume(model: ChannelModel, queue: string, got: Taken[], over: () => boolean): Promise<void> {
  const channel = await model.createChannel();
  channel.on("error", () => {});
  await channel.prefetch(1000);
  await channel.consume(queue, (message) => {
    if (!message) return;
    channel.ack(message);
    const { messageId, deliveryMode } = message.properties;
    expect(deliveryMode).toBe(2);
    const topic = message.fields.routingKey;
    if (topic.startsWith("plant.")) got.push({ topic, n: Number(message.content.toString()), id: String(messageId) });
  });
  await until("all records, or the end of the connection", over, 120_000);
}

describe("RabbitMQ", () => {
  it("gets every record, in order, through restarts of the server, a cut and a kill of the gateway", async () => {
    const rabbit = await server();
    const link = new Cutter(rabbit.port);
    cleanUp.push(() => link.stop());
    const { file, local } = await configOf("kills", await link.listen(), { declare: true, queue: "records" });
    let gateway = await running(file);
    const part = Math.floor(RECORDS / 4);
    await publish(local, 0, part);
    // In the midst of both.
    await Promise.all([publish(local, part, 2 * part), rabbit.restart()]);
    link.cut();
    await publish(local, 2 * part, 3 * part);
    link.mend();
    await gateway.stop("SIGKILL");
    gateway = await running(file);
    await Promise.all([publish(local, 3 * part, RECORDS), rabbit.restart()]);
    const got = await drained(rabbit.port, "records", RECORDS);
    await gateway.stop();

    const missing = RECORDS - new Set(got.map(({ n }) => n)).size;
    const duplicates = got.length - new Set(got.map(({ id }) => id)).size;
    expect(missing).toBe(0);
    // A window for each of the three ends.
    expect(duplicates).toBeLessThanOrEqual(3 * WINDOW);
    const seen = new Set<string>();
    const last = new Map<string, number>();
    for (const { topic, n, id } of got) {
      if (seen.has(id)) continue;
      seen.add(id);
      expect(n).toBeGreaterThan(last.get(topic) ?? -1);
      last.set(topic, n);
    }
    process.stdout.write(
      `rabbitmq: ${RECORDS} records, missing ${missing}, duplicates ${duplicates}, in order per topic\n`,
    );
  }, 300_000);

  it("gives plans to a line that is away, none lost, in order, over kills of the gateway and a restart of the server", async () => {
    const rabbit = await server();
    const accept = [{ queue: "plans", from: "plan/#" }];
    const { file, local } = await configOf("down", rabbit.port, { declare: true, queue: "up-down", accept });
    const model = await connect(`amqp://127.0.0.1:${rabbit.port}`);
    const channel = await model.createConfirmChannel();
    await channel.assertQueue("plans", { durable: true, arguments: { "x-queue-type": "quorum" } });
    await channel.assertExchange("planning", "topic", { durable: true });
    await channel.bindQueue("plans", "planning", "plan.#");
    let gateway = await running(file);
    await gateway.line(/accepting what comes down/, 30_000);
    const session = { clientId: "line-1", clean: false, reconnectPeriod: 0 };
    const line = await connectAsync(`mqtt://127.0.0.1:${local}`, session);
    await line.subscribeAsync("plan/line-1", { qos: 1 });
    await line.endAsync();
    const order = (n: number) => channel.publish("planning", "plan.line-1", Buffer.from(`${n}`), { persistent: true });
    for (let n = 0; n < 300; n++) {
      order(n);
      if (n % 100 !== 60) continue;
      // In the midst of them.
      await gateway.stop("SIGKILL");
      gateway = await running(file);
    }
    await channel.waitForConfirms();
    await model.close();
    await rabbit.restart();
    const got: number[] = [];
    const back = openClient(`mqtt://127.0.0.1:${local}`, session);
    back.on("message", (_, payload) => got.push(Number(payload.toString())));
    cleanUp.push(() => back.endAsync(true));
    await until("all plans at the line", () => new Set(got).size >= 300, 90_000);
    expect([...new Set(got)]).toEqual(Array.from({ length: 300 }, (_, n) => n));
    await gateway.stop();
    process.stdout.write(`rabbitmq: 300 plans down over 3 kills, missing 0, twice ${got.length - 300}, in order\n`);
  }, 240_000);

  it("that refuses, that nobody listens to, that does not know us: each says what to do, and nothing is lost", async () => {
    const rabbit = await server();
    const said: string[] = [];
    const cases: [string, object, RegExp][] = [
      ["full", { declare: true, exchange: "small", maxLength: 10 }, /queue is full/],
      ["unbound", { exchange: "amq.topic" }, /no queue is bound to amq.topic for plant.line-0/],
      ["missing", { exchange: "nobody" }, /NOT_FOUND.*make the exchange, or set declare: true/],
      ["password", { username: "guest", password: { env: "WRONG" } }, /check username and password/],
    ];
    for (const [name, options, text] of cases) {
      const { file, local, http } = await configOf(name, rabbit.port, options);
      const gateway = millrace(["run", "-c", file], { WRONG: "not-it" });
      cleanUp.push(() => gateway.stop());
      await gateway.line(/"msg":"gateway started"/, 30_000);
      // A quorum queue begins to refuse some time after it is full.
      await publish(local, 0, 3000);
      let shown = "";
      const status = async () => {
        const told = millrace(["status", "--url", `http://127.0.0.1:${http}`]);
        await told.exited;
        shown = told.lines.join("\n");
        return text.test(shown) || gateway.lines.some((line) => text.test(line));
      };
      await until(`${name}: ${text}`, status, 30_000);
      expect(gateway.lines.join("\n")).not.toContain("not-it");
      said.push(name);
      await gateway.stop();
    }
    expect(said).toEqual(cases.map(([name]) => name));
    process.stdout.write(`rabbitmq: told with its cure: ${said.join(", ")}\n`);
  }, 180_000);
});
