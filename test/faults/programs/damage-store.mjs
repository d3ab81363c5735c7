// Makes a store to be damaged: { dataDir, report, seed, close }. Appends to both streams, settles part of it for two uplinks
// so that each cursor stands in the midst, and ends by closing the queue or by being killed. The report is one JSON:
// per stream and seq the token and the uplinks that are still owed it.
import { writeFileSync } from "node:fs";
import { argv, stdout } from "node:process";
import { selectorOf } from "../../../dist/gateway/core/selector.js";
import { queueIn, random, recordOf, STREAMS, tokenOf } from "./records.mjs";

const { dataDir, report, seed, close } = JSON.parse(argv[2]);
const next = random(seed);
const queue = queueIn(dataDir, { segment: 64 * 1024, sync: 50 });
const uplinks = { up: ["#"], some: ["plant/some/#"] };
const APPENDS = 90;
const MOST = 8;

await queue.start();
for (const [name, select] of Object.entries(uplinks)) {
  await queue.open(name, { selector: selectorOf(select), from: "oldest", required: true });
}
const stored = { events: {}, telemetry: {} };
for (let n = 0; n < APPENDS; n++) {
  for (const stream of STREAMS) {
    const count = 1 + Math.floor(next() * MOST);
    const tokens = Array.from({ length: count }, (_, i) => `${stream[0]}.${n}.${i}`);
    const records = tokens.map((token) => {
      const record = recordOf(stream, token, true, [100, 1800]);
      const { content } = record;
      return content.kind === "message" && next() < 0.25
        ? { ...record, content: { ...content, topic: "plant/some/scan" } }
        : record;
    });
    await queue.append(stream, records);
    const { nextSeq } = queue.stats().streams[stream];
    for (const [i, token] of tokens.entries()) {
      const some = records[i].content.topic === "plant/some/scan";
      stored[stream][nextSeq - count + i] = { token, owed: some ? ["up", "some"] : ["up"] };
    }
  }
}
for (const stream of STREAMS) {
  for (const name of Object.keys(uplinks)) {
    const part = stream === "events" ? 0.35 : 0.3;
    const count = Math.floor(Object.values(stored[stream]).filter(({ owed }) => owed.includes(name)).length * part);
    const read = [];
    while (read.length < count) {
      const want = { stream, lane: "fifo", maxRecords: count - read.length, maxBytes: 2 ** 20 };
      read.push(...(await queue.read(name, want, AbortSignal.timeout(10_000))));
    }
    // Some of the last ones are left out, so that the cursor has holes.
    const settled = read.filter(({ seq }, index) => index < count - 20 || seq % 3 > 0);
    await queue.settle(
      name,
      stream,
      settled.map(({ seq }) => seq),
    );
    for (const entry of settled) {
      const of = stored[stream][entry.seq];
      if (tokenOf(entry) !== of.token) throw new Error("read back wrong");
      of.owed = of.owed.filter((other) => other !== name);
    }
  }
}
// Twice a second slot of each cursor is on disk.
await new Promise((resolve) => setTimeout(resolve, 1200));
if (close) await queue.close();
writeFileSync(report, JSON.stringify(stored));
stdout.write("ready\n");
if (!close) setInterval(() => {}, 1000);
