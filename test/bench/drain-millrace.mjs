// One side of the drain benchmark, a process of its own: a backlog on disk, drained by forwarder and MQTT uplink.
//   node drain-millrace.mjs <port> <window> <messages> <bytes>    prints messages a second, by acknowledgement settled
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

const [port, window, total, bytes] = process.argv.slice(2).map(Number);
const clock = {
  bootId: "bench",
  now: () => ({ wallMs: Date.now(), monoMs: performance.now(), clock: "synced" }),
};
const home = scratch("drain");

async function openQueue() {
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
  return queue;
}

async function fill() {
  const queue = await openQueue();
  const payload = Buffer.alloc(bytes, "x");
  const content = { kind: "message", topic: "plant/line-1/scan", payload, qos: 1, retain: false };
  for (let done = 0; done < total; done += 1000) {
    const records = Array.from({ length: Math.min(1000, total - done) }, () => ({ taken: clock.now(), content }));
    await queue.append("telemetry", records);
  }
  await queue.close();
}

/** Milliseconds from the start of the forwarder until the last record is settled. */
async function drain(queue) {
  let left = total;
  let drained = () => {};
  const ended = new Promise((resolve) => {
    drained = resolve;
  });
  const settle = queue.settle.bind(queue);
  queue.settle = async (uplink, stream, seqs) => {
    await settle(uplink, stream, seqs);
    left -= seqs.length;
    if (left === 0) drained();
  };
  const options = mqttModule.schema.parse({ url: `mqtt://127.0.0.1:${port}`, inFlight: window });
  const context = { name: "cloud", gatewayId: "bench", log: silentLogger, metrics: noMetrics };
  const forwarder = new Forwarder({
    name: "cloud",
    queue,
    gatewayId: "bench",
    uplink: () => mqttModule.create(options, context),
    encoder: valuesEncoder,
    topics: topicMapper("{topic}", "bench"),
    clock,
    log: silentLogger,
    metrics: noMetrics,
  });
  const begun = performance.now();
  forwarder.start();
  await ended;
  const ms = performance.now() - begun;
  await forwarder.stop();
  return ms;
}

try {
  await fill();
  const queue = await openQueue();
  const before = process.cpuUsage();
  const ms = await drain(queue);
  const cpu = process.cpuUsage(before);
  await queue.close();
  console.error(`cpu ${Math.round((cpu.user + cpu.system) / 1000)} ms of ${Math.round(ms)} ms`);
  console.log(`rate ${(total / ms) * 1000}`);
} finally {
  home.remove();
}
