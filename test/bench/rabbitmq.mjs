// Drain of a backlog of 200-byte messages into Debian's RabbitMQ, a quorum queue: from disk through forwarder and uplink, against
// bare amqplib from memory with the same window and properties.
//   --messages N --rounds N
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "amqplib";
import { answers, compare, freePort, launch, median, root, rounds, scratch, short } from "./support.mjs";

const BIN = "/usr/lib/rabbitmq/bin";
const BYTES = 200;
const WINDOW = 500;
const number = (name, fallback) => Number(process.argv[process.argv.indexOf(`--${name}`) + 1] || fallback);
const MESSAGES = process.argv.includes("--messages") ? number("messages", 0) : short ? 20_000 : 100_000;
const ROUNDS = process.argv.includes("--rounds") ? number("rounds", 0) : short ? 1 : rounds;

/** RabbitMQ in a folder of its own, with its name server, on loopback. */
async function rabbit(home) {
  const [port, dist, epmd] = [await freePort(), await freePort(), await freePort()];
  const file = (name, text) => {
    writeFileSync(join(home, name), text);
    return join(home, name);
  };
  const env = {
    HOME: home,
    RABBITMQ_NODENAME: `bench${port}@localhost`,
    RABBITMQ_CONFIG_FILE: file("rabbitmq.conf", `listeners.tcp.1 = 127.0.0.1:${port}\n`),
    RABBITMQ_ADVANCED_CONFIG_FILE: file("advanced.config", "[{kernel,[{inet_dist_use_interface,{127,0,0,1}}]}].\n"),
    RABBITMQ_ENABLED_PLUGINS_FILE: file("enabled_plugins", "[].\n"),
    RABBITMQ_MNESIA_BASE: join(home, "mnesia"),
    RABBITMQ_LOG_BASE: join(home, "log"),
    RABBITMQ_PID_FILE: join(home, "pid"),
    RABBITMQ_DIST_PORT: String(dist),
    RABBITMQ_CONF_ENV_FILE: "/dev/null",
    ERL_EPMD_ADDRESS: "127.0.0.1",
    ERL_EPMD_PORT: String(epmd),
  };
  const names = launch("epmd", ["-port", String(epmd), "-address", "127.0.0.1"], env);
  await answers(epmd);
  const server = launch(join(BIN, "rabbitmq-server"), [], env);
  await server.line(/Starting broker\.\.\. completed/, 120_000);
  return {
    url: `amqp://127.0.0.1:${port}`,
    async stop() {
      await launch(join(BIN, "rabbitmqctl"), ["stop", join(home, "pid")], env).exited;
      await server.stop("SIGKILL");
      await names.stop("SIGKILL");
    },
  };
}

/** An exchange with an empty quorum queue, for one run. */
async function target(url, name) {
  const model = await connect(url);
  const channel = await model.createChannel();
  await channel.assertExchange(name, "topic", { durable: true });
  await channel.assertQueue(name, { durable: true, arguments: { "x-queue-type": "quorum" } });
  await channel.bindQueue(name, name, "#");
  return async () => {
    await channel.deleteQueue(name);
    await model.close();
  };
}

export async function run() {
  if (!existsSync(join(BIN, "rabbitmq-server"))) {
    console.log("skipped: RabbitMQ is missing: apt-get install rabbitmq-server");
    return "skipped";
  }
  const home = scratch("rabbitmq");
  mkdirSync(join(home.path, "server"));
  const server = await rabbit(join(home.path, "server"));
  const cpu = { ours: [], bare: [] };
  let runs = 0;
  const side = async (which, args) => {
    const name = `bench-${++runs}`;
    const remove = await target(server.url, name);
    const script = which === "ours" ? "drain-uplink.mjs" : "drain-amqplib.mjs";
    const process_ = launch(process.execPath, [join(root, "test/bench", script), ...args(name).map(String)]);
    const rate = Number((await process_.line(/^rate /, 300_000)).split(" ")[1]);
    await process_.exited;
    const used = process_.lines.find((line) => line.startsWith("cpu "))?.split(" ")[1];
    cpu[which].push((Number(used) / MESSAGES) * 100);
    await remove();
    return rate;
  };
  const ours = () =>
    side("ours", (exchange) => [
      "rabbitmq",
      JSON.stringify({ url: server.url, exchange, inFlight: WINDOW }),
      MESSAGES,
      BYTES,
    ]);
  const bare = () => side("bare", (exchange) => [server.url, exchange, WINDOW, MESSAGES, BYTES]);
  try {
    const what = `drain of ${MESSAGES.toLocaleString("en")} messages into RabbitMQ, window ${WINDOW}`;
    const result = await compare(what, "msg/s", "millrace", ours, "bare amqplib", bare, ROUNDS);
    console.log(
      `CPU seconds of 100,000 messages: millrace ${median(cpu.ours).toFixed(2)}, bare amqplib from memory ${median(cpu.bare).toFixed(2)}`,
    );
    return result;
  } finally {
    await server.stop();
    home.remove();
  }
}
if (process.argv[1] === new URL(import.meta.url).pathname) await run();
