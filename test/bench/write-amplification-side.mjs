// One process of the write amplification benchmark; prints `done`.
//   node write-amplification-side.mjs queue|level <folder> <records> <batch>   appends durable batches, one after the other
//   node write-amplification-side.mjs drain <folder> <records>                 reads and settles; none: opens and closes
//   node write-amplification-side.mjs paced|paced-drain <folder> <seconds>     telemetry, ten times a second, 20 records each
import { join } from "node:path";
import { Level } from "level";
import { append, drain, openQueue, PAYLOAD } from "./queue-home.mjs";
import { pause, reserveMade } from "./support.mjs";

const [mode, folder, count, batch] = process.argv.slice(2);
const total = Number(count);
const size = Number(batch);

async function withQueue(work) {
  const queue = await openQueue(join(folder, "queue"));
  await reserveMade(join(folder, "queue"));
  await work(queue);
  await queue.close();
}

async function level() {
  const db = new Level(join(folder, "level"), {
    keyEncoding: "buffer",
    valueEncoding: "buffer",
    compression: false,
    writeBufferSize: 256 * 1024 * 1024,
  });
  await db.open();
  const value = Buffer.alloc(PAYLOAD, "x");
  let seq = 0;
  const key = () => {
    const bytes = Buffer.alloc(8);
    bytes.writeUInt32BE(++seq, 4);
    return bytes;
  };
  for (let done = 0; done < total; done += size) {
    await db.batch(
      Array.from({ length: size }, () => ({ type: "put", key: key(), value })),
      { sync: true },
    );
  }
  await db.close();
}

async function paced(queue, draining) {
  for (let tick = 0; tick < total * 10; tick += 1) {
    await append(queue, "telemetry", 20, 20);
    if (draining) await drain(queue, "telemetry", 20);
    await pause(100);
  }
}

const modes = {
  queue: () => withQueue((queue) => append(queue, "events", total, size)),
  level,
  drain: () => withQueue((queue) => drain(queue, "events", total)),
  paced: () => withQueue((queue) => paced(queue, false)),
  "paced-drain": () => withQueue((queue) => paced(queue, true)),
};

await modes[mode]();
console.log("done");
