// Three gateways of one fleet, on this machine, into one Kafka cluster:
//   BROKERS=127.0.0.1:9092 node fleet.mjs            Ctrl-C ends all of them; MILLRACE is the program (default: millrace)
// Then, in other terminals, one reader or several: BROKERS=127.0.0.1:9092 node reader.mjs reader-1.ndjson
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const { BROKERS = "127.0.0.1:9092", FLEET = "fleet-data", MILLRACE = "millrace", FIRST_PORT = "18830" } = process.env;
const model = readFileSync(new URL("gateway.yaml", import.meta.url), "utf8");
const [program, ...words] = MILLRACE.split(" ");
let ending = false;

/** A gateway that ends by itself or is killed is started again, as its service would be. */
function start(name, file) {
  const child = spawn(program, [...words, "run", "-c", file], { stdio: ["ignore", "inherit", "inherit"] });
  process.stdout.write(`${name} is process ${child.pid}\n`);
  child.on("error", (error) => process.stderr.write(`${MILLRACE} cannot be started: ${error.message}\n`));
  child.on("exit", () => ending || setTimeout(() => ending || start(name, file), 1000));
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => child.kill("SIGTERM"));
}

process.setMaxListeners(100);
for (const signal of ["SIGINT", "SIGTERM"])
  process.on(signal, () => {
    ending = true;
  });
for (const n of [1, 2, 3]) {
  const folder = join(FLEET, `plant-${n}`);
  mkdirSync(folder, { recursive: true });
  const file = join(folder, "millrace.yaml");
  const [mqtt, http] = [Number(FIRST_PORT) + 2 * n, Number(FIRST_PORT) + 2 * n + 1];
  const brokers = BROKERS.split(",").map((one) => `"${one}"`);
  writeFileSync(
    file,
    model
      .replaceAll("plant-1", `plant-${n}`)
      .replace("port: 1883", `port: ${mqtt}`)
      .replace("port: 8080", `port: ${http}`)
      .replace('"127.0.0.1:9092"', brokers.join(", ")),
  );
  start(`plant-${n}`, file);
}
