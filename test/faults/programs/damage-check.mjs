// Opens damaged stores, in a process of its own: one could end it. One JSON per line in ({ dir }) and out: per uplink and
// stream what is delivered ([seq, token]) and told as gaps, up to a record that is appended after the start; or { error }.
import { stdin, stdout } from "node:process";
import { createInterface } from "node:readline";
import { selectorOf } from "../../../dist/gateway/core/selector.js";
import { queueIn, recordOf, STREAMS, tokenOf } from "./records.mjs";

const uplinks = { up: ["#"], some: ["plant/some/#"] };

async function look(dir) {
  const queue = queueIn(dir, { segment: 64 * 1024 });
  try {
    await queue.start();
    for (const [name, select] of Object.entries(uplinks)) {
      await queue.open(name, { selector: selectorOf(select), from: "oldest", required: true });
    }
    const found = { delivered: {}, gaps: {} };
    for (const stream of STREAMS) {
      const fresh = recordOf(stream, "fresh", true, [20, 0]);
      await queue.append(stream, [{ ...fresh, content: { ...fresh.content, topic: "plant/some/fresh" } }]);
    }
    for (const name of Object.keys(uplinks)) {
      found.delivered[name] = { events: [], telemetry: [] };
      for (const stream of STREAMS) {
        for (let at = ""; at !== "fresh"; ) {
          const want = { stream, lane: "fifo", maxRecords: 100, maxBytes: 2 ** 18 };
          for (const entry of await queue.read(name, want, AbortSignal.timeout(20_000))) {
            at = tokenOf(entry) ?? "";
            if (at !== "fresh") found.delivered[name][stream].push([entry.seq, at]);
          }
        }
      }
      found.gaps[name] = queue.gaps(name);
    }
    found.quarantined = queue.stats().quarantined;
    return found;
  } finally {
    await queue.close();
  }
}

for await (const line of createInterface({ input: stdin })) {
  const { dir } = JSON.parse(line);
  let found;
  try {
    found = await look(dir);
  } catch (error) {
    found = { error: String(error?.cause?.stack ?? error?.stack ?? error) };
  }
  stdout.write(`${JSON.stringify(found)}\n`);
}
