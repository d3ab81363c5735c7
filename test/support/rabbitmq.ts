import { execFile } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { freePort, Process, until } from "./processes.ts";

/** Debian's RabbitMQ in a folder of its own, on loopback, without its service user. */

const BIN = "/usr/lib/rabbitmq/bin";
const START_MS = 60_000;

export interface RabbitMq {
  readonly port: number;
  /** Of MQTT, where its plugin was asked for. */
  readonly mqttPort: number;
  readonly version: string;
  /** Its management command. */
  ctl(...args: string[]): Promise<string>;
  /**
   * Stops it in order, and starts it again with what it had kept. Not by SIGKILL: of 3.10.8 that leaves a quorum queue without a leader
   * now and then, for good, and every consumer is told 541 INTERNAL_ERROR.
   */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** @param plugins such as `rabbitmq_mqtt`, which come with it. */
export async function rabbitMq(folder: string, plugins: readonly string[] = []): Promise<RabbitMq> {
  if (!existsSync(join(BIN, "rabbitmq-server")))
    throw new Error("RabbitMQ is missing: apt-get install rabbitmq-server");
  mkdirSync(folder, { recursive: true });
  const [port, dist, epmd, mqttPort] = [await freePort(), await freePort(), await freePort(), await freePort()];
  const mqtt = plugins.includes("rabbitmq_mqtt") ? `mqtt.listeners.tcp.1 = 127.0.0.1:${mqttPort}\n` : "";
  const file = (name: string, text: string) => {
    const path = join(folder, name);
    writeFileSync(path, text);
    return path;
  };
  const env = {
    HOME: folder,
    RABBITMQ_NODENAME: `test${port}@localhost`,
    RABBITMQ_CONFIG_FILE: file("rabbitmq.conf", `listeners.tcp.1 = 127.0.0.1:${port}\n${mqtt}`),
    RABBITMQ_ADVANCED_CONFIG_FILE: file("advanced.config", "[{kernel,[{inet_dist_use_interface,{127,0,0,1}}]}].\n"),
    RABBITMQ_ENABLED_PLUGINS_FILE: file("enabled_plugins", `[${plugins.join(",")}].\n`),
    RABBITMQ_MNESIA_BASE: join(folder, "mnesia"),
    RABBITMQ_LOG_BASE: join(folder, "log"),
    RABBITMQ_PID_FILE: join(folder, "pid"),
    RABBITMQ_DIST_PORT: String(dist),
    RABBITMQ_CONF_ENV_FILE: "/dev/null",
    ERL_EPMD_ADDRESS: "127.0.0.1",
    ERL_EPMD_PORT: String(epmd),
  };
  const run = promisify(execFile);
  const all = { ...process.env, ...env };
  const ctl = async (...args: string[]) => (await run(join(BIN, "rabbitmqctl"), args, { env: all })).stdout;
  // Ours, so that nothing is left behind: the server would start one that stays.
  const names = new Process("epmd", ["-port", String(epmd), "-address", "127.0.0.1"], { env });
  let server = await start();
  async function start(): Promise<Process> {
    const started = new Process(join(BIN, "rabbitmq-server"), [], { env });
    const ready = async () =>
      started.running &&
      (await ctl("await_startup").then(
        () => true,
        () => false,
      ));
    await until("RabbitMQ", ready, START_MS);
    return started;
  }
  return {
    port,
    mqttPort,
    version: (await ctl("version")).trim(),
    ctl,
    async restart() {
      await ctl("stop", join(folder, "pid"));
      await server.exited;
      server = await start();
    },
    async stop() {
      if (server.running) await ctl("stop", join(folder, "pid")).catch(() => {});
      await server.stop("SIGKILL");
      await names.stop("SIGKILL");
    },
  };
}
