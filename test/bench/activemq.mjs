// Drain of a backlog of 200-byte messages into Artemis: from disk through forwarder and uplink, against bare rhea from memory with the
// same window and properties.
//   --messages N --rounds N
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { jars } from "./maven.mjs";
import { compare, freePort, launch, median, root, rounds, scratch, short } from "./support.mjs";

const VERSION = "2.42.0";
const BYTES = 200;
const WINDOW = 500;
const number = (name, fallback) => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? fallback : Number(process.argv[at + 1]);
};
const MESSAGES = number("messages", short ? 10_000 : 50_000);
const ROUNDS = number("rounds", short ? 1 : rounds);

export async function run() {
  const artifacts = ["artemis-server", "artemis-amqp-protocol"].map((name) => `org.apache.activemq:${name}:${VERSION}`);
  const lib = jars(`artemis-${VERSION}`, [...artifacts, "org.slf4j:slf4j-nop:2.0.17"]);
  if (lib === undefined) {
    console.log("skipped: Artemis needs Java 17 (openjdk-17-jdk-headless), maven, and Maven Central");
    return "skipped";
  }
  process.env.BENCH_PASSWORD = "gw-secret";
  const cpu = { ours: [], bare: [] };
  // A fresh broker each time: it keeps what it was sent.
  const side = async (which) => {
    const home = scratch("artemis");
    mkdirSync(join(home.path, "data"));
    const port = await freePort();
    const source = join(root, "test/interop/peers/ArtemisBroker.java");
    const java = ["-Xmx500m", "-cp", join(lib, "*"), source, String(port), join(home.path, "data")];
    const server = launch("java", java);
    try {
      await server.line(/^ready/, 90_000);
      const options = { url: `amqp://127.0.0.1:${port}`, address: "records", inFlight: WINDOW, username: "gw" };
      const args =
        which === "ours"
          ? ["drain-uplink.mjs", "activemq", JSON.stringify({ ...options, password: { env: "BENCH_PASSWORD" } })]
          : ["drain-rhea.mjs", port, "records", WINDOW];
      const [script, ...rest] = [...args, MESSAGES, BYTES].map(String);
      const child = launch(process.execPath, [join(root, "test/bench", script), ...rest]);
      const rate = Number((await child.line(/^rate /, 300_000)).split(" ")[1]);
      await child.exited;
      const used = child.lines.find((line) => line.startsWith("cpu "))?.split(" ")[1];
      cpu[which].push((Number(used) / MESSAGES) * 100);
      return rate;
    } finally {
      await server.stop("SIGKILL");
      home.remove();
    }
  };
  const what = `drain of ${MESSAGES.toLocaleString("en")} messages into Artemis, window ${WINDOW}`;
  const result = await compare(
    what,
    "msg/s",
    "millrace",
    () => side("ours"),
    "bare rhea",
    () => side("bare"),
    ROUNDS,
  );
  console.log(
    `CPU seconds of 100,000 messages: millrace ${median(cpu.ours).toFixed(2)}, bare rhea from memory ${median(cpu.bare).toFixed(2)}`,
  );
  return result;
}
if (process.argv[1] === new URL(import.meta.url).pathname) await run();
