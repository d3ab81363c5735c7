// Drain of a backlog of 200-byte messages into Debian's mosquitto: from disk through forwarder and MQTT uplink, against
// bare mqtt.js from memory with the same window, and against mosquitto's own bridge with the same backlog.
//   --messages N --rounds N
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { answers, compare, freePort, launch, median, root, rounds, scratch, short } from "./support.mjs";

function option(name, fallback) {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? fallback : Number(process.argv[at + 1]);
}
const MESSAGES = option("messages", short ? 20_000 : 200_000);
const ROUNDS = option("rounds", rounds);
const BYTES = 200;
const WINDOWS = short ? [256] : [64, 256, 1024];
const BRIDGE_WINDOW = 256;
const MOSQUITTO = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"].find(existsSync) ?? "mosquitto";

/** A mosquitto without limits of its own; `more` is added to its configuration. */
async function mosquitto(home, name, port, more = "persistence false\n") {
  const file = join(home, `${name}.conf`);
  const text = `listener ${port} 127.0.0.1
allow_anonymous true
set_tcp_nodelay true
max_inflight_messages 0
max_queued_messages 0
log_type error
user root
${more}`;
  writeFileSync(file, text);
  const server = launch(MOSQUITTO, ["-c", file]);
  await answers(port);
  return server;
}

/** CPU seconds of 100,000 messages, of each run of a side. */
const cpu = { "drain-millrace.mjs": [], "drain-mqttjs.mjs": [] };

async function side(script, args) {
  const run = launch(process.execPath, [join(root, "test/bench", script), ...args.map(String)]);
  const rate = Number((await run.line(/^rate /)).split(" ")[1]);
  await run.exited;
  const used = run.lines.find((line) => line.startsWith("cpu "))?.split(" ")[1];
  if (used !== undefined) cpu[script].push((Number(used) / MESSAGES) * 100);
  return rate;
}

/** Runs a side against a fresh server. */
async function fresh(script, window) {
  const home = scratch("server");
  const port = await freePort();
  const server = await mosquitto(home.path, "upstream", port);
  try {
    return await side(script, [port, window, MESSAGES, BYTES]);
  } finally {
    await server.stop();
    home.remove();
  }
}

/** Rate at a subscriber of the upstream server, from the first message to the last. */
async function atSubscriber(port, drain) {
  const subscriber = launch(
    process.execPath,
    [join(root, "test/bench/drain-subscriber.mjs"), port, MESSAGES].map(String),
  );
  await subscriber.line(/^subscribed/);
  const [line] = await Promise.all([subscriber.line(/^rate /), drain()]);
  await subscriber.exited;
  return Number(line.split(" ")[1]);
}

async function millraceSeen() {
  const home = scratch("server");
  const port = await freePort();
  const server = await mosquitto(home.path, "upstream", port);
  try {
    return await atSubscriber(port, () => side("drain-millrace.mjs", [port, BRIDGE_WINDOW, MESSAGES, BYTES]));
  } finally {
    await server.stop();
    home.remove();
  }
}

/** The upstream is away while the bridging server takes the backlog; then it comes, with the subscriber there first. */
async function bridgeSeen() {
  const home = scratch("bridge");
  const [upstreamPort, bridgePort] = [await freePort(), await freePort()];
  const bridge = await mosquitto(
    home.path,
    "bridge",
    bridgePort,
    `persistence true
persistence_location ${home.path}/
connection up
address 127.0.0.1:${upstreamPort}
topic plant/# out 1
cleansession false
notifications false
restart_timeout 3
keepalive_interval 60
`,
  );
  let upstream;
  try {
    await side("drain-mqttjs.mjs", [bridgePort, BRIDGE_WINDOW, MESSAGES, BYTES]);
    upstream = await mosquitto(home.path, "upstream", upstreamPort);
    return await atSubscriber(upstreamPort, async () => {});
  } finally {
    await bridge.stop();
    await upstream?.stop();
    home.remove();
  }
}

export async function run() {
  const results = [];
  const what = `drain of ${MESSAGES.toLocaleString("en")} messages`;
  for (const window of WINDOWS) {
    const ours = () => fresh("drain-millrace.mjs", window);
    const bare = () => fresh("drain-mqttjs.mjs", window);
    results.push(await compare(`${what}, window ${window}`, "msg/s", "millrace", ours, "bare mqtt.js", bare, ROUNDS));
  }
  const [our, its] = [cpu["drain-millrace.mjs"], cpu["drain-mqttjs.mjs"]].map(median);
  console.log(
    `CPU seconds of 100,000 messages: millrace ${our.toFixed(2)}, bare mqtt.js from memory ${its.toFixed(2)}`,
  );
  results.push(
    await compare(`${what}, seen upstream`, "msg/s", "millrace", millraceSeen, "mosquitto bridge", bridgeSeen, ROUNDS),
  );
  return results;
}
if (process.argv[1] === new URL(import.meta.url).pathname) await run();
