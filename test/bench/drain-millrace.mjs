// One side of the drain benchmark, a process of its own: a backlog on disk, drained by forwarder and MQTT uplink.
//   node drain-millrace.mjs <port> <window> <messages> <bytes>    prints messages a second, by acknowledgement settled
import { append, openQueue } from "./queue-home.mjs";
import { scratch } from "./support.mjs";
import { forwarderOf } from "./uplink-home.mjs";

const [port, window, total, bytes] = process.argv.slice(2).map(Number);
const home = scratch("drain");

async function fill() {
  const queue = await openQueue(home.path);
  await append(queue, "telemetry", total, 1000, Buffer.alloc(bytes, "x"));
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
  const forwarder = forwarderOf(queue, port, window);
  const begun = performance.now();
  forwarder.start();
  await ended;
  const ms = performance.now() - begun;
  await forwarder.stop();
  return ms;
}

try {
  await fill();
  const queue = await openQueue(home.path);
  const before = process.cpuUsage();
  const ms = await drain(queue);
  const cpu = process.cpuUsage(before);
  await queue.close();
  console.error(`cpu ${Math.round((cpu.user + cpu.system) / 1000)} ms of ${Math.round(ms)} ms`);
  console.log(`rate ${(total / ms) * 1000}`);
} finally {
  home.remove();
}
