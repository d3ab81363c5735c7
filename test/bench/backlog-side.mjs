// One process of the backlog benchmark; prints one line `result {…}`.
//   node --expose-gc backlog-side.mjs fill <folder> <records>
//   node --expose-gc backlog-side.mjs work <folder> <records>    opens, appends and drains that many
//   node --expose-gc backlog-side.mjs drain <folder> <records>   opens, and drains all it holds
import { readFileSync } from "node:fs";
import { append, drain, openQueue } from "./queue-home.mjs";

const [mode, folder, count] = process.argv.slice(2);
const total = Number(count);

function memory(field) {
  return Number(new RegExp(`${field}:\\s+(\\d+)`).exec(readFileSync("/proc/self/status", "utf8"))[1]) / 1024;
}

async function timed(work) {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}

const rate = (ms) => (total * 1000) / ms;

const modes = {
  async fill() {
    const queue = await openQueue(folder);
    const ms = await timed(() => append(queue, "telemetry", total, 2000));
    await queue.close();
    return { rate: rate(ms) };
  },
  async work() {
    let queue;
    const openMs = await timed(async () => {
      queue = await openQueue(folder);
    });
    const opened = memory("VmRSS");
    const appendMs = await timed(() => append(queue, "telemetry", total, 200));
    const drainMs = await timed(() => drain(queue, "telemetry", total));
    const peak = memory("VmHWM");
    globalThis.gc();
    const collected = memory("VmRSS");
    await queue.close();
    return { openMs, append: rate(appendMs), drain: rate(drainMs), opened, peak, collected };
  },
  async drain() {
    let queue;
    const openMs = await timed(async () => {
      queue = await openQueue(folder);
    });
    const ms = await timed(() => drain(queue, "telemetry", total));
    const peak = memory("VmHWM");
    const left = queue.stats().uplinks[0].streams.telemetry.depth;
    await queue.close();
    return { openMs, rate: rate(ms), peak, left };
  },
};

console.log(`result ${JSON.stringify(await modes[mode]())}`);
