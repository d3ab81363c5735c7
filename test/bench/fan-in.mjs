// PUBACK after the fsync, 50 clients at once, against aedes alone (which stores nothing): messages a second by PUBACK.
import { join } from "node:path";
import { compare, freePort, gateway, launch, root, scratch, short } from "./support.mjs";

const MESSAGES = short ? 30_000 : 100_000;

async function load(port) {
  const run = launch(process.execPath, [
    join(root, "test/bench/fan-in-load.mjs"),
    String(port),
    "50",
    "20",
    String(MESSAGES),
  ]);
  const rate = Number((await run.line(/^rate /)).split(" ")[1]);
  await run.exited;
  return rate;
}

async function millrace() {
  const home = scratch("fan-in");
  const port = await freePort();
  const program = await gateway(
    home.path,
    `gateway: { id: bench, dataDir: ./data }
http: { port: 0 }
queue: { minFree: 16MiB }
broker: { listeners: [ { port: ${port} } ], limits: { maxConnectionsPerAddress: 100 } }
capture: [ { topics: ["plant/#"], stream: events } ]
`,
  );
  try {
    return await load(port);
  } finally {
    await program.stop();
    home.remove();
  }
}

async function alone() {
  const port = await freePort();
  const program = launch(process.execPath, [join(root, "test/bench/aedes-alone.mjs"), String(port)]);
  await program.line(/ready/);
  try {
    return await load(port);
  } finally {
    await program.stop("SIGKILL");
  }
}

export async function run() {
  return [
    await compare("fan-in of 50 clients, PUBACK after fsync", "msg/s", "millrace", millrace, "aedes alone", alone),
  ];
}
if (process.argv[1] === new URL(import.meta.url).pathname) await run();
