// Local clients at full speed while an uplink drains: what gets upstream meanwhile, against what comes in (1: no backlog grows);
// and what comes in while the uplink is held up by its far side, against no uplink at all.
//   node test/bench/full-load.mjs [--short]
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { mosquitto, Subscriber } from "./live-first.mjs";
import { freePort, gateway, launch, median, root, rounds, scratch, short } from "./support.mjs";

const MESSAGES = short ? 40_000 : 200_000;
const CLIENTS = 50;
/** Of each client, not acknowledged at once. */
const WINDOW = 20;

/** One gateway; `uplink` as YAML, or none. @returns messages a second. */
async function load(uplink) {
  const home = scratch("full-load");
  const [up, port] = [await freePort(), await freePort()];
  const server = await mosquitto(home.path, up);
  const subscriber = new Subscriber();
  await subscriber.connect(up);
  const uplinks =
    uplink === undefined ? "" : `uplinks: [ { name: up, type: mqtt, url: "mqtt://127.0.0.1:${up}", ${uplink} } ]`;
  const running = await gateway(
    home.path,
    `gateway: { id: bench, dataDir: ./data }
http: { port: 0 }
queue: { minFree: 16MiB }
broker: { listeners: [ { port: ${port} } ], limits: { maxConnectionsPerAddress: 100 } }
capture: [ { topics: ["plant/#"], stream: events } ]
${uplinks}
`,
  );
  try {
    const begun = performance.now();
    const source = launch(process.execPath, [
      join(root, "test/bench/fan-in-load.mjs"),
      ...[port, CLIENTS, WINDOW, MESSAGES].map(String),
    ]);
    const inward = Number((await source.line(/^rate /)).split(" ")[1]);
    const meanwhile = subscriber.count;
    const seconds = (performance.now() - begun) / 1000;
    return { inward, meanwhile: meanwhile / seconds };
  } finally {
    await running.stop();
    subscriber.close();
    await server.stop();
    home.remove();
  }
}

export async function run() {
  const [during, held] = [[], []];
  for (let round = 0; round < (short ? 1 : rounds); round++) {
    const drained = await load("inFlight: 256");
    const limited = await load("maxRate: { messages: 500 }");
    const none = await load(undefined);
    during.push(drained.meanwhile / drained.inward);
    held.push(limited.inward / none.inward);
    const figures = [drained.inward, drained.meanwhile, limited.inward, none.inward].map((n) =>
      Math.round(n).toLocaleString("en"),
    );
    console.log(
      `round ${round + 1}: in ${figures[0]}/s, upstream meanwhile ${figures[1]}/s; in with an uplink that takes 500/s ${figures[2]}/s, with none ${figures[3]}/s`,
    );
  }
  const told = (values) =>
    `${median(values).toFixed(2)} (${Math.min(...values).toFixed(2)} to ${Math.max(...values).toFixed(2)})`;
  console.log(`full load of ${CLIENTS} clients: upstream meanwhile against in: ratio ${told(during)}`);
  console.log(`full load of ${CLIENTS} clients: in, with a held-up uplink against none: ratio ${told(held)}`);
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await run();
