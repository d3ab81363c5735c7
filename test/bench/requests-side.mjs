// One side of the requests benchmark, a process of its own: reads blocks of registers from a Modbus TCP server, as quickly as
// it can, with so many questions outstanding; prints requests a second and checks every value.
//   node requests-side.mjs millrace|bare <port> <outstanding> <registers> <seconds>
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import modbusSerial from "modbus-serial";
import { root } from "./support.mjs";

const [side, ...numbers] = process.argv.slice(2);
const [port, outstanding, registers, seconds] = numbers.map(Number);
const BLOCKS = 48;
/** Devices of the link: while the scan of one ends, there is another to go on with. */
const DEVICES = 4;
/** Far more is asked for than can be had: 240,000 requests a second. */
const EVERY_MS = 0.2;
/** Far enough apart that no plan joins two. */
const STRIDE = 250;
const TIMEOUT_MS = 1000;
const WARM_UP_MS = 1000;

/** As the server has them at tick 1. */
const valueAt = (address) => (31 + address * 17) & 0xffff;

let requests = 0;
let values = 0;
let wrong = 0;

/** Requests a second once everything is compiled and connected. */
async function measure() {
  await new Promise((resolve) => setTimeout(resolve, WARM_UP_MS));
  const before = requests;
  const begun = performance.now();
  const cpu = process.cpuUsage();
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  const ms = performance.now() - begun;
  const { user, system } = process.cpuUsage(cpu);
  if (wrong > 0 || values === 0) throw new Error(`${wrong} of ${values} values are wrong`);
  const done = requests - before;
  console.log(`rate ${(done / ms) * 1000} cpu-us ${((user + system) / done).toFixed(1)}`);
}

/** modbus-serial in a loop: `outstanding` calls at once on one client. */
async function bare() {
  const client = new modbusSerial.default();
  await client.connectTCP("127.0.0.1", { port });
  client.setID(1);
  client.setTimeout(TIMEOUT_MS);
  let ended = false;
  let block = 0;
  const loop = async () => {
    while (!ended) {
      const address = (block++ % BLOCKS) * STRIDE;
      const { data } = await client.readHoldingRegisters(address, registers);
      requests++;
      values += data.length;
      for (let at = 0; at < registers; at++) if (data[at] !== valueAt(address + at)) wrong++;
    }
  };
  const loops = Array.from({ length: outstanding }, loop);
  await measure();
  ended = true;
  await Promise.all(loops);
  await new Promise((resolve) => client.close(resolve));
}

/** A link of the gateway, with devices whose scans are always due. */
async function millrace() {
  const load = (path) => import(pathToFileURL(join(root, "dist", path)).href);
  const { modbusModule } = await load("drivers/modbus/module.js");
  const { Link } = await load("gateway/southbound/link.js");
  const { PromMetrics } = await load("gateway/system/prom-metrics.js");
  const { SystemClock } = await load("gateway/system/clock.js");
  const log = { debug() {}, info() {}, warn: console.error, error: console.error, child: () => log };
  const clock = new SystemClock();
  const metrics = new PromMetrics();
  const transport = { type: "tcp", host: "127.0.0.1", port };
  const link = modbusModule.linkSchema.parse({ transport, inFlight: outstanding });
  function tagsOf(n) {
    const own = BLOCKS / DEVICES;
    return Array.from({ length: own * registers }, (_, at) => {
      const address = (n * own + Math.floor(at / registers)) * STRIDE + (at % registers);
      const options = modbusModule.tagSchema.parse({ address: `holding:${address}`, type: "uint16" });
      return { name: `r${address}`, everyMs: EVERY_MS, stream: "telemetry", type: "uint16", options };
    });
  }
  const devices = Array.from({ length: DEVICES }, (_, n) => ({
    name: `device-${n}`,
    link: "line",
    topic: `plant/device-${n}`,
    options: modbusModule.deviceSchema.parse({ unit: 1, maxGap: 0 }),
    tags: tagsOf(n),
  }));
  const expected = new Map(
    devices.map((device) => {
      const names = device.tags.map(({ name }) => name);
      return [device, { names, values: names.map((name) => valueAt(Number(name.slice(1)))) }];
    }),
  );
  const line = new Link({
    name: "line",
    driver: () => modbusModule.create(link, { link: "line", clock, log, metrics }),
    devices,
    clock,
    log,
    metrics,
    emit({ device, samples }) {
      const { names, values: right } = expected.get(device);
      requests += samples.length / registers;
      values += samples.length;
      for (let at = 0; at < samples.length; at++) {
        if (samples[at].value !== right[at] || samples[at].tag !== names[at]) wrong++;
      }
    },
  });
  await line.start();
  await measure();
  const { state, devices: seen } = line.status();
  const errors = seen.reduce((sum, { timeouts, errors }) => sum + timeouts + errors, 0);
  if (state !== "connected" || errors > 0) throw new Error(`link ${state}, ${errors} errors`);
  await line.stop();
}

await (side === "bare" ? bare() : millrace());
