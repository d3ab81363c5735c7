// Opens stores and says what is owed in them. In a process of its own: a damaged store could end it.
// One JSON per line in ({ dir, again }) and out ({ owed, gaps, fresh } or { error }).
import { stdin, stdout } from "node:process";
import { createInterface } from "node:readline";
import { everything, queueIn, recordOf, STREAMS, tokenOf } from "./records.mjs";

let checks = 0;

/** Opens, appends one record a stream, and reads up to it; `close` is a clean stop. */
async function look(dir) {
  const round = `check${++checks}`;
  const queue = queueIn(dir, {});
  const found = { owed: [], gaps: [], fresh: [] };
  try {
    await queue.start();
    await queue.open("up", everything);
    for (const stream of STREAMS) {
      const token = `${round}.${stream[0]}.1`;
      await queue.append(stream, [recordOf(stream, token, true, [20, 0])]);
      for (let at = ""; at !== token; ) {
        const want = { stream, lane: "fifo", maxRecords: 4096, maxBytes: 2 ** 20 };
        for (const entry of await queue.read("up", want, AbortSignal.timeout(20_000))) {
          at = tokenOf(entry) ?? "";
          const place = at === token ? found.fresh : found.owed;
          place.push([stream, entry.epoch, entry.seq, at]);
        }
      }
    }
    found.gaps = queue
      .gaps("up")
      .map(({ stream, epoch, from, to, reason, count, exact }) => ({ stream, epoch, from, to, reason, count, exact }));
  } finally {
    await queue.close();
  }
  return found;
}

for await (const line of createInterface({ input: stdin })) {
  const { dir, again } = JSON.parse(line);
  let found;
  try {
    found = await look(dir);
    // Whatever was found stands at the next start too: what is owed stays owed.
    if (again) found.again = await look(dir);
  } catch (error) {
    found = { error: String(error?.cause?.stack ?? error?.stack ?? error) };
  }
  stdout.write(`${JSON.stringify(found)}\n`);
}
