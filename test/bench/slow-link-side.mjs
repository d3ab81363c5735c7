// The gateway's side of the slow-link benchmark, a process of its own: drains a backlog. Prints "draining", until SIGTERM.
//   node slow-link-side.mjs <host> <port> <window> <backlog>
import { append, openQueue } from "./queue-home.mjs";
import { scratch } from "./support.mjs";
import { forwarderOf } from "./uplink-home.mjs";

const [host, ...numbers] = process.argv.slice(2);
const [port, window, backlog] = numbers.map(Number);
const home = scratch("slow-link");
const queue = await openQueue(home.path);
await append(queue, "telemetry", backlog, 1000);
const forwarder = forwarderOf(queue, port, window, {}, host);
forwarder.start();
console.log("draining");

process.once("SIGTERM", async () => {
  await forwarder.stop();
  await queue.close();
  home.remove();
  process.exit(0);
});
