// A fleet behind one cluster after a regional outage, in virtual time: when its gateways connect (the product's own back-off, against
// one without jitter), what they ask of the cluster, and when the last backlog is gone, with and without maxRate.
//   node test/bench/fleet.mjs [--gateways 1000] [--outage-hours 8] [--rate 2] [--cluster 50000] [--cap 40] [--seed 1]
import { load } from "./queue-home.mjs";

const { Backoff } = await load("northbound/backoff.js");
const option = (name, fallback) => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? fallback : Number(process.argv[at + 1]);
};
const GATEWAYS = option("gateways", 1000);
const OUTAGE_S = option("outage-hours", 8) * 3600;
/** Messages a second of one gateway: its backlog grows by them, and it goes on while it drains. */
const RATE = option("rate", 2);
/** Messages a second that the cluster takes. */
const CLUSTER = option("cluster", 50_000);
/** maxRate.messages of one gateway. */
const CAP = option("cap", 40);
/** Messages a second of one gateway that nothing holds up: measured on loopback, rounded. */
const FREE = 20_000;
const OPTIONS = { baseMs: 1000, capMs: 120_000, stableMs: 30_000 };
const STEP_S = 1;

/** The same numbers each time (mulberry32). */
function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** When each gateway connects, in seconds after the region is back: each has been trying since the outage began. */
function connects(jitter) {
  const next = random(option("seed", 1));
  return Array.from({ length: GATEWAYS }, () => {
    const backoff = new Backoff(OPTIONS, next);
    let waitMs = OPTIONS.baseMs;
    let at = 0;
    while (at < OUTAGE_S) {
      waitMs = jitter ? backoff.next(0) : Math.min(OPTIONS.capMs, waitMs * 2);
      at += waitMs / 1000;
    }
    return at - OUTAGE_S;
  });
}

function simulate(jitter, cap) {
  const at = connects(jitter);
  const perSecond = new Map();
  for (const second of at) perSecond.set(Math.floor(second), (perSecond.get(Math.floor(second)) ?? 0) + 1);
  const owed = at.map(() => OUTAGE_S * RATE);
  let peak = 0;
  let over = 0;
  let second = 0;
  let slowest = 0;
  for (; owed.some((left) => left > RATE) && second < 1e6; second += STEP_S) {
    // What each would send if the cluster took it, and the share that it takes.
    const wants = owed.map((left, n) => (at[n] > second ? 0 : Math.min(left + RATE, cap)));
    const asked = wants.reduce((sum, one) => sum + one, 0);
    const share = Math.min(1, CLUSTER / Math.max(asked, 1));
    peak = Math.max(peak, asked);
    if (asked > CLUSTER) over += STEP_S;
    for (let n = 0; n < owed.length; n++) owed[n] = Math.max(0, owed[n] + RATE - wants[n] * share);
  }
  slowest = second;
  return { connects: Math.max(...perSecond.values()), peak, over, slowest };
}

export function run() {
  const number = (n) => Math.round(n).toLocaleString("en");
  console.log(
    `${number(GATEWAYS)} gateways, ${RATE} messages/s each, away for ${OUTAGE_S / 3600} h: ${number(GATEWAYS * OUTAGE_S * RATE)} messages; the cluster takes ${number(CLUSTER)}/s`,
  );
  const rows = [
    ["no jitter, no maxRate", false, FREE],
    ["no jitter, maxRate", false, CAP],
    ["jitter, no maxRate", true, FREE],
    [`jitter, maxRate ${CAP}/s`, true, CAP],
  ];
  for (const [name, jitter, cap] of rows) {
    const found = simulate(jitter, cap);
    console.log(
      `${name.padEnd(24)} connections in a second, at most ${number(found.connects).padStart(5)}; asked of the cluster, at most ${number(found.peak).padStart(10)}/s; ` +
        `more than it takes for ${number(found.over).padStart(5)} s; all clear after ${number(found.slowest / 60)} min`,
    );
  }
}
if (process.argv[1] === new URL(import.meta.url).pathname) run();
