// One side of the live-first benchmark, a process of its own: a backlog on disk, live records beside it.
//   node live-first-side.mjs <port> <order> <backlog> <bytes> <liveRate> <window>    until SIGTERM; prints "draining"
// A body begins with B, or with L and the time it was appended (Unix milliseconds with fractions).
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { root, scratch } from "./support.mjs";

const dist = process.env.BENCH_DIST ?? join(root, "dist");
const load = (path) => import(pathToFileURL(join(dist, "gateway", path)).href);
const { LevelQueue } = await load("queue/level-queue.js");
const { queueOptions } = await load("core/options/queue.js");
const { silentLogger } = await load("core/log.js");
const { noMetrics } = await load("core/metrics.js");
const { selectorOf } = await load("core/selector.js");
const { Forwarder } = await load("northbound/forwarder.js");
const { topicMapper } = await load("northbound/topics.js");
const { valuesEncoder } = await load("northbound/encoders/values.js");
const { mqttModule } = await load("northbound/mqtt/module.js");

const order = process.argv[3];
const [port, , backlog, bytes, liveRate, window] = process.argv.slice(2).map(Number);
const wall = () => performance.timeOrigin + performance.now();
const clock = { bootId: "bench", now: () => ({ wallMs: wall(), monoMs: performance.now(), clock: "synced" }) };
const home = scratch("live-first");

function record(head) {
  const payload = Buffer.alloc(bytes, " ");
  payload.write(head);
  const content = { kind: "message", topic: "plant/line-1/scan", payload, qos: 1, retain: false };
  return { taken: clock.now(), content };
}

const queue = new LevelQueue({
  dataDir: home.path,
  options: queueOptions.parse({ minFree: "16MiB" }),
  clock,
  log: silentLogger,
  metrics: noMetrics,
  machineId: "bench",
});
await queue.start();
await queue.open("cloud", { selector: selectorOf(["#"]), from: "oldest", required: true });
for (let done = 0; done < backlog; done += 1000) {
  await queue.append(
    "telemetry",
    Array.from({ length: Math.min(1000, backlog - done) }, () => record("B")),
  );
}

const options = mqttModule.schema.parse({ url: `mqtt://127.0.0.1:${port}`, inFlight: window });
const forwarder = new Forwarder({
  name: "cloud",
  queue,
  gatewayId: "bench",
  uplink: () =>
    mqttModule.create(options, { name: "cloud", gatewayId: "bench", log: silentLogger, metrics: noMetrics }),
  encoder: valuesEncoder,
  topics: topicMapper("{topic}", "bench"),
  clock,
  log: silentLogger,
  metrics: noMetrics,
  options: { order },
});
forwarder.start();

const begun = performance.now();
let made = 0;
let failed = 0;
const timer = setInterval(() => {
  const due = Math.floor(((performance.now() - begun) * liveRate) / 1000);
  for (; made < due; made += 1) {
    queue.append("telemetry", [record(`L${wall().toFixed(3)} `)]).catch(() => {
      failed += 1;
    });
  }
}, 1);
console.log("draining");
if (process.env.BENCH_TRACE) {
  setInterval(() => console.error(JSON.stringify(forwarder.status())), 500).unref();
}

process.once("SIGTERM", async () => {
  clearInterval(timer);
  await forwarder.stop();
  await queue.close();
  home.remove();
  if (failed > 0) console.error(`${failed} appends failed`);
  process.exit(failed > 0 ? 1 : 0);
});
