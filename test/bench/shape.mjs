// What scaling, deadband, heartbeat, rate and derived tags cost between driver and queue: a sample that has none of them
// against one that is only handed on, and each of them against that. 20,000 samples a second are 20 groups of 1,000 at 1 s.
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { median, root, short } from "./support.mjs";

const dist = process.env.BENCH_DIST ?? join(root, "dist");
const load = (path) => import(pathToFileURL(join(dist, "gateway", path)).href);
const { Outlet } = await load("southbound/outlet.js");
const { GroupRun } = await load("southbound/group-run.js");
const { planLink } = await load("southbound/plan.js");
const { DeviceShaper } = await load("southbound/shape/device-shaper.js");
const { parseExpression } = await load("core/expression/parse.js");
const { scaled, scaler } = await load("core/decimal.js");

const TAGS = 1000;
const SCANS = short ? 300 : 2000;
const ROUNDS = short ? 3 : 7;

const meter = { scan() {}, online() {} };
const log = {
  error(fields) {
    throw fields.err;
  },
};
const driver = { plan: (device, tags) => [{ device, tags, label: "", wireMs: 0 }] };

/** One group of 1,000 tags, fed with values that wander; gives nanoseconds a sample. */
function side(keysOf, derivedOf = () => []) {
  const names = Array.from({ length: TAGS }, (_, index) => `t${index}`);
  const tag = (name, keys) => ({ name, everyMs: 1000, stream: "telemetry", type: "float64", options: {}, ...keys });
  const device = { name: "d", link: "l", topic: "t", options: {} };
  device.tags = names.map((name) => tag(name, keysOf(name)));
  device.derived = derivedOf(names).map(({ name, ...keys }) => tag(name, keys));
  let monoMs = 0;
  let sent = 0;
  const clock = { now: () => ({ wallMs: monoMs, monoMs, clock: "synced" }) };
  const run = new GroupRun(planLink(driver, [device])[0], 0);
  const shaper = DeviceShaper.of(device);
  const outlet = new Outlet({
    clock,
    log,
    meter,
    emit: (scan) => {
      sent += scan.samples.length;
    },
    shapers: new Map(shaper ? [["d", shaper]] : []),
    stations: [{ device, runs: [run] }],
    options: { remindMs: 60_000, timers: { after: () => () => {} } },
  });
  const scans = Array.from({ length: 10 }, (_, at) =>
    names.map((name, index) => ({ tag: name, quality: "good", value: (index * 7 + at * 13) % 4000, monoMs: 0 })),
  );
  return {
    time() {
      const start = process.hrtime.bigint();
      for (let at = 0; at < SCANS; at++) {
        monoMs += 1000;
        outlet.scan(run, scans[at % scans.length]);
      }
      const took = Number(process.hrtime.bigint() - start);
      if (sent === 0) throw new Error("nothing was sent");
      return took / (SCANS * TAGS);
    },
  };
}

/** What an outlet at least has to do: hand the scan on. */
function handedOn() {
  const samples = Array.from({ length: TAGS }, (_, index) => ({
    tag: `t${index}`,
    quality: "good",
    value: index,
    monoMs: 0,
  }));
  let sent = 0;
  const emit = (scan) => {
    sent += scan.samples.length;
  };
  return {
    time() {
      const start = process.hrtime.bigint();
      // Each sample is looked at once, as whatever comes after does.
      for (let at = 0; at < SCANS; at++) {
        for (const sample of samples) if (sample.quality === "good") sent += sample.value & 1;
        emit({ samples });
      }
      return Number(process.hrtime.bigint() - start) / (SCANS * TAGS) + (sent < 0 ? 1 : 0);
    },
  };
}

function arithmetic(make) {
  const scale = make();
  return {
    time() {
      let sum = 0;
      const start = process.hrtime.bigint();
      const count = (SCANS * TAGS) / 10;
      for (let raw = 0; raw < count; raw++) sum += Number(scale(raw % 65_536));
      if (!(sum > 0)) throw new Error("nothing was scaled");
      return Number(process.hrtime.bigint() - start) / count;
    },
  };
}

export function run() {
  const node = parseExpression("t1 * t2 / 1000 + 3");
  const expression = (names) =>
    names.slice(0, TAGS / 10).map((name) => ({
      name: `x-${name}`,
      rule: { kind: "expression", node },
      inputs: ["t1", "t2"],
      triggers: ["t1", "t2"],
    }));
  const sides = {
    "looked at once": handedOn(),
    "no keys": side(() => ({})),
    deadband: side(() => ({ deadband: 5 })),
    "deadband, maxSilence, rate": side(() => ({ deadband: 5, maxSilenceMs: 60_000, minIntervalMs: 2000 })),
    "scale, clamp": side(() => ({ shape: { scale: 0.1, clamp: [0, 300] } })),
    "an expression for each tenth tag": side(() => ({}), expression),
    "scale 0.1 by itself": arithmetic(() => scaler({ scale: 0.1, offset: 2.5 })),
    "the same in BigInt": arithmetic(() => (raw) => scaled(raw, { scale: 0.1, offset: 2.5 })),
    "the same in binary": arithmetic(() => (raw) => raw * 0.1 + 2.5),
  };
  const rounds = Object.fromEntries(Object.keys(sides).map((name) => [name, []]));
  for (let round = 0; round <= ROUNDS; round++) {
    for (const [name, { time }] of Object.entries(sides)) {
      const ns = time();
      if (round > 0) rounds[name].push(ns);
    }
  }
  for (const [name, values] of Object.entries(rounds)) {
    const ns = median(values);
    const share = (ns * 20_000) / 1e7;
    console.log(
      `${name.padEnd(34)} ${ns.toFixed(1).padStart(7)} ns a sample  ${share.toFixed(2)} % of a core at 20,000/s`,
    );
  }
  const ratio = median(rounds["no keys"]) / median(rounds["looked at once"]);
  console.log(`no keys against looked at once: ratio ${ratio.toFixed(2)}`);
  if (ratio > 2) throw new Error("samples without any key are held up");
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) run();
