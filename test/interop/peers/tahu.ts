import { Buffer } from "node:buffer";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { needProgram, Process, root } from "../../support/processes.ts";

const JARS = [
  "org.eclipse.tahu:tahu-core:1.0.21",
  "com.google.protobuf:protobuf-java:3.25.8",
  "com.fasterxml.jackson.core:jackson-annotations:2.19.2",
  "org.slf4j:slf4j-api:2.0.17",
  "org.slf4j:slf4j-nop:2.0.17",
];
const HOST_JARS = [
  "org.eclipse.tahu:tahu-host:1.0.21",
  "org.eclipse.paho:org.eclipse.paho.client.mqttv3:1.2.5",
  "com.fasterxml.jackson.core:jackson-databind:2.19.2",
  "com.fasterxml.jackson.core:jackson-core:2.19.2",
];
const lib = join(tmpdir(), "millrace-interop", "tahu-1.0.21");

/** Eclipse Tahu 1.0.21 in a process of its own. */
export interface Tahu {
  /** What it makes of a payload, and the bytes in which it says the same. Aliases are those of the births it has read. */
  read(payload: Uint8Array): Promise<{ text: string; again: Uint8Array }>;
  stop(): Promise<unknown>;
}

/** Undefined where Java, Maven or Maven Central is not at hand: said, and skipped. */
export async function startTahu(): Promise<Tahu | undefined> {
  try {
    return tahuOf(await program("TahuPeer.java", JARS, []));
  } catch (error) {
    console.warn(`skipped: Eclipse Tahu needs Java 17, Maven and Maven Central: ${error}`);
    return undefined;
  }
}

/** Its host application on a server of this machine: `TahuHost.java` says what it tells and takes. */
export function startTahuHost(port: number, hostId: string): Promise<Process> {
  return program("TahuHost.java", [...JARS, ...HOST_JARS], [String(port), hostId]);
}

async function program(source: string, jars: readonly string[], args: readonly string[]): Promise<Process> {
  const java = needProgram("java", "openjdk-17-jdk-headless");
  mkdirSync(lib, { recursive: true });
  for (const jar of jars) {
    const [, name, version] = jar.split(":");
    if (existsSync(join(lib, `${name}-${version}.jar`))) continue;
    const copy = ["-q", "-B", "dependency:copy", `-Dartifact=${jar}`, `-DoutputDirectory=${lib}`];
    execFileSync(needProgram("mvn", "maven"), copy, { stdio: "pipe", cwd: lib, timeout: 240_000 });
  }
  const path = join(root, "test/interop/peers", source);
  const started = new Process(java, ["-cp", join(lib, "*"), path, ...args], { stdin: true });
  await started.line(/^ready$/, 60_000);
  return started;
}

function tahuOf(peer: Process): Tahu {
  let asked = 0;
  return {
    async read(payload) {
      const mine = ++asked;
      peer.tell(Buffer.from(payload).toString("hex"));
      for (let waited = 0; peer.lines.length <= mine; waited++) {
        if (waited > 10_000 || !peer.running) throw new Error("no answer from Tahu");
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      const [text = "", hex = ""] = (peer.lines[mine] ?? "").split("\t");
      return { text, again: Uint8Array.from(Buffer.from(hex, "hex")) };
    },
    stop: () => peer.stop(),
  };
}
