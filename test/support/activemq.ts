import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { jarsOf } from "./maven.ts";
import { freePort, needProgram, Process, root } from "./processes.ts";

/** ActiveMQ Classic and Artemis from Maven Central, each in a process of its own on loopback. The user is gw, with gw-secret. */

const ACTIVEMQ = "org.apache.activemq";
const KINDS = {
  classic: {
    version: "6.1.7",
    program: "ClassicBroker.java",
    jars: ["activemq-broker", "activemq-amqp", "activemq-kahadb-store", "activemq-jaas"],
  },
  artemis: { version: "2.42.0", program: "ArtemisBroker.java", jars: ["artemis-server", "artemis-amqp-protocol"] },
} as const;
const START_MS = 90_000;

export interface ActiveMq {
  readonly url: string;
  readonly version: string;
  /** As a crash would end it, and again with what it had kept. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

export async function activeMq(kind: keyof typeof KINDS, folder: string): Promise<ActiveMq> {
  const { version, program, jars } = KINDS[kind];
  const artifacts = jars.map((name) => `${ACTIVEMQ}:${name}:${version}`);
  const lib = jarsOf(`${kind}-${version}`, [...artifacts, "org.slf4j:slf4j-nop:2.0.17"]);
  const java = needProgram("java", "openjdk-17-jdk-headless");
  mkdirSync(folder, { recursive: true });
  const port = await freePort();
  const source = join(root, "test/interop/peers", program);
  const start = async () => {
    const started = new Process(java, ["-Xmx300m", "-cp", join(lib, "*"), source, String(port), folder]);
    await started.line(/^ready$/, START_MS);
    return started;
  };
  let server = await start();
  return {
    url: `amqp://127.0.0.1:${port}`,
    version,
    async restart() {
      await server.stop("SIGKILL");
      server = await start();
    },
    async stop() {
      await server.stop("SIGKILL");
    },
  };
}
