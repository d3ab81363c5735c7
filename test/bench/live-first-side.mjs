// One side of the live-first benchmark, a process of its own: a backlog on disk, live records beside it.
//   node live-first-side.mjs <port> <order> <backlog> <bytes> <liveRate> <window>    until SIGTERM; prints "draining"
// A body begins with B, or with L and the time it was appended (Unix milliseconds with fractions).
import { append, openQueue, recordOf, wall } from "./queue-home.mjs";
import { scratch } from "./support.mjs";
import { forwarderOf } from "./uplink-home.mjs";

const order = process.argv[3];
const [port, , backlog, bytes, liveRate, window] = process.argv.slice(2).map(Number);
const home = scratch("live-first");

function body(head) {
  const payload = Buffer.alloc(bytes, " ");
  payload.write(head);
  return payload;
}

const queue = await openQueue(home.path);
await append(queue, "telemetry", backlog, 1000, body("B"));
const forwarder = forwarderOf(queue, port, window, { order });
forwarder.start();

const begun = performance.now();
let made = 0;
let failed = 0;
const timer = setInterval(() => {
  const due = Math.floor(((performance.now() - begun) * liveRate) / 1000);
  for (; made < due; made += 1) {
    queue.append("telemetry", [recordOf(body(`L${wall().toFixed(3)} `))]).catch(() => {
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
