// A line of 8 units at 19200 baud on which every byte takes its time (line-peer.pl, on a pseudo-terminal), asked by the
// gateway's own driver and bus for more than the line can carry. Busy time: what the wire needs for the questions and answers
// that were made (11 bits a byte, 3.5 characters of silence after each, the unit's turn-around), of the time that passed. Then
// three units die, and come back.
import { spawn } from "node:child_process";
import { setPriority } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath, pathToFileURL } from "node:url";
import { pause, root, short } from "./support.mjs";

const load = (path) => import(pathToFileURL(join(root, "dist", path)).href);
const { modbusModule } = await load("drivers/modbus/module.js");
const { Link } = await load("gateway/southbound/link.js");
const { SystemClock } = await load("gateway/system/clock.js");
const { noMetrics } = await load("gateway/core/metrics.js");
const { silentLogger } = await load("gateway/core/log.js");

const BAUD = 19_200;
const UNITS = 8;
const DEAD = [2, 5, 7];
const ALIVE = Array.from({ length: UNITS }, (_, index) => index + 1).filter((unit) => !DEAD.includes(unit));
const TURNAROUND_MS = 3;
/** What a probe waits at least, and the configured time of a question. */
const PROBE_TIMEOUT_MS = 1000;
const SETTLE_MS = 3_000;
const PHASE_MS = short ? 4_000 : 15_000;
/** The promise, and what a machine that does other things beside must still keep. */
const LEAST_BUSY = short ? 0.5 : 0.95;
const LEAST_RATE = short ? 0.6 : 0.95;
const MOST_LOST = short ? 0.2 : 0.05;

/** The line, or undefined where there is no perl with its clock. */
async function openPeer() {
  const file = fileURLToPath(new URL("line-peer.pl", import.meta.url));
  const child = spawn("perl", [file, BAUD, 11, UNITS, TURNAROUND_MS], { stdio: ["pipe", "pipe", "ignore"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  child.on("error", () => {});
  // A UART is not kept waiting by other programs.
  try {
    setPriority(child.pid, -20);
  } catch {}
  child.stdin.on("error", () => {});
  const first = await lines.next();
  if (first.done) return undefined;
  const order = (text) => child.stdin.write(`${text}\n`);
  return {
    path: first.value,
    order,
    async stats() {
      order("stats");
      return JSON.parse((await lines.next()).value);
    },
    async close() {
      const gone = new Promise((resolve) => child.once("exit", resolve));
      child.stdin.end();
      await gone;
    },
  };
}

function newLink(path, units, registers, everyMs) {
  const transport = { type: "rtu", path, baud: BAUD, parity: "even" };
  const options = modbusModule.linkSchema.parse({ transport, timeout: `${PROBE_TIMEOUT_MS}ms` });
  const clock = new SystemClock();
  const devices = units.map((unit) => ({
    name: `unit-${unit}`,
    link: "line",
    topic: `line/unit-${unit}`,
    options: modbusModule.deviceSchema.parse({ unit }),
    tags: Array.from({ length: registers }, (_, at) => ({
      name: `t${at}`,
      everyMs,
      stream: "telemetry",
      type: "uint16",
      options: modbusModule.tagSchema.parse({ address: `holding:${at}`, type: "uint16" }),
    })),
  }));
  const context = { link: "line", clock, log: silentLogger, metrics: noMetrics };
  return new Link({
    name: "line",
    driver: () => modbusModule.create(options, context),
    devices,
    clock,
    log: silentLogger,
    metrics: noMetrics,
    emit: () => {},
  });
}

const ALL = Array.from({ length: UNITS }, (_, index) => index + 1);
const sum = (counts, units) => units.reduce((total, unit) => total + (counts[unit] ?? 0), 0);
const percent = (part) => `${(100 * part).toFixed(1)} %`;
const range = (values) => `${Math.min(...values).toFixed(2)} to ${Math.max(...values).toFixed(2)}`;
/** Answers a second of each of `units`. */
const rates = (stats, units) => units.map((unit) => ((stats.answered[unit] ?? 0) * 1000) / stats.elapsedMs);

/** Runs a link on the line, lets it settle, and gives what `action` gives. */
async function withLink(peer, units, registers, everyMs, action) {
  const link = newLink(peer.path, units, registers, everyMs);
  await link.start();
  await pause(SETTLE_MS);
  try {
    return await action(link);
  } finally {
    await link.stop();
  }
}

async function measured(peer, ms) {
  await peer.stats();
  await pause(ms);
  return await peer.stats();
}

const timeoutsOf = (link) => link.status().devices.reduce((total, device) => total + device.timeouts, 0);

async function busy(peer, registers, ms) {
  const [stats, timeouts] = await withLink(peer, ALL, registers, 50, async (link) => {
    const before = timeoutsOf(link);
    return [await measured(peer, ms), timeoutsOf(link) - before];
  });
  const part = stats.usedMs / stats.elapsedMs;
  const count = sum(stats.answered, ALL);
  const ignored = Object.values(stats.ignored).reduce((total, n) => total + n, 0);
  console.log(
    `${registers} registers each: busy ${percent(part)} of what the wire allows; ${count} exchanges of ` +
      `${(stats.usedMs / count).toFixed(2)} ms, ${((stats.elapsedMs - stats.usedMs) / count).toFixed(2)} ms lost with each ` +
      `(${(stats.behindMs / count).toFixed(2)} by the line itself, ${stats.lateMs.toFixed(1)} at most); each unit ` +
      `${range(rates(stats, ALL))} /s; ${ignored} questions too early or broken, ${timeouts} timeouts`,
  );
  if (ignored > 0) throw new Error("a question came before the line was silent for 3.5 characters, or broken");
  return part;
}

/** Three of eight die and come back, at this period of all tags. */
async function dying(peer, everyMs, title) {
  await withLink(peer, ALL, 10, everyMs, async (link) => {
    const full = await measured(peer, PHASE_MS);
    peer.order(`off ${DEAD.join(" ")}`);
    const offline = () => link.status().devices.filter(({ state }) => state === "offline").length;
    await until(() => offline() === DEAD.length, 60_000);
    const dead = await measured(peer, 2 * PHASE_MS);
    peer.order("on");
    const sinceMs = performance.now();
    const backMs = {};
    await until(() => {
      for (const unit of DEAD) {
        const device = link.status().devices[unit - 1];
        if (device.state === "online") backMs[unit] ??= performance.now() - sinceMs;
      }
      return Object.keys(backMs).length === DEAD.length;
    }, 120_000);
    const before = rates(full, ALIVE);
    const during = rates(dead, ALIVE);
    const kept = Math.min(...during.map((rate, index) => rate / before[index]));
    const lost = dead.lostMs / dead.elapsedMs;
    const allowedMs = Math.max(10_000, 20 * DEAD.length * PROBE_TIMEOUT_MS);
    const slowest = Math.max(...Object.values(backMs));
    console.log(
      `${title}: the others ${range(before)} /s before, ${range(during)} /s with ${DEAD.length} of ${UNITS} dead ` +
        `(the least keeps ${percent(kept)}); ${percent(lost)} of the time lost on the dead; back after ` +
        `${(slowest / 1000).toFixed(1)} s at most (allowed ${allowedMs / 1000} s)`,
    );
    if (kept < LEAST_RATE) throw new Error(`a living unit kept only ${percent(kept)} of its rate`);
    if (lost > MOST_LOST) throw new Error(`${percent(lost)} of the time went to dead units`);
    if (slowest > allowedMs) throw new Error("a unit was not polled again in time");
    return during;
  });
}

/** The same line where the dead units are not even configured: nothing can be faster. */
async function without(peer) {
  const bare = await withLink(peer, ALIVE, 10, 50, () => measured(peer, PHASE_MS));
  peer.order(`off ${DEAD.join(" ")}`);
  const dead = await withLink(peer, ALL, 10, 50, async (link) => {
    await until(() => link.status().devices.filter(({ state }) => state === "offline").length === DEAD.length, 60_000);
    return await measured(peer, 2 * PHASE_MS);
  });
  peer.order("on");
  const [best, kept] = [bare, dead].map((stats) => (sum(stats.answered, ALIVE) * 1000) / stats.elapsedMs);
  console.log(
    `full demand, against a line without the dead units: ${kept.toFixed(2)} of ${best.toFixed(2)} answers a second ` +
      `(${percent(kept / best)})`,
  );
}

async function until(done, withinMs) {
  const deadline = performance.now() + withinMs;
  while (!done()) {
    if (performance.now() > deadline) throw new Error("waited in vain");
    await pause(20);
  }
}

export async function run() {
  const peer = await openPeer();
  if (!peer) {
    console.log("skipped: no perl with Time::HiRes, or no pseudo-terminals");
    return "skipped";
  }
  try {
    const parts = [];
    for (const registers of short ? [10] : [1, 10, 60]) parts.push(await busy(peer, registers, PHASE_MS));
    await dying(peer, 50, "full demand");
    if (!short) {
      await dying(peer, 240, "demand that the line can just carry");
      await without(peer);
    }
    if (parts.at(short ? 0 : 1) < LEAST_BUSY) throw new Error(`busy for less than ${percent(LEAST_BUSY)} of the time`);
  } finally {
    await peer.close();
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) await run();
