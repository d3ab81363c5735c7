// Two uplinks on one queue, one of them dead for the whole run: the other drains a backlog as if it were alone.
//   --messages N --rounds N
import { join } from "node:path";
import { mosquitto } from "./live-first.mjs";
import { compare, freePort, launch, root, scratch, short } from "./support.mjs";

const number = (name, fallback) => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? fallback : Number(process.argv[at + 1]);
};
const MESSAGES = number("messages", short ? 20_000 : 200_000);

const ROUNDS = number("rounds", short ? 1 : 5);
const BYTES = 200;
const WINDOW = 256;

async function side(both) {
  const home = scratch("server");
  const port = await freePort();
  const server = await mosquitto(home.path, port);
  try {
    const args = [port, WINDOW, MESSAGES, BYTES, both].map(String);
    const child = launch(process.execPath, [join(root, "test/bench/two-uplinks-side.mjs"), ...args]);
    const rate = Number((await child.line(/^rate /)).split(" ")[1]);
    await child.exited;
    return rate;
  } finally {
    await server.stop();
    home.remove();
  }
}

export async function run() {
  return await compare(
    `drain of ${MESSAGES.toLocaleString("en")} messages beside a dead uplink`,
    "msg/s",
    "beside it",
    () => side(1),
    "alone",
    () => side(0),
    ROUNDS,
  );
}
if (process.argv[1] === new URL(import.meta.url).pathname) await run();
