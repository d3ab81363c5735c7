// One side of the benchmark of two uplinks: a backlog for one or two, the second of which nobody answers for.
//   node two-uplinks-side.mjs <port> <window> <messages> <bytes> <with the dead one: 1 or 0>    prints messages a second
import { append, openQueue } from "./queue-home.mjs";
import { freePort, scratch } from "./support.mjs";
import { forwarderOf } from "./uplink-home.mjs";

const [port, window, total, bytes, both] = process.argv.slice(2).map(Number);
const home = scratch("two");
const ALL = { selector: { text: "#", matches: () => true }, from: "oldest", required: true };

try {
  const queue = await openQueue(home.path);
  if (both) await queue.open("dead", ALL);
  await append(queue, "telemetry", total, 1000, Buffer.alloc(bytes, "x"));
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
  const dead = both ? forwarderOf(queue, await freePort(), window, {}, "127.0.0.1", "dead") : undefined;
  dead?.start();
  const forwarder = forwarderOf(queue, port, window);
  const begun = performance.now();
  forwarder.start();
  await ended;
  const ms = performance.now() - begun;
  await forwarder.stop();
  await dead?.stop();
  const owed = queue.stats().uplinks.find(({ name }) => name === "dead")?.streams.telemetry.depth ?? 0;
  if (both && owed !== total) throw new Error(`the dead uplink is owed ${owed}, not ${total}`);
  await queue.close();
  console.log(`rate ${(total / ms) * 1000}`);
} finally {
  home.remove();
}
process.exit(0);
