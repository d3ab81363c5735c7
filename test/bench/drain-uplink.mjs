// One side of the benchmarks of uplinks, a process of its own: a backlog on disk, drained by forwarder and uplink.
//   node drain-uplink.mjs <type> <options as JSON> <messages> <bytes>    prints messages a second, by acknowledgement settled
import { append, clock, load, noMetrics, openQueue, silentLogger } from "./queue-home.mjs";
import { scratch } from "./support.mjs";

const [type, options] = process.argv.slice(2, 4);
const [total, bytes] = process.argv.slice(4).map(Number);
const { Forwarder } = await load("northbound/forwarder.js");
const { topicMapper } = await load("northbound/topics.js");
const { valuesEncoder } = await load("northbound/encoders/values.js");
const { uplinkModules } = await load("northbound/index.js");
const module = uplinkModules.find(({ name }) => name === type);
const home = scratch("drain");

const settings = module.schema.parse(JSON.parse(options));
const about = { name: "up", gatewayId: "bench" };
const secret = ({ env }) => ({ reveal: () => process.env[env] });
const context = { ...about, log: silentLogger, metrics: noMetrics, dataDir: home.path, secret };
const { batch, keys = false } = module.policy?.(settings, about) ?? {};

/** Milliseconds, and CPU time of this process, from the first connection until the last record is settled. */
async function drain(queue) {
  let left = total;
  let begun;
  let before;
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
  const forwarder = new Forwarder({
    ...about,
    // The queue of these benchmarks knows one uplink.
    name: "cloud",
    queue,
    // The other side connects before it begins, too.
    uplink: () => {
      const uplink = module.create(settings, context);
      const connect = uplink.connect.bind(uplink);
      uplink.connect = async (...args) => {
        const limits = await connect(...args);
        begun ??= performance.now();
        before ??= process.cpuUsage();
        return limits;
      };
      return uplink;
    },
    encoder: valuesEncoder,
    topics: topicMapper("{topic}", "bench"),
    clock,
    log: silentLogger,
    metrics: noMetrics,
    options: batch === undefined ? { keys } : { batch, keys },
  });
  forwarder.start();
  await ended;
  const [ms, cpu] = [performance.now() - begun, process.cpuUsage(before)];
  await forwarder.stop();
  return { ms, cpu };
}

try {
  const filled = await openQueue(home.path);
  await append(filled, "telemetry", total, 1000, Buffer.alloc(bytes, "x"));
  await filled.close();
  const queue = await openQueue(home.path);
  const { ms, cpu } = await drain(queue);
  await queue.close();
  console.error(`cpu ${Math.round((cpu.user + cpu.system) / 1000)} ms of ${Math.round(ms)} ms`);
  console.log(`rate ${(total / ms) * 1000}`);
} finally {
  home.remove();
}
