// Start-up time and memory with an empty queue and with 100,000 records of backlog.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { compare, freePort, gateway, launch, pause, root, scratch } from "./support.mjs";

const BACKLOG = 100_000;
const rssMiB = (pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]) / 1024;

const config = (port, upstream) => `gateway: { id: bench, dataDir: ./data }
http: { port: 0 }
queue: { minFree: 16MiB }
broker: { listeners: [ { port: ${port} } ], limits: { maxConnectionsPerAddress: 100 } }
capture: [ { topics: ["plant/#"], stream: events } ]
uplinks: [ { name: cloud, type: mqtt, url: "mqtt://127.0.0.1:${upstream}" } ]
`;

/** Starts, stands for three seconds, stops; with the upstream away. */
async function measure(home, port, upstream) {
  const program = await gateway(home.path, config(port, upstream));
  await pause(3000);
  const rss = rssMiB(program.child.pid);
  await program.stop();
  return { startMs: program.startMs, rss };
}

export async function run() {
  const port = await freePort();
  const upstream = await freePort();
  const empty = scratch("empty");
  const full = scratch("full");
  try {
    const program = await gateway(full.path, config(port, upstream));
    const load = launch(process.execPath, [
      join(root, "test/bench/fan-in-load.mjs"),
      String(port),
      "50",
      "20",
      String(BACKLOG),
    ]);
    await load.line(/^rate /);
    await program.stop();
    const rss = { empty: [], full: [] };
    const side = (name, home) => async () => {
      const { startMs, rss: mib } = await measure(home, port, upstream);
      rss[name].push(mib);
      return startMs;
    };
    const start = await compare(
      "start-up",
      "ms",
      "100,000 records",
      side("full", full),
      "empty queue",
      side("empty", empty),
    );
    const values = [...rss.full];
    const memory = await compare(
      "RSS 3 s after the start",
      "MiB",
      "100,000 records",
      (round) => values[round],
      "empty queue",
      (round) => rss.empty[round],
    );
    return [start, memory];
  } finally {
    empty.remove();
    full.remove();
  }
}
if (process.argv[1] === new URL(import.meta.url).pathname) await run();
