// The planner against the optimum, one request per tag, and merging over gaps of up to 8: requests and time on the bus of one
// scan. 50 random register maps and those of real devices, on lines of three speeds and on TCP. No socket is opened.
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { MAPS } from "./register-maps.mjs";
import { root } from "./support.mjs";

const load = (path) => import(pathToFileURL(join(root, "dist", "drivers", "modbus", path)).href);
const { modbusModule } = await load("module.js");
const { ModbusDriver } = await load("driver.js");
const { readLink } = await load("options.js");
const { costOf, readUs } = await load("plan/cost.js");

const MOST = 125;
const serial = (baud) => ({ type: "rtu", path: "/dev/null", baud, parity: "even" });
const TRANSPORTS = {
  "9600 baud": serial(9600),
  "19200 baud": serial(19_200),
  "115200 baud": serial(115_200),
  tcp: { type: "tcp", host: "127.0.0.1" },
};
const clock = { bootId: "bench", now: () => ({ wallMs: 0, monoMs: 0, clock: "synced" }) };
const log = { debug() {}, info() {}, warn() {}, error() {}, child: () => log };

const typeOf = (size) => ["uint16", "uint32", undefined, "float64"][size - 1] ?? `string(${2 * size})`;

/** What the gateway itself plans for a device with such tags, as [first, length]. */
function planned(transport, { area, values }) {
  const link = readLink(modbusModule.linkSchema.parse({ transport }));
  const tags = values.map(({ start, end }, index) => {
    const options = modbusModule.tagSchema.parse({ address: `${area}:${start}`, type: typeOf(end - start) });
    return { name: `t${index}`, everyMs: 1000, stream: "telemetry", type: "", options };
  });
  const device = { name: "d", link: "l", topic: "t", tags, options: modbusModule.deviceSchema.parse({ unit: 1 }) };
  const driver = new ModbusDriver(link, { link: "l", clock, log });
  const requests = driver.plan(device, tags, {});
  const covered = new Set(requests.flatMap((request) => request.tags.map(({ name }) => name)));
  if (covered.size !== tags.length) throw new Error("the plan leaves out a tag");
  return requests.map(({ question }) => question.count);
}

/** Merging from left to right, over gaps of up to `gap`. */
function merged(values, gap) {
  const runs = [];
  for (const { start, end } of values) {
    const last = runs.at(-1);
    if (last && start - last.end <= gap && end - last.start <= MOST) last.end = Math.max(last.end, end);
    else runs.push({ start, end });
  }
  return runs.map(({ start, end }) => end - start);
}

/**
 * The least that any plan can cost. Up to 16 values every partition of the row is tried; beyond that the shortest paths are found
 * by relaxing every edge until nothing changes (Bellman-Ford), which shares nothing with the planner.
 */
function optimum(values, us) {
  const n = values.length;
  const cost = (from, to) => {
    const count = values[to - 1].end - values[from].start;
    return count <= MOST ? us(count) : Number.POSITIVE_INFINITY;
  };
  if (n <= 16) {
    let best = Number.POSITIVE_INFINITY;
    for (let cuts = 0; cuts < 2 ** (n - 1); cuts++) {
      let total = 0;
      let from = 0;
      for (let at = 1; at <= n; at++) {
        if (at < n && ((cuts >> (at - 1)) & 1) === 0) continue;
        total += cost(from, at);
        from = at;
      }
      best = Math.min(best, total);
    }
    return best;
  }
  const least = new Array(n + 1).fill(Number.POSITIVE_INFINITY);
  least[0] = 0;
  for (let changed = true; changed; ) {
    changed = false;
    for (let to = n; to > 0; to--) {
      for (let from = 0; from < to; from++) {
        const through = least[from] + cost(from, to);
        if (through < least[to]) [least[to], changed] = [through, true];
      }
    }
  }
  return least[n];
}

function randomMaps(count) {
  let seed = 20_240;
  const below = (n) => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((seed / 2 ** 32) * n);
  };
  return Array.from({ length: count }, (_, index) => {
    const values = [];
    const widest = [4, 12, 30, 80][below(4)];
    for (let at = below(50), left = 4 + below(60); left > 0; left--) {
      const size = [1, 1, 2, 2, 4][below(5)];
      values.push({ start: at, end: at + size });
      at += size + (below(3) === 0 ? below(widest) : 0);
    }
    return { device: `random ${index + 1}`, area: "holding", values };
  });
}

/** Figures of one map on one transport. */
function measure(transport, map) {
  const cost = costOf(readLink(modbusModule.linkSchema.parse({ transport })).transport);
  const us = (count) => readUs(cost, false, count);
  const sum = (lengths) => ({ requests: lengths.length, us: lengths.reduce((total, length) => total + us(length), 0) });
  return {
    plan: sum(planned(transport, map)),
    best: optimum(map.values, us),
    single: sum(map.values.map(({ start, end }) => end - start)),
    gap8: sum(merged(map.values, 8)),
  };
}

const total = (figures, pick) => figures.reduce((sum, figure) => sum + pick(figure), 0);
const ms = (us) => `${(us / 1000).toFixed(1)} ms`;

function line(name, figures) {
  const plan = total(figures, ({ plan: { us } }) => us);
  const best = total(figures, (figure) => figure.best);
  const single = total(figures, (figure) => figure.single.us);
  const gap8 = total(figures, (figure) => figure.gap8.us);
  const requests = (key) => total(figures, (figure) => figure[key].requests);
  console.log(
    `${name.padEnd(52)} plan ${requests("plan")} requests ${ms(plan)}; optimum ${ms(best)}; ` +
      `one per tag ${requests("single")} ${ms(single)} (x${(single / plan).toFixed(2)}); ` +
      `gap 8 ${requests("gap8")} ${ms(gap8)} (x${(gap8 / plan).toFixed(2)})`,
  );
}

export function run() {
  const random = randomMaps(50);
  const worse = [];
  for (const [name, transport] of Object.entries(TRANSPORTS)) {
    const of = (maps) =>
      maps.map((map) => {
        const figures = measure(transport, map);
        const isBest = figures.plan.us <= figures.best * (1 + 1e-9);
        const isBeaten = figures.plan.us > Math.min(figures.single.us, figures.gap8.us) * (1 + 1e-9);
        if (!isBest || isBeaten) worse.push(`${map.device} on ${name}`);
        return figures;
      });
    const real = of(MAPS);
    if (name === "19200 baud") for (const [index, map] of MAPS.entries()) line(`  ${map.device}`, [real[index]]);
    line(`${MAPS.length} real maps, ${name}`, real);
    line(`50 random maps, ${name}`, of(random));
  }
  if (worse.length > 0) throw new Error(`not the optimum: ${worse.join(", ")}`);
  console.log(`the plan is the optimum in all ${4 * (MAPS.length + random.length)} cases`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) run();
