import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { connect } from "mqtt";
import { afterAll, expect, it } from "vitest";
import { CountingPlc } from "../support/counting-plc.ts";
import { postgres } from "../support/postgres.ts";
import { freePort, Process, root, scratch, startGateway, until } from "../support/processes.ts";
import { rabbitMq } from "../support/rabbitmq.ts";
import { Random, seedOf } from "../support/random.ts";

/**
 * Device data into a database: a PLC and a client that publishes, through the gateway and RabbitMQ, by the consumer of examples/jobs into
 * PostgreSQL. Gateway, RabbitMQ, consumer and database are killed, one after the other in random order.
 */
const MESSAGES = Number(process.env["MILLRACE_RECORDS"] ?? 2000);
const random = new Random(seedOf(process.env["MILLRACE_SEED"]));
const home = scratch("collection");
const cleanUp: (() => Promise<unknown>)[] = [];
afterAll(async () => {
  for (const step of cleanUp.reverse()) await step();
  home.remove();
});

const config = (data: string, local: number, http: number, plc: number, rabbit: number) => `
gateway: { id: shop-1, dataDir: ${data} }
queue: { minFree: 16MiB }
broker: { listeners: [ { port: ${local} } ] }
http: { port: ${http} }
capture: [ { topics: ["plant/#"], stream: events } ]
links:
  - name: plc-1
    driver: modbus
    transport: { type: tcp, host: 127.0.0.1, port: ${plc} }
    devices:
      - name: press-1
        unit: 1
        topic: line-1/press-1
        tags:
          - { name: oil, address: "holding:10", type: uint16, every: 100ms }
          - { name: force, address: "holding:11", type: uint16, every: 100ms }
uplinks:
  - { name: database, type: rabbitmq, url: "amqp://127.0.0.1:${rabbit}", exchange: records, declare: true }
`;

it(`collection: the database has each record once, after kills on both sides (seed ${random.seed})`, async () => {
  const [rabbit, database] = await Promise.all([rabbitMq(join(home.path, "rabbit")), postgres()]);
  cleanUp.push(
    () => rabbit.stop(),
    () => database.stop(),
  );
  const plc = new CountingPlc();
  const device = await plc.listen();
  cleanUp.push(() => plc.stop());
  const [local, http] = [await freePort(), await freePort()];
  const file = join(home.path, "millrace.yaml");
  writeFileSync(file, config(join(home.path, "data"), local, http, device, rabbit.port));
  let gateway = await startGateway(file);
  cleanUp.push(() => gateway.stop());
  const env = { AMQP_URL: `amqp://127.0.0.1:${rabbit.port}`, QUEUE: "records", DATABASE_URL: database.url };
  const consume = () => new Process(process.execPath, [join(root, "examples/jobs/consumer.mjs")], { env, cwd: root });
  let consumer = consume();
  cleanUp.push(() => consumer.stop("SIGKILL"));

  // Sends again what was not acknowledged, as every client does that keeps its messages.
  const client = connect(`mqtt://127.0.0.1:${local}`, { clientId: "sensor", clean: false, reconnectPeriod: 100 });
  client.on("error", () => {});
  cleanUp.push(() => client.endAsync(true));
  let acknowledged = 0;
  const publishing = (async () => {
    for (let n = 0; n < MESSAGES; n++) {
      client.publish("plant/sensor", JSON.stringify({ n }), { qos: 1 }, (error) => {
        if (!error) acknowledged++;
      });
      if (n % 20 === 19) await pause(random.whole(20, 120));
    }
  })();
  const kills = ["gateway", "rabbit", "consumer", "database", "gateway", "consumer"];
  for (let left = kills.length; left > 0; left--) {
    await pause(random.whole(500, 1500));
    const [what] = kills.splice(random.whole(0, left - 1), 1);
    if (what === "gateway") {
      await gateway.stop("SIGKILL");
      await pause(random.whole(0, 500));
      gateway = await startGateway(file);
    } else if (what === "consumer") {
      await consumer.stop("SIGKILL");
      consumer = consume();
    } else await (what === "rabbit" ? rabbit : database).restart();
  }
  await publishing;
  await until("every PUBACK", () => acknowledged === MESSAGES, 60_000);
  const one = async (sql: string) => Number(Object.values((await database.ask(sql))[0] ?? {})[0]);
  const distinct = `SELECT count(DISTINCT body->>'n') FROM records WHERE topic = 'plant/sensor'`;
  await until("all in the database", async () => (await one(distinct).catch(() => 0)) >= MESSAGES, 120_000);
  const check = readFileSync(join(root, "examples/jobs/check.sql"), "utf8");
  // What was polled meanwhile is still on its way; the chain is whole whenever it is looked at.
  await gateway.stop();
  const missing = await one(check);
  const told = (await database.ask("SELECT reason, sum(count) AS n FROM gaps GROUP BY reason")) as { reason: string }[];
  const rows = await one("SELECT count(*) FROM records");
  const twice = await one("SELECT count(*) - count(DISTINCT (gateway, stream, epoch, seq)) FROM records");
  const samples = await one("SELECT count(*) FROM samples");
  process.stdout.write(
    `collection: ${MESSAGES} acknowledged, ${await one(distinct)} in PostgreSQL ${database.version}; ${rows} records, ${samples} samples, ` +
      `missing ${missing}, twice ${twice}; gaps told: ${JSON.stringify(told)}\n`,
  );
  expect(await one(distinct)).toBe(MESSAGES);
  expect([missing, twice]).toEqual([0, 0]);
  expect(samples).toBeGreaterThan(20);
  // Only what a kill cut off before its fsync may be lost, and nothing that was acknowledged.
  expect(told.filter(({ reason }) => reason !== "power-loss")).toEqual([]);
}, 300_000);
