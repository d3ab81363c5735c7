// Drain of a backlog of 200-byte messages to a ROUTER that answers each: from disk through forwarder and ZeroMQ uplink, against a
// bare DEALER from memory with the same frames and the same window.
import { join } from "node:path";
import { compare, launch, root, rounds, short } from "./support.mjs";

const MESSAGES = short ? 30_000 : 100_000;
const BYTES = 200;
/** A ROUTER drops answers beyond its high water mark, and a bare DEALER waits for them for ever: 1,000 is too many. */
const WINDOWS = [200];

async function side(script, args) {
  const run = launch(process.execPath, [join(root, "test/bench", script), ...args.map(String)]);
  const rate = Number((await run.line(/^rate /, 600_000)).split(" ")[1]);
  await run.exited;
  return rate;
}

export async function run() {
  const router = launch(process.execPath, [join(root, "test/bench/zeromq-side.mjs"), "router"]);
  try {
    const url = (await router.line(/^url /)).split(" ")[1];
    const results = [];
    for (const window of WINDOWS) {
      const options = JSON.stringify({ url, inFlight: window });
      const ours = () => side("drain-uplink.mjs", ["zeromq", options, MESSAGES, BYTES]);
      const bare = () => side("zeromq-side.mjs", ["dealer", url, window, MESSAGES, BYTES]);
      const what = `drain of ${MESSAGES.toLocaleString("en")} messages to a ROUTER, window ${window}`;
      results.push(await compare(what, "msg/s", "millrace", ours, "bare DEALER", bare, rounds));
    }
    return results;
  } finally {
    await router.stop();
  }
}
if (process.argv[1] === new URL(import.meta.url).pathname) await run();
