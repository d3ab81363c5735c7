import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { messageOf } from "../../gateway/core/errors.ts";
import { jarsOf, MissingJars } from "./maven.ts";
import { freePort, needProgram, Process, portAnswers, root, until } from "./processes.ts";
import { rabbitMq } from "./rabbitmq.ts";

/** MQTT servers that others wrote, each in a process of its own on loopback. The user is gw, with gw-secret. */
export interface MqttServer {
  readonly port: number;
  readonly version: string;
  /** What it speaks: 5, or 4 for 3.1.1. */
  readonly protocol: 4 | 5;
  /** As a crash would end it, and again with what it had kept; undefined where it does not keep what it acknowledged. */
  readonly restart: (() => Promise<void>) | undefined;
  stop(): Promise<void>;
}

const START_MS = 90_000;

interface JavaKind {
  readonly version: string;
  readonly program: string;
  readonly jars: readonly string[];
  readonly args?: readonly string[];
  readonly protocol: 4 | 5;
  /** Whether what it acknowledged is there after a kill. */
  readonly keeps: boolean;
}

const ACTIVEMQ = (names: readonly string[], version: string) =>
  names.map((name) => `org.apache.activemq:${name}:${version}`);

const JAVA: Readonly<Record<"hivemq" | "moquette" | "artemis" | "classic", JavaKind>> = {
  hivemq: {
    version: "2025.5",
    program: "HiveMqBroker.java",
    jars: ["com.hivemq:hivemq-community-edition-embedded:2025.5"],
    protocol: 5,
    keeps: true,
  },
  moquette: {
    version: "0.17",
    program: "MoquetteBroker.java",
    jars: ["io.moquette:moquette-broker:0.17"],
    protocol: 4,
    // Its store is written every 30 s.
    keeps: false,
  },
  artemis: {
    version: "2.42.0",
    program: "ArtemisBroker.java",
    jars: [...ACTIVEMQ(["artemis-server", "artemis-mqtt-protocol"], "2.42.0"), "org.slf4j:slf4j-nop:2.0.17"],
    args: ["MQTT"],
    protocol: 5,
    keeps: true,
  },
  classic: {
    version: "6.1.7",
    program: "ClassicBroker.java",
    jars: [
      ...ACTIVEMQ(["activemq-broker", "activemq-mqtt", "activemq-kahadb-store", "activemq-jaas"], "6.1.7"),
      "org.slf4j:slf4j-nop:2.0.17",
    ],
    args: ["mqtt"],
    protocol: 4,
    keeps: true,
  },
};

function javaServer(name: keyof typeof JAVA, folder: string): Promise<MqttServer> {
  const { version, program, jars, args = [], protocol, keeps } = JAVA[name];
  const lib = jarsOf(`mqtt-${name}-${version}`, jars);
  const java = needProgram("java", "openjdk-17-jdk-headless");
  const source = join(root, "test/interop/peers", program);
  return kept(
    folder,
    version,
    protocol,
    keeps,
    (port) => new Process(java, ["-Xmx300m", "-cp", join(lib, "*"), source, String(port), folder, ...args]),
  );
}

async function kept(
  folder: string,
  version: string,
  protocol: 4 | 5,
  keeps: boolean,
  run: (port: number) => Process,
): Promise<MqttServer> {
  mkdirSync(folder, { recursive: true });
  const port = await freePort();
  const start = async () => {
    const started = run(port);
    await started.line(/^ready$/, START_MS);
    return started;
  };
  let server = await start();
  const restart = async () => {
    await server.stop("SIGKILL");
    server = await start();
  };
  return {
    port,
    version,
    protocol,
    restart: keeps ? restart : undefined,
    async stop() {
      await server.stop("SIGKILL");
    },
  };
}

/** Built from its module with Go, and kept between runs. */
function mochi(folder: string): Promise<MqttServer> {
  const place = join(tmpdir(), "millrace-interop", "mochi-2.7.9");
  const program = join(place, "mochi");
  if (!existsSync(program)) {
    mkdirSync(place, { recursive: true });
    for (const name of ["main.go", "go.mod", "go.sum"])
      copyFileSync(join(root, "test/interop/peers/mochi", name), join(place, name));
    try {
      execFileSync("go", ["build", "-o", program, "."], { cwd: place, stdio: "pipe", timeout: 300_000 });
    } catch (error) {
      throw new MissingJars(`mochi needs Go 1.21 (apt-get install golang-go) and its modules: ${messageOf(error)}`);
    }
  }
  return kept(folder, "2.7.9", 5, false, (port) => new Process(program, [String(port), folder]));
}

async function rabbit(folder: string): Promise<MqttServer> {
  const server = await rabbitMq(folder, ["rabbitmq_mqtt"]);
  await server.ctl("add_user", "gw", "gw-secret");
  await server.ctl("set_permissions", "gw", ".*", ".*", ".*");
  return {
    port: server.mqttPort,
    version: server.version,
    protocol: 4,
    restart: () => server.restart(),
    stop: () => server.stop(),
  };
}

/** Debian's; it keeps its sessions in a file that it writes when it is told to. */
async function mosquittoServer(folder: string): Promise<MqttServer> {
  mkdirSync(folder, { recursive: true });
  const program = needProgram("mosquitto", "mosquitto");
  const users = join(folder, "users");
  execFileSync(needProgram("mosquitto_passwd", "mosquitto"), ["-c", "-b", users, "gw", "gw-secret"], { stdio: "pipe" });
  const port = await freePort();
  const file = join(folder, "mosquitto.conf");
  writeFileSync(
    file,
    `listener ${port} 127.0.0.1\nuser root\npassword_file ${users}\npersistence true\npersistence_location ${folder}/\nmax_queued_messages 0\n`,
  );
  let server = new Process(program, ["-c", file]);
  await until("mosquitto answers", () => portAnswers(port), 10_000);
  return {
    port,
    version: "",
    protocol: 5,
    // In order: by SIGKILL it loses what it had not written yet.
    async restart() {
      await server.stop();
      server = new Process(program, ["-c", file]);
      await until("mosquitto answers", () => portAnswers(port), 10_000);
    },
    async stop() {
      await server.stop("SIGKILL");
    },
  };
}

export const MQTT_SERVERS: Readonly<Record<string, (folder: string) => Promise<MqttServer>>> = {
  mosquitto: mosquittoServer,
  hivemq: (folder) => javaServer("hivemq", folder),
  artemis: (folder) => javaServer("artemis", folder),
  classic: (folder) => javaServer("classic", folder),
  moquette: (folder) => javaServer("moquette", folder),
  mochi,
  rabbitmq: rabbit,
};
