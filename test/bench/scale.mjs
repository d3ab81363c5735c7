// The whole gateway at scale: 50 Modbus TCP devices of 400 tags each, read once a second, queue on disk, an MQTT uplink. Overruns
// (none), CPU of one core, memory; and a witness upstream that has every sample. Servers (libmodbus), broker (mosquitto) and witness
// are processes of their own.
//   --devices N --tags N --seconds N --prof FOLDER
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { missing, modbusServers } from "./modbus-servers.mjs";
import { answers, freePort, launch, main, pause, reserveMade, root, scratch, short } from "./support.mjs";

function option(name, fallback) {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? fallback : process.argv[at + 1];
}
const DEVICES = Number(option("devices", 50));
const TAGS = Number(option("tags", 400));
const SECONDS = Number(option("seconds", short ? 15 : 60));
const PROF = option("prof", "");
const WARM_UP_MS = 5000;
const EVERY_MS = 1000;
/** Of one core. Measured: see docs/sizing.md; the short run is on machines that do other things too. */
const CPU_LIMIT = short ? 100 : 60;
/** Most at any second. Measured: up to 458 in 100 s, rising and falling with each segment of the queue. */
const RSS_LIMIT_MB = 600;

/** Of every eight tags five are registers, two float32 and one is a coil. */
function tagsOf() {
  const next = { holding: 0, input: 0, coil: 0 };
  return Array.from({ length: TAGS }, (_, at) => {
    const [area, type, size] =
      at % 8 < 5 ? ["holding", "uint16", 1] : at % 8 < 7 ? ["input", "float32", 2] : ["coil", "bool", 1];
    const address = next[area];
    next[area] += size;
    return `        - { name: t${at}, address: "${area}:${address}", type: ${type}, every: ${EVERY_MS}ms }`;
  }).join("\n");
}

function configuration(ports, broker, http) {
  const tags = tagsOf();
  const links = ports.map(
    (port, at) => `  - name: line-${at}
    driver: modbus
    transport: { type: tcp, host: 127.0.0.1, port: ${port} }
    devices:
    - name: device-${at}
      unit: 1
      topic: plant/device-${at}
      tags:
${tags}`,
  );
  return `gateway: { id: scale, dataDir: ./data }
http: { port: ${http} }
queue: { minFree: 16MiB }
uplinks: [ { name: up, type: mqtt, url: "mqtt://127.0.0.1:${broker}", topic: "{topic}" } ]
links:
${links.join("\n")}
`;
}

async function mosquitto(home, port) {
  const file = join(home, "upstream.conf");
  const lines = [`listener ${port} 127.0.0.1`, "allow_anonymous true", "set_tcp_nodelay true", "log_type error"];
  lines.push("max_queued_messages 0", "persistence false");
  if (process.getuid?.() === 0) lines.push("user root");
  writeFileSync(file, `${lines.join("\n")}\n`);
  const server = launch("/usr/sbin/mosquitto", ["-c", file]);
  await answers(port);
  return server;
}

/** Milliseconds of processor time of a process, all of its threads. */
function cpuMs(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

function rssMb(pid) {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]) / 1024;
}

/** Sum of a metric over all its labels. */
async function metric(http, name) {
  const text = await (await fetch(`http://127.0.0.1:${http}/metrics`)).text();
  const lines = text.split("\n").filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
  return lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}

/** CPU of one core in percent, and memory, second by second. */
async function watch(pid, seconds) {
  const cpu = [];
  const rss = [];
  for (let n = 0; n < seconds; n++) {
    const begun = performance.now();
    const before = cpuMs(pid);
    await pause(1000);
    cpu.push(((cpuMs(pid) - before) / (performance.now() - begun)) * 100);
    rss.push(rssMb(pid));
  }
  return {
    mean: cpu.reduce((sum, each) => sum + each, 0) / cpu.length,
    rss: Math.max(...rss),
    firstRss: rss[0],
    lastRss: rss.at(-1),
  };
}

async function measure(home, servers, broker) {
  const http = await freePort();
  const file = join(home, "millrace.yaml");
  writeFileSync(file, configuration(servers.ports, broker, http));
  const witness = launch(process.execPath, [join(root, "test/bench/scale-side.mjs"), String(broker), String(TAGS)]);
  await witness.line(/^subscribed/);
  const prof = PROF === "" ? [] : ["--cpu-prof", `--cpu-prof-dir=${PROF}`];
  const program = launch(process.execPath, [...prof, main, "run", "-c", file]);
  try {
    await program.line(/"msg":"gateway started"/);
    await reserveMade(join(home, "data"));
    await pause(WARM_UP_MS);
    const samples = async () => (await metric(http, "millrace_scans_total")) * TAGS;
    const begun = performance.now();
    const before = await samples();
    const used = await watch(program.child.pid, SECONDS);
    const rate = ((await samples()) - before) / ((performance.now() - begun) / 1000);
    const overruns = await metric(http, "millrace_scan_overruns_total");
    const dropped = await metric(http, "millrace_scans_dropped_total");
    // What the gateway took until it ends, it sends before it ends or at its next start: the witness has all but the last scans.
    const taken = await metric(http, "millrace_scans_total");
    await pause(2000);
    await program.stop();
    await witness.stop();
    const seen = JSON.parse(witness.lines.find((line) => line.startsWith("{")));
    return { rate, overruns, dropped, taken, seen, ...used };
  } finally {
    await program.stop("SIGKILL");
    await witness.stop("SIGKILL");
  }
}

export async function run() {
  const why = missing();
  if (why !== undefined) {
    console.log(`skipped: ${why}`);
    return "skipped";
  }
  const home = scratch("scale");
  const broker = await freePort();
  const upstream = await mosquitto(home.path, broker);
  const servers = await modbusServers(home.path, DEVICES, 2000, 500);
  try {
    const { rate, overruns, dropped, taken, seen, mean, rss, firstRss, lastRss } = await measure(
      home.path,
      servers,
      broker,
    );
    console.log(
      `${(DEVICES * TAGS).toLocaleString("en")} tags on ${DEVICES} TCP devices at ${EVERY_MS} ms for ${SECONDS} s: overruns ${overruns}, ` +
        `${Math.round(rate).toLocaleString("en")} samples/s, CPU ${mean.toFixed(1)} % of one core, RSS ${firstRss.toFixed(0)} MB at first, ${lastRss.toFixed(0)} at last, ${rss.toFixed(0)} at most`,
    );
    console.log(
      `upstream: ${seen.scans} of ${taken} scans and more, ${seen.samples.toLocaleString("en")} samples, bad ${seen.bad}, ` +
        `short ${seen.short}, missing ${seen.missing}, twice ${seen.twice}`,
    );
    const faults = [];
    if (overruns > 0) faults.push(`${overruns} overruns`);
    if (dropped > 0) faults.push(`${dropped} scans dropped`);
    if (seen.scans < taken || seen.missing > 0) faults.push("scans are missing upstream");
    if (seen.bad > 0 || seen.short > 0) faults.push("not every sample is good");
    if (mean > CPU_LIMIT) faults.push(`more than ${CPU_LIMIT} % of one core`);
    if (rss > RSS_LIMIT_MB) faults.push(`more than ${RSS_LIMIT_MB} MB`);
    if (faults.length > 0) throw new Error(faults.join("; "));
  } finally {
    await upstream.stop();
    await servers.stop();
    home.remove();
  }
}
if (process.argv[1] === new URL(import.meta.url).pathname) await run();
