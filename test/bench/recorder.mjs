// What the flight recorder costs: one exchange told to a full ring, against one exchange of our client with a server on loopback.
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { median, root, rounds, short } from "./support.mjs";

const load = (path) => import(pathToFileURL(join(root, "dist", path)).href);
const { modbusModule } = await load("drivers/modbus/module.js");
const { SimulatedUnit } = await load("drivers/modbus/simulator/server.js");
const { SimulatedTcpServer } = await load("drivers/modbus/simulator/tcp-server.js");
const { LinkRecorder } = await load("gateway/recorder/link-recorder.js");
const { SystemClock } = await load("gateway/system/clock.js");

const clock = new SystemClock();
const log = { debug() {}, info() {}, warn() {}, error() {}, child: () => log };
const none = { inc() {}, set() {}, observe() {} };
const metrics = { counter: () => none, gauge: () => none, histogram: () => none };
const READS = short ? 1_000 : 5_000;

function tapUs() {
  const tap = new LinkRecorder({ size: 1 << 20, age: 600_000 }, clock, () => {});
  const [ask, answer] = [Buffer.alloc(12), Buffer.alloc(259)];
  tap.opened();
  const tell = (times) => {
    const startMs = performance.now();
    for (let n = 0; n < times; n++) {
      tap.sent(ask);
      tap.received(answer);
    }
    return ((performance.now() - startMs) * 1000) / times;
  };
  tell(20_000);
  return tell(200_000);
}

async function readUs(port, tap) {
  const link = modbusModule.linkSchema.parse({ transport: { type: "tcp", host: "127.0.0.1", port } });
  const driver = modbusModule.create(link, { link: "l", clock, log, metrics, ...(tap && { tap }) });
  const options = modbusModule.tagSchema.parse({ address: "holding:0", type: "string(240)" });
  const tag = { name: "t", everyMs: 1000, stream: "telemetry", type: "string", options };
  const device = {
    name: "d",
    link: "l",
    topic: "t",
    tags: [tag],
    options: modbusModule.deviceSchema.parse({ unit: 1 }),
  };
  const { signal } = new AbortController();
  await driver.connect(signal);
  const [request] = driver.plan(device, [tag], {});
  const startMs = performance.now();
  for (let n = 0; n < READS; n++) await driver.read(request, signal);
  const us = ((performance.now() - startMs) * 1000) / READS;
  await driver.close();
  return us;
}

export async function run() {
  const unit = new SimulatedUnit(1);
  unit.registers.set("holding", 0, new Array(125).fill(0x4141));
  const server = new SimulatedTcpServer("127.0.0.1", 0, [unit]);
  await server.start();
  const { port } = server.address;
  const [bare, taps] = [[], []];
  for (let round = 0; round < rounds; round++) {
    bare.push(await readUs(port));
    taps.push(tapUs());
  }
  await server.stop();
  const [exchange, told] = [median(bare), median(taps)];
  console.log(
    `an exchange of 12 and 259 bytes: ${exchange.toFixed(1)} us; telling the recorder ${told.toFixed(2)} us: ` +
      `${((told / exchange) * 100).toFixed(2)} % (bound 3 %)`,
  );
  if (told / exchange > 0.03) throw new Error("the recorder costs too much");
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) await run();
