// Drain of a backlog of 200-byte messages into Apache Kafka: from disk through forwarder and uplink, against bare kafkajs from memory
// with the same requests, one under way at a time.
//   --messages N --rounds N
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import kafkajs from "kafkajs";
import { jars } from "./maven.mjs";
import { answers, compare, freePort, launch, median, root, rounds, scratch, short } from "./support.mjs";

const VERSION = "4.1.1";
const BYTES = 200;
const BATCH = 500;
const number = (name, fallback) => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? fallback : Number(process.argv[at + 1]);
};
const MESSAGES = number("messages", short ? 30_000 : 100_000);
const ROUNDS = number("rounds", short ? 1 : rounds);

/** One node on loopback, which flushes as it does by default. */
async function server(lib, home) {
  const [port, controller] = [await freePort(), await freePort()];
  const file = join(home, "server.properties");
  writeFileSync(
    file,
    `process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:${controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controller}
advertised.listeners=PLAINTEXT://127.0.0.1:${port}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=${join(home, "data")}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
`,
  );
  const java = ["-cp", join(lib, "*")];
  execFileSync("java", [...java, "kafka.tools.StorageTool", "format", "-t", "4L6g3nShT-eMCtK--X86sw", "-c", file], {
    stdio: "pipe",
  });
  const running = launch("java", ["-Xmx400m", ...java, "kafka.Kafka", file]);
  await answers(port, 90_000);
  return { broker: `127.0.0.1:${port}`, stop: () => running.stop("SIGKILL") };
}

export async function run() {
  const artifacts = [`org.apache.kafka:kafka_2.13:${VERSION}`, "org.slf4j:slf4j-nop:1.7.36"];
  const lib = jars(`kafka-${VERSION}`, artifacts);
  if (lib === undefined) {
    console.log("skipped: Kafka needs Java 17 (openjdk-17-jre-headless), maven, and Maven Central");
    return "skipped";
  }
  const home = scratch("kafka");
  const kafka = await server(lib, home.path);
  const client = new kafkajs.Kafka({
    brokers: [kafka.broker],
    logLevel: kafkajs.logLevel.NOTHING,
    retry: { retries: 20 },
  });
  const admin = client.admin();
  await admin.connect();
  const cpu = { ours: [], bare: [] };
  let runs = 0;
  const side = async (which, args) => {
    const topic = `bench-${++runs}`;
    await admin.createTopics({ waitForLeaders: true, topics: [{ topic, numPartitions: 1 }] });
    const script = which === "ours" ? "drain-uplink.mjs" : "drain-kafkajs.mjs";
    const child = launch(process.execPath, [join(root, "test/bench", script), ...args(topic).map(String)]);
    const rate = Number((await child.line(/^rate /, 300_000)).split(" ")[1]);
    await child.exited;
    const used = child.lines.find((line) => line.startsWith("cpu "))?.split(" ")[1];
    cpu[which].push((Number(used) / MESSAGES) * 100);
    await admin.deleteTopics({ topics: [topic] });
    return rate;
  };
  const options = (kafkaTopic) => JSON.stringify({ brokers: [kafka.broker], kafkaTopic, batch: { count: BATCH } });
  const ours = () => side("ours", (topic) => ["kafka", options(topic), MESSAGES, BYTES]);
  const bare = () => side("bare", (topic) => [kafka.broker, topic, BATCH, MESSAGES, BYTES]);
  try {
    const what = `drain of ${MESSAGES.toLocaleString("en")} messages into Kafka, requests of ${BATCH}`;
    const result = await compare(what, "msg/s", "millrace", ours, "bare kafkajs", bare, ROUNDS);
    console.log(
      `CPU seconds of 100,000 messages: millrace ${median(cpu.ours).toFixed(2)}, bare kafkajs from memory ${median(cpu.bare).toFixed(2)}`,
    );
    return result;
  } finally {
    await admin.disconnect();
    await kafka.stop();
    home.remove();
  }
}
if (process.argv[1] === new URL(import.meta.url).pathname) await run();
