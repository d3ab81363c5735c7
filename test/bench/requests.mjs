// Requests a second of a link of the gateway (bus, driver, learning, metrics and decoding; scans always due) against bare
// modbus-serial that makes the same reads in a loop, both from a libmodbus server, with one question outstanding and with four.
//   --seconds N --rounds N
import { join } from "node:path";
import { missing, modbusServers } from "./modbus-servers.mjs";
import { compare, launch, root, rounds, scratch, short } from "./support.mjs";

function option(name, fallback) {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? fallback : Number(process.argv[at + 1]);
}
const SECONDS = option("seconds", short ? 1 : 3);
const ROUNDS = option("rounds", rounds);
const TARGET = 0.9;
/** The short run only notices what became much slower: one round of it says little on a machine that does other things. */
const LEAST = short ? 0.15 : TARGET;

async function side(name, port, outstanding, registers) {
  const args = [name, port, outstanding, registers, SECONDS].map(String);
  const run = launch(process.execPath, [join(root, "test/bench/requests-side.mjs"), ...args]);
  const line = await run.line(/^rate /);
  await run.exited;
  return { rate: Number(line.split(" ")[1]), cpuUs: Number(line.split(" ")[3]) };
}

export async function run() {
  const why = missing();
  if (why !== undefined) {
    console.log(`skipped: ${why}`);
    return "skipped";
  }
  const home = scratch("requests");
  const servers = await modbusServers(home.path, 1, 20_000, 0);
  const below = [];
  try {
    for (const registers of short ? [10] : [10, 100]) {
      for (const outstanding of [1, 4]) {
        const cpu = { millrace: [], bare: [] };
        const of = (name) => async () => {
          const { rate, cpuUs } = await side(name, servers.ports[0], outstanding, registers);
          cpu[name].push(cpuUs);
          return rate;
        };
        const title = `reads of ${registers} registers, ${outstanding} outstanding`;
        const { ratio } = await compare(
          title,
          "requests/s",
          "millrace",
          of("millrace"),
          "modbus-serial",
          of("bare"),
          ROUNDS,
        );
        const least = (name) => Math.min(...cpu[name]).toFixed(1);
        console.log(
          `  CPU a request: millrace ${least("millrace")} µs, modbus-serial ${least("bare")} µs; target ${TARGET}`,
        );
        if (ratio < LEAST) below.push(`${title}: ${ratio.toFixed(2)} is below ${LEAST}`);
      }
    }
  } finally {
    await servers.stop();
    home.remove();
  }
  if (below.length > 0) throw new Error(below.join("; "));
}
if (process.argv[1] === new URL(import.meta.url).pathname) await run();
