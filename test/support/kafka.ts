import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Kafka, logLevel } from "kafkajs";
import { jarsOf } from "./maven.ts";
import { freePort, needProgram, Process, until } from "./processes.ts";

/** Apache Kafka from Maven Central: one node, broker and controller in one (KRaft), on loopback. */

export const KAFKA_VERSION = "4.1.1";
const START_MS = 90_000;

export interface KafkaServer {
  /** Without a password. */
  readonly broker: string;
  /** The same by SASL: SCRAM-SHA-256, the user is gw with the password gw-secret. */
  readonly secured: string;
  /** For those who look from outside. */
  client(): Kafka;
  /** As a crash would end it, and again with what it had kept. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

export async function kafkaServer(folder: string, more = ""): Promise<KafkaServer> {
  const lib = jarsOf(`kafka-${KAFKA_VERSION}`, [
    `org.apache.kafka:kafka_2.13:${KAFKA_VERSION}`,
    "org.slf4j:slf4j-nop:1.7.36",
  ]);
  const java = needProgram("java", "openjdk-17-jre-headless");
  mkdirSync(folder, { recursive: true });
  const [plain, sasl, controller] = [await freePort(), await freePort(), await freePort()];
  const file = join(folder, "server.properties");
  const scram = "org.apache.kafka.common.security.scram.ScramLoginModule";
  writeFileSync(
    file,
    `process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:${controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:${plain},SASL_PLAINTEXT://127.0.0.1:${sasl},CONTROLLER://127.0.0.1:${controller}
advertised.listeners=PLAINTEXT://127.0.0.1:${plain},SASL_PLAINTEXT://127.0.0.1:${sasl}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT
inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms=SCRAM-SHA-256
listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config=${scram} required;
log.dirs=${join(folder, "data")}
num.partitions=3
auto.create.topics.enable=false
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=1
log.flush.interval.messages=1
${more}`,
  );
  const classes = ["-cp", join(lib, "*")];
  const format = ["format", "-t", "4L6g3nShT-eMCtK--X86sw", "-c", file];
  const users = ["--add-scram", "SCRAM-SHA-256=[name=gw,password=gw-secret]"];
  execFileSync(java, [...classes, "kafka.tools.StorageTool", ...format, ...users], { stdio: "pipe" });
  const client = () =>
    new Kafka({
      clientId: "outside",
      brokers: [`127.0.0.1:${plain}`],
      logLevel: logLevel.NOTHING,
      retry: { retries: 20 },
    });
  let server = await start();
  async function start(): Promise<Process> {
    const started = new Process(java, ["-Xmx400m", "-Xms100m", ...classes, "kafka.Kafka", file]);
    const ready = async () => {
      if (!started.running) throw new Error(`Kafka ended: ${started.lines.slice(-5).join(" | ")}`);
      const admin = new Kafka({
        brokers: [`127.0.0.1:${plain}`],
        logLevel: logLevel.NOTHING,
        retry: { retries: 0 },
        connectionTimeout: 500,
      }).admin();
      try {
        await admin.connect();
        await admin.listTopics();
        return true;
      } catch {
        return false;
      } finally {
        await admin.disconnect().catch(() => {});
      }
    };
    await until("Kafka", ready, START_MS);
    return started;
  }
  return {
    broker: `127.0.0.1:${plain}`,
    secured: `127.0.0.1:${sasl}`,
    client,
    async restart() {
      await server.stop("SIGKILL");
      server = await start();
    },
    async stop() {
      await server.stop("SIGKILL");
    },
  };
}
