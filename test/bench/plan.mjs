// `millrace plan` against gateways that run: five configurations, each on devices in software (a serial line on which every byte takes
// its time, Modbus TCP, simulated), an MQTT server that acknowledges after a round trip, and an outage until the buffer is full.
// Predicted against measured: messages and bytes a second, bus load, time until the buffer is full, time of the drain (BENCH_TRACE=1
// shows what was owed). Then Erlang C and the funnel against their simulations. Throws where one is off by more than it may be.
//   node test/bench/plan.mjs [--short] [--only 0..4]      needs perl
import { spawn, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { setPriority } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath, pathToFileURL } from "node:url";
import mqtt from "mqtt";
import { Upstream } from "./plan-upstream.mjs";
import { freePort, gateway, launch, main, pause, reserveMade, root, scratch, short } from "./support.mjs";

/** The promise; a short run beside other work only notices what is broken. */
const MOST_ERROR = short ? 35 : 10;
const MOST_SIMULATED = 2;
const STEADY_MS = short ? 8_000 : 30_000;
const BAUD = 19_200;

/** @param {(at: number) => string} tag */
const list = (count, tag) => Array.from({ length: count }, (_, at) => tag(at)).join("\n");

/** Devices of a simulated link with so many tags each. */
function simulated(name, { devices, tags, every, reply, tag }) {
  return `  - name: ${name}
    driver: simulated
    replyTime: ${reply}
    devices:
${list(
  devices,
  (device) => `      - name: ${name}-${device}
        topic: plant/${name}/${device}
        tags:
${list(tags, (at) => `          - { name: tag-${at}, every: ${every}, ${tag} }`)}`,
)}`;
}

const FLOATS = "type: float64, wave: sine, min: 10, max: 90, period: 7s";
const STEPS = "type: int32, wave: random, min: 10000, max: 99999, period: 1s, deadband: 0";

const uplink = (port, more) =>
  `  - { name: cloud, type: mqtt, url: "mqtt://127.0.0.1:${port}", select: ["plant/#"], ackTimeout: 600s, connectTimeout: 300s, ${more} }`;

function hasPerl() {
  if (spawnSync("perl", ["-MTime::HiRes", "-e", "1"]).status === 0) return true;
  console.log("without the serial line: perl with Time::HiRes is missing (apt-get install perl)");
  return false;
}

/** The serial line, as `line.mjs` has it. */
async function serialLine(units) {
  const file = fileURLToPath(new URL("line-peer.pl", import.meta.url));
  const child = spawn("perl", [file, BAUD, 11, units, 3], { stdio: ["pipe", "pipe", "ignore"] });
  // A UART is not kept waiting by other programs.
  try {
    setPriority(child.pid, -20);
  } catch {}
  child.on("error", () => {});
  child.stdin.on("error", () => {});
  const first = await createInterface({ input: child.stdout })[Symbol.asyncIterator]().next();
  if (first.done) throw new Error("the serial line did not start");
  return { path: first.value, stop: () => child.stdin.end() };
}

/** Each gives the configuration, what `plan` is told beside it, and what has to run. */
const CONFIGS = [
  {
    name: "two lines, floats",
    mebibytes: 1,
    rttMs: 0,
    make: async ({ port }) => ({
      links: [
        simulated("a", { devices: 4, tags: 120, every: "500ms", reply: "80ms", tag: FLOATS }),
        simulated("b", { devices: 3, tags: 150, every: "500ms", reply: "80ms", tag: FLOATS }),
      ],
      uplinks: uplink(port, "maxRate: { messages: 45 }"),
    }),
  },
  {
    name: "serial line, captured",
    needs: hasPerl,
    rttMs: 0,
    captured: { perSecond: 40, bytes: 900 },
    make: async ({ port }) => {
      const line = await serialLine(8);
      return {
        stop: line.stop,
        links: [
          `  - name: rs485
    driver: modbus
    transport: { type: rtu, path: ${line.path}, baud: ${BAUD}, parity: even }
    devices:
${list(
  8,
  (at) => `      - name: meter-${at + 1}
        unit: ${at + 1}
        topic: plant/meter-${at + 1}
        tags:
${list(50, (tag) => `          - { name: tag-${tag}, address: "holding:${tag}", type: uint16, every: 1s }`)}`,
)}`,
        ],
        more: `capture: [{ topics: ["plant/hand/#"], stream: telemetry }]`,
        uplinks: uplink(port, "maxRate: { bytes: 140kB }"),
      };
    },
  },
  {
    name: "live-first, batches",
    rttMs: 20,
    make: async ({ port }) => ({
      links: ["c", "d"].map((name) =>
        simulated(name, { devices: 4, tags: 180, every: "500ms", reply: "80ms", tag: FLOATS }),
      ),
      uplinks: uplink(
        port,
        "order: live-first, batch: { count: 50, linger: 700ms, bytes: 32KiB }, maxRate: { bytes: 220kB }",
      ),
    }),
  },
  {
    name: "changes only, flat",
    rttMs: 10,
    // A level that steps once a second, read twice in it.
    change: 50,
    make: async ({ port }) => ({
      links: [
        simulated("e", { devices: 4, tags: 120, every: "500ms", reply: "80ms", tag: STEPS }),
        simulated("f", { devices: 4, tags: 160, every: "500ms", reply: "80ms", tag: FLOATS }),
        simulated("g", { devices: 4, tags: 160, every: "500ms", reply: "80ms", tag: FLOATS }),
      ],
      uplinks: uplink(port, "encoder: flat, maxRate: { messages: 65 }"),
    }),
  },
  {
    name: "Modbus TCP, window",
    rttMs: 100,
    captured: { perSecond: 25, bytes: 1200 },
    make: async ({ port, folder }) => {
      const file = join(folder, "device.yaml");
      const registers = `registers: [{ address: "holding:0", type: uint16, count: 120, value: { wave: random, min: 1000, max: 9000, period: 1s } }]`;
      writeFileSync(
        file,
        `driver: modbus\ntransport: { type: tcp, port: 0 }\nunits:\n${list(5, (at) => `  - { unit: ${at + 1}, delay: 35ms, ${registers} }`)}\n`,
      );
      const device = launch(process.execPath, [main, "simulate", file, "--json"]);
      const address = JSON.parse(await device.line(/"address"/)).address;
      return {
        stop: () => device.stop(),
        links: [
          `  - name: plc
    driver: modbus
    transport: { type: tcp, host: 127.0.0.1, port: ${address.split(":")[1]} }
    devices:
${list(
  5,
  (at) => `      - name: plc-${at + 1}
        unit: ${at + 1}
        topic: plant/plc-${at + 1}
        tags:
${list(110, (tag) => `          - { name: tag-${tag}, address: "holding:${tag}", type: uint16, every: 250ms }`)}`,
)}`,
        ],
        more: `capture: [{ topics: ["plant/hand/#"], stream: telemetry }]`,
        uplinks: uplink(port, "inFlight: 12"),
      };
    },
  },
];

const get = async (base, path) => (await fetch(`${base}${path}`)).text();
async function look(base) {
  const [status, metrics] = await Promise.all([get(base, "/status"), get(base, "/metrics")]);
  const sum = (name, having = "") =>
    metrics
      .split("\n")
      .filter((text) => text.startsWith(`${name}{`) || text.startsWith(`${name} `))
      .filter((text) => text.includes(having))
      .reduce((total, text) => total + Number(text.split(" ").at(-1)), 0);
  const { queue } = JSON.parse(status);
  const owed = Math.max(...queue.uplinks.map(({ streams }) => streams.events.depth + streams.telemetry.depth));
  return { at: performance.now(), sum, queue, owed };
}

/** Less than `look`, and cheaper: it is asked often. */
async function glance(base) {
  const { queue } = JSON.parse(await get(base, "/status"));
  const owed = Math.max(...queue.uplinks.map(({ streams }) => streams.events.depth + streams.telemetry.depth));
  return { at: performance.now(), owed, lost: queue.dropped };
}

async function until(condition, timeoutMs, what) {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const found = await condition();
    if (found !== undefined) return found;
    if (performance.now() > deadline) throw new Error(`${what} not within ${timeoutMs / 1000} s`);
    await pause(200);
  }
}

function plan(file, { captured, change }, rttMs, outageMs) {
  const args = [
    "plan",
    "-c",
    file,
    "--json",
    "--rtt",
    `${rttMs.toFixed(1)}ms`,
    "--outage",
    `${Math.round(outageMs)}ms`,
  ];
  if (captured) args.push("--captured", `${captured.perSecond}/s`, "--size", `${captured.bytes}B`);
  if (change) args.push("--change", `${change}%`);
  const done = spawnSync(process.execPath, [main, ...args], { encoding: "utf8" });
  if (done.status !== 0) throw new Error(`plan ended with ${done.status}: ${done.stderr}`);
  return JSON.parse(done.stdout);
}

/** A local client that publishes evenly, whatever is acknowledged. */
async function publisher(port, { perSecond, bytes }) {
  const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, { protocolVersion: 4 });
  const payload = Buffer.alloc(bytes, "x");
  const begun = performance.now();
  let sent = 0;
  const timer = setInterval(() => {
    for (; sent < ((performance.now() - begun) / 1000) * perSecond; sent++)
      client.publish("plant/hand/scanner", payload, { qos: 0 }, () => {});
  }, 5);
  return async () => {
    clearInterval(timer);
    await client.endAsync(true);
  };
}

async function measure(config) {
  const home = scratch("plan");
  const upstream = await new Upstream(config.rttMs).listen();
  const [http, broker] = [await freePort(), await freePort()];
  const made = await config.make({ port: upstream.port, folder: home.path });
  const yaml = `gateway: { id: bench, dataDir: ./data }
queue: { maxBytes: ${short ? Math.min(1.2, config.mebibytes ?? 1.5) : 3 * (config.mebibytes ?? 1.5)}MiB, segment: 64KiB, minFree: 0B }
broker: { listeners: [{ port: ${broker} }] }
http: { port: ${http} }
${made.more ?? ""}
links:
${made.links.join("\n")}
uplinks:
${made.uplinks}
`;
  const started = await gateway(home.path, yaml);
  const base = `http://127.0.0.1:${http}`;
  let quiet = async () => {};
  try {
    if (config.captured) quiet = await publisher(broker, config.captured);
    await reserveMade(join(home.path, "data"));
    await pause(2000);
    const rates = await steady(base, upstream);
    const { fullS, outageMs, drainS, owed } = await outage(base, upstream);
    const file = join(home.path, "millrace.yaml");
    return {
      name: config.name,
      ...compared(plan(file, config, upstream.rttMs, outageMs), { ...rates, fullS, drainS, owed }),
    };
  } finally {
    await quiet();
    await started.stop();
    await made.stop?.();
    await upstream.close();
    home.remove();
  }
}

async function steady(base, upstream) {
  const before = { ...(await look(base)), messages: upstream.messages, bytes: upstream.bytes };
  await pause(STEADY_MS);
  const after = { ...(await look(base)), messages: upstream.messages, bytes: upstream.bytes };
  const seconds = (after.at - before.at) / 1000;
  const busy = (having) =>
    (after.sum("millrace_link_busy_seconds_total", having) - before.sum("millrace_link_busy_seconds_total", having)) /
    seconds;
  return {
    messages: (after.messages - before.messages) / seconds,
    bytes: (after.bytes - before.bytes) / seconds,
    busy: (link) => 100 * busy(`link="${link}"`),
  };
}

/** Away until something is lost, then back until nothing is owed but what comes in. */
async function outage(base, upstream) {
  const begun = performance.now();
  upstream.leave();
  const first = await glance(base);
  const full = await until(
    async () => {
      const now = await glance(base);
      return now.lost > first.lost ? now : undefined;
    },
    300_000,
    "the buffer is full",
  );
  upstream.comeBack();
  await until(() => (upstream.connectedAt > begun ? true : undefined), 150_000, "connected again");
  const end = upstream.connectedAt;
  const back = await glance(base);
  const growth = (full.owed - first.owed) / ((full.at - first.at) / 1000);
  const drained = await until(
    async () => {
      const now = await glance(base);
      return now.owed <= growth * 0.75 + 2 ? now : undefined;
    },
    300_000,
    "the backlog is drained",
  );
  return {
    fullS: (full.at - begun) / 1000,
    outageMs: end - begun,
    owed: back.owed,
    drainS: (drained.at - end) / 1000,
  };
}

function compared(planned, measured) {
  const [first] = planned.uplinks;
  if (process.env.BENCH_TRACE)
    console.error(
      `${planned.file}: owed ${planned.outage.owed[0]}, ${measured.owed} when connected; rtt ${planned.settings.rttMs} ms`,
    );
  const line = planned.lines.toSorted((a, b) => b.percent - a.percent)[0];
  return {
    rows: [
      ["messages/s", first.recordsPerSecond * first.live.messages, measured.messages],
      ["bytes/s", first.recordsPerSecond * first.live.bytes, measured.bytes],
      ["bus load %", line.percent, measured.busy(line.link)],
      ["full after s", planned.buffer.seconds, measured.fullS],
      ["drained after s", planned.outage.drainSeconds[0], measured.drainS],
    ],
  };
}

const off = (predicted, measured) => 100 * (predicted / measured - 1);
const signed = (value) => `${value >= 0 ? "+" : ""}${value.toFixed(1)} %`;

function print({ name, rows }) {
  for (const [what, predicted, measured] of rows)
    console.log(
      `${name.padEnd(24)}${what.padEnd(17)}${predicted.toFixed(1).padStart(10)}${measured.toFixed(1).padStart(11)}  ${signed(off(predicted, measured)).padStart(8)}`,
    );
}

/** Formulas against their simulations; gives what is off by too much. */
async function formulas() {
  const load = (path) => import(pathToFileURL(join(root, "dist", "gateway", "cli", "plan", path)).href);
  const { waiting } = await load("erlang.js");
  const { simulateSenders } = await load("simulate-senders.js");
  const { funnel, simulateFunnel } = await load("funnel.js");
  const faults = [];
  const check = (what, formula, simulated) => {
    const error = off(simulated, formula);
    console.log(
      `${what.padEnd(52)}${formula.toPrecision(5).padStart(12)}${simulated.toPrecision(5).padStart(12)}  ${signed(error).padStart(8)}`,
    );
    if (!(Math.abs(error) <= MOST_SIMULATED)) faults.push(`${what}: ${signed(error)}`);
  };
  for (const [k, utilisation] of [
    [1, 0.5],
    [1, 0.9],
    [8, 0.8],
    [64, 0.95],
    [1000, 0.98],
    [10_000, 0.99],
  ]) {
    const senders = { rate: k * utilisation * 20, service: 0.05, k };
    const [formula, simulated] = [waiting(senders), simulateSenders(senders, 1)];
    check(`M/M/${k} at ${100 * utilisation} %: probability to wait`, formula.waits, simulated.waits);
    check(`M/M/${k} at ${100 * utilisation} %: mean time waited, s`, formula.wait, simulated.wait);
  }
  for (const parts of [
    { first: 0.5, k: 2, stages: 4 },
    { first: 0.01, k: 3, stages: 5 },
    { first: 1e-6, k: 1000, stages: 2 },
  ]) {
    const [formula, simulated] = [funnel(parts), simulateFunnel(parts, 1)];
    for (let stage = 1; stage <= parts.stages; stage++)
      check(`funnel P(0) = ${parts.first}, k = ${parts.k}: P(${stage})`, formula[stage], simulated[stage]);
  }
  return faults;
}

export async function run() {
  console.log(`${"".padEnd(41)}${"predicted".padStart(10)}${"measured".padStart(11)}  ${"error".padStart(8)}`);
  const only = process.argv.indexOf("--only");
  const able = CONFIGS.filter(({ needs }) => needs === undefined || needs());
  const chosen = only < 0 ? able : [CONFIGS[Number(process.argv[only + 1])]];
  // Not all at once: what starts takes the machine, and what is learnt of a device at first is then not what it is like.
  const results = await Promise.all(
    chosen.map(async (config, at) => {
      await pause(at * 1200);
      return await measure(config);
    }),
  );
  for (const result of results) print(result);
  console.log(`\n${"".padEnd(52)}${"formula".padStart(12)}${"simulated".padStart(12)}  ${"error".padStart(8)}`);
  const faults = await formulas();
  for (const { name, rows } of results)
    for (const [what, predicted, measured] of rows)
      if (!(Math.abs(off(predicted, measured)) <= MOST_ERROR))
        faults.push(`${name}, ${what}: ${signed(off(predicted, measured))}`);
  if (faults.length > 0)
    throw new Error(`off by too much (${MOST_ERROR} %, ${MOST_SIMULATED} % of a simulation):\n${faults.join("\n")}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await run();
  process.exit(0);
}
