// A queue in a folder of its own, without a gateway around it; and records of 200 bytes for it.
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { root } from "./support.mjs";

/** Another build than this one's can be measured: BENCH_DIST=/path/to/dist */
const dist = process.env.BENCH_DIST ?? join(root, "dist");
export const load = (path) => import(pathToFileURL(join(dist, "gateway", path)).href);
const { LevelQueue } = await load("queue/level-queue.js");
const { queueOptions } = await load("core/options/queue.js");
export const { silentLogger } = await load("core/log.js");
export const { noMetrics } = await load("core/metrics.js");
const { selectorOf } = await load("core/selector.js");

export const PAYLOAD = 200;
export const SEGMENT = queueOptions.parse({}).segment;

/** Unix milliseconds, with fractions. */
export const wall = () => performance.timeOrigin + performance.now();
export const clock = { bootId: "bench", now: () => ({ wallMs: wall(), monoMs: performance.now(), clock: "synced" }) };
const plain = Buffer.alloc(PAYLOAD, "x");

/** A record with `payload`, as one is captured. */
export const recordOf = (payload) => ({
  taken: clock.now(),
  content: { kind: "message", topic: "plant/line-1/scan", payload, qos: 1, retain: false },
});

/** Opened, with the one uplink `cloud` that selects everything. */
export async function openQueue(dataDir, options = {}, engine = undefined) {
  const queue = new LevelQueue({
    dataDir,
    options: queueOptions.parse({ maxBytes: "64GiB", minFree: "16MiB", ...options }),
    clock,
    log: silentLogger,
    metrics: noMetrics,
    machineId: "bench",
    ...(engine === undefined ? {} : { engine }),
  });
  await queue.start();
  await queue.open("cloud", { selector: selectorOf(["#"]), from: "oldest", required: true });
  return queue;
}

/** Appends batches of `size`, each when the one before it is on disk. */
export async function append(queue, stream, total, size, payload = plain) {
  for (let done = 0; done < total; done += size) {
    const records = Array.from({ length: Math.min(size, total - done) }, () => recordOf(payload));
    await queue.append(stream, records);
  }
}

/** Reads `total` records and settles them, a window of 256 at a time. */
export async function drain(queue, stream, total) {
  const { signal } = new AbortController();
  for (let done = 0; done < total; ) {
    const want = { stream, lane: "fifo", maxRecords: Math.min(256, total - done), maxBytes: 1024 * 1024 };
    const entries = await queue.read("cloud", want, signal);
    const seqs = entries.map(({ seq }) => seq);
    await queue.settle("cloud", stream, seqs);
    done += entries.length;
  }
}
