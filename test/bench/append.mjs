// Durable append of 200-byte messages, against bare `level` batches with sync of the same size: records a second.
// Two ways in: whole batches, one after the other; and single appends from many at once, which share what the last fsync
// let gather (the other side then writes batches of the size that came out).
import { Level } from "level";
import { load, openQueue, PAYLOAD, recordOf } from "./queue-home.mjs";
import { compare, median, reserveMade, scratch, short } from "./support.mjs";

const { LevelSegments } = await load("queue/level-segments.js");

const FSYNCS = short ? 150 : 400;
/** Single appends, of which the first quarter is not measured: until the segment is made and the code is compiled. */
const SINGLES = short ? 800 : 4000;
const payload = Buffer.alloc(PAYLOAD, "x");
const record = () => ({ ...recordOf(payload), durable: true });

/** LevelDB segments that count the batches written. */
class Counting extends LevelSegments {
  batches = 0;
  async create(folder, header) {
    const open = await super.create(folder, header);
    const write = open.write.bind(open);
    open.write = (pairs, sync) => {
      this.batches += 1;
      return write(pairs, sync);
    };
    return open;
  }
}

async function withQueue(work) {
  const home = scratch("append");
  const engine = new Counting();
  const queue = await openQueue(home.path, {}, engine);
  await reserveMade(home.path);
  try {
    return await work(queue, engine);
  } finally {
    await queue.close();
    home.remove();
  }
}

async function withLevel(work) {
  const home = scratch("level");
  const db = new Level(home.path, {
    keyEncoding: "buffer",
    valueEncoding: "buffer",
    compression: false,
    writeBufferSize: 32 * 1024 * 1024,
  });
  await db.open();
  try {
    return await work(db);
  } finally {
    await db.close();
    home.remove();
  }
}

/** Batches of `size`, one after the other; the first quarter is not measured. */
const queueBatches = (size, count) =>
  withQueue(async (queue) => {
    for (let n = 0; n < count / 3; n += 1) await queue.append("events", Array.from({ length: size }, record));
    const begun = performance.now();
    for (let n = 0; n < count; n += 1) await queue.append("events", Array.from({ length: size }, record));
    return (size * count * 1000) / (performance.now() - begun);
  });

const levelBatches = (size, count) =>
  withLevel(async (db) => {
    let seq = 0;
    const key = () => {
      const bytes = Buffer.alloc(8);
      bytes.writeUInt32BE(++seq, 4);
      return bytes;
    };
    const batch = () =>
      db.batch(
        Array.from({ length: size }, () => ({ type: "put", key: key(), value: payload })),
        { sync: true },
      );
    for (let n = 0; n < count / 3; n += 1) await batch();
    const begun = performance.now();
    for (let n = 0; n < count; n += 1) await batch();
    return (size * count * 1000) / (performance.now() - begun);
  });

/** `many` clients, each appending one record and waiting for it, again and again. */
const queueConcurrent = (many, total, sizes) =>
  withQueue(async (queue, engine) => {
    let left = total;
    const before = engine.batches;
    const begun = performance.now();
    const client = async () => {
      while (left-- > 0) await queue.append("events", [record()]);
    };
    await Promise.all(Array.from({ length: many }, client));
    const ms = performance.now() - begun;
    sizes.push(total / (engine.batches - before));
    return (total * 1000) / ms;
  });

/** A single awaited append, in milliseconds at the 99th percentile, against the disk's own fsync by bare level. */
async function p99(one) {
  const times = [];
  for (let n = 0; n < SINGLES; n += 1) {
    const begun = performance.now();
    await one();
    if (n >= SINGLES / 4) times.push(performance.now() - begun);
  }
  return times.sort((a, b) => a - b)[Math.floor(times.length * 0.99)];
}

export async function run() {
  const results = [];
  for (const size of [1, 100, 1000]) {
    const count = size === 1 ? SINGLES : Math.max(40, Math.round(FSYNCS / Math.max(1, size / 100)));
    results.push(
      await compare(
        `durable append, batches of ${size}`,
        "records/s",
        "millrace",
        () => queueBatches(size, count),
        "bare level",
        () => levelBatches(size, count),
      ),
    );
  }
  for (const many of [64, 1000]) {
    const sizes = [];
    const total = short ? 20_000 : 60_000;
    results.push(
      await compare(
        `durable append, ${many} at once`,
        "records/s",
        "millrace",
        () => queueConcurrent(many, total, sizes),
        "bare level, same batch size",
        () => {
          const size = Math.max(1, Math.round(sizes.length > 0 ? median(sizes) : many));
          return levelBatches(size, Math.ceil(total / size));
        },
      ),
    );
  }
  results.push(
    await compare(
      "p99 of a single awaited append",
      "ms",
      "millrace",
      () => withQueue((queue) => p99(() => queue.append("events", [record()]))),
      "bare level put with sync",
      () => withLevel((db) => p99(() => db.put(Buffer.from(String(Math.random())), payload, { sync: true }))),
    ),
  );
  return results;
}
if (process.argv[1] === new URL(import.meta.url).pathname) await run();
