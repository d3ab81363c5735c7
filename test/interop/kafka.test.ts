import { join } from "node:path";
import { connectAsync, connect as openClient } from "mqtt";
import { afterAll, describe, expect, it } from "vitest";
import { Cutter } from "../support/cutter.ts";
import { KAFKA_VERSION, type KafkaServer, kafkaServer } from "../support/kafka.ts";
import { MissingJars } from "../support/maven.ts";
import { millrace, until } from "../support/processes.ts";
import { areThere, publish, UplinkRig } from "../support/uplink-rig.ts";

/**
 * The gateway's own process into Apache Kafka: records from a local client, the server killed twice and the gateway once in the middle,
 * the link cut once, and what a consumer gets.
 */

const RECORDS = Number(process.env["MILLRACE_RECORDS"] ?? 8_000);
const WINDOW = 2000;
const rig = new UplinkRig("kafka", { name: "kafka", type: "kafka" });
const { cleanUp } = rig;
const configOf = (name: string, uplink: object) => rig.configOf(name, uplink);
const running = (file: string) => rig.running(file);
afterAll(() => rig.end());

let known: Promise<KafkaServer | undefined> | undefined;
/** One for all tests: it takes long to start. Undefined where its jars cannot be had: said, and skipped. */
function server(): Promise<KafkaServer | undefined> {
  known ??= kafkaServer(join(rig.path, "server"), "message.max.bytes=100000\n").then(
    (started) => {
      cleanUp.push(() => started.stop());
      process.stdout.write(`Apache Kafka ${KAFKA_VERSION}\n`);
      return started;
    },
    (error: unknown) => {
      if (!(error instanceof MissingJars)) throw error;
      process.stdout.write(`skipped: ${error.message}\n`);
      return undefined;
    },
  );
  return known;
}

interface Taken {
  readonly key: string;
  readonly n: number;
  readonly id: string;
}

/** All records of a topic, each partition in its order. */
async function taken(kafka: KafkaServer, topic: string, least: number): Promise<readonly Taken[]> {
  const got: Taken[] = [];
  const consumer = kafka.client().consumer({ groupId: `reader-${topic}` });
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  await consumer.run({
    eachMessage: ({ message: { key, value, headers } }) => {
      const id = headers?.["id"]?.toString();
      if (id !== undefined) got.push({ key: String(key), n: Number(value?.toString()), id });
      return Promise.resolve();
    },
  });
  await until(`${least} records`, () => areThere(got, least), 120_000);
  await consumer.disconnect();
  return got;
}

describe("Kafka", () => {
  it("gets every record, in order, through kills of the server and of the gateway and a cut of the link", async ({
    skip,
  }) => {
    const kafka = await server();
    if (kafka === undefined) return skip();
    const link = new Cutter(Number(kafka.broker.split(":")[1]));
    const port = await link.listen();
    cleanUp.push(() => link.stop());
    // The brokers name themselves: only what is asked first goes over the link.
    const brokers = [`127.0.0.1:${port}`, kafka.broker];
    const { file, local } = await configOf("kills", {
      brokers,
      kafkaTopic: "records",
      declare: true,
      ackTimeout: "5s",
    });
    let gateway = await running(file);
    const part = Math.floor(RECORDS / 4);
    await publish(local, 0, part);
    // In the midst of both.
    await Promise.all([publish(local, part, 2 * part), kafka.restart()]);
    link.cut();
    await publish(local, 2 * part, 3 * part);
    link.mend();
    await gateway.stop("SIGKILL");
    gateway = await running(file);
    await Promise.all([publish(local, 3 * part, RECORDS), kafka.restart()]);
    const got = await taken(kafka, "records", RECORDS);
    await gateway.stop();

    const missing = RECORDS - new Set(got.map(({ n }) => n)).size;
    const duplicates = got.length - new Set(got.map(({ id }) => id)).size;
    expect(missing).toBe(0);
    // A window for each of the ends.
    expect(duplicates).toBeLessThanOrEqual(4 * WINDOW);
    const seen = new Set<string>();
    const last = new Map<string, number>();
    for (const { key, n, id } of got) {
      if (seen.has(id)) continue;
      seen.add(id);
      expect(key).toBe(`plant/line-${n % 4}`);
      expect(n).toBeGreaterThan(last.get(key) ?? -1);
      last.set(key, n);
    }
    process.stdout.write(`kafka: ${RECORDS} records, missing ${missing}, duplicates ${duplicates}, in order per key\n`);
  }, 300_000);

  it("gives plans to a line that is away, none lost, in order, over kills of the gateway", async ({ skip }) => {
    const kafka = await server();
    if (kafka === undefined) return skip();
    const admin = kafka.client().admin();
    await admin.connect();
    await admin.createTopics({ topics: [{ topic: "plan", numPartitions: 3 }] });
    await admin.disconnect();
    const accept = [{ topic: "plan", from: "plan/#" }];
    const uplink = { brokers: [kafka.broker], kafkaTopic: "up", declare: true, accept };
    const { file, local } = await configOf("down", uplink);
    let gateway = await running(file);
    await gateway.line(/accepting what comes down/, 60_000);
    const session = { clientId: "line-1", clean: false, reconnectPeriod: 0 };
    const line = await connectAsync(`mqtt://127.0.0.1:${local}`, session);
    await line.subscribeAsync("plan/line-1", { qos: 1 });
    await line.endAsync();
    const producer = kafka.client().producer();
    await producer.connect();
    for (let n = 0; n < 200; n++) {
      await producer.send({ topic: "plan", messages: [{ key: "line-1", value: `${n}` }] });
      if (n % 100 !== 60) continue;
      // In the midst of them.
      await gateway.stop("SIGKILL");
      gateway = await running(file);
    }
    await producer.disconnect();
    const got: number[] = [];
    const back = openClient(`mqtt://127.0.0.1:${local}`, session);
    back.on("message", (_, payload) => got.push(Number(payload.toString())));
    cleanUp.push(() => back.endAsync(true));
    // The group waits for the member that was killed, as long as its session.
    await until("all plans at the line", () => new Set(got).size >= 200, 120_000);
    expect([...new Set(got)]).toEqual(Array.from({ length: 200 }, (_, n) => n));
    await gateway.stop();
    process.stdout.write(`kafka: 200 plans down over 2 kills, missing 0, twice ${got.length - 200}, in order\n`);
  }, 240_000);

  it("that refuses, that has no such topic, that does not know us: each says what to do, and nothing is lost", async ({
    skip,
  }) => {
    const kafka = await server();
    if (kafka === undefined) return skip();
    const admin = kafka.client().admin();
    await admin.connect();
    await admin.createTopics({ topics: [{ topic: "small", numPartitions: 1 }] });
    await admin.disconnect();
    const sasl = (password: string) => ({ mechanism: "scram-sha-256", username: "gw", password: { env: password } });
    const cases: [string, object, RegExp][] = [
      ["missing", { brokers: [kafka.broker], kafkaTopic: "nobody" }, /nobody.*make the topic, or set declare: true/],
      [
        "password",
        { brokers: [kafka.secured], kafkaTopic: "small", sasl: sasl("WRONG") },
        /check sasl.mechanism, sasl/,
      ],
      ["large", { brokers: [kafka.secured], kafkaTopic: "small", sasl: sasl("RIGHT") }, /1 dead letters/],
    ];
    const said: string[] = [];
    for (const [name, options, text] of cases) {
      const { file, local, http } = await configOf(name, options);
      const gateway = millrace(["run", "-c", file], { WRONG: "not-it", RIGHT: "gw-secret" });
      cleanUp.push(() => gateway.stop());
      await gateway.line(/"msg":"gateway started"/, 30_000);
      // More than the broker takes, among others that it does.
      await publish(local, 0, 20, (n) => (name === "large" && n === 7 ? "x".repeat(150_000) : `${n}`));
      let shown = "";
      const status = async () => {
        const told = millrace(["status", "--url", `http://127.0.0.1:${http}`]);
        await told.exited;
        shown = told.lines.join("\n");
        return text.test(shown) || gateway.lines.some((line) => text.test(line));
      };
      await until(`${name}: ${text}`, status, 60_000).catch((error: unknown) => {
        throw new Error(`${error}\n${shown}\n${gateway.lines.slice(-8).join("\n")}`);
      });
      expect(gateway.lines.join("\n")).not.toMatch(/not-it|gw-secret/);
      if (name === "large") expect(new Set((await taken(kafka, "small", 19)).map(({ n }) => n)).size).toBe(19);
      said.push(name);
      await gateway.stop();
    }
    expect(said).toEqual(cases.map(([name]) => name));
    process.stdout.write(`kafka: told with its cure: ${said.join(", ")}\n`);
  }, 240_000);
});
