// Wrote test/golden/store-0.1, with the build of version 0.1, which opened old segments with LevelDB. Run by hand:
//   node scripts/golden-store-0.1.mjs DIST DATA
import { join } from "node:path";
import { argv, exit } from "node:process";

const [, , dist, dataDir] = argv;
const from = (file) => import(join(dist, "gateway", file));
const { silentLogger } = await from("core/log.js");
const { noMetrics } = await from("core/metrics.js");
const { selectorOf } = await from("core/selector.js");
const { LevelQueue } = await from("queue/level-queue.js");
const make = () =>
  new LevelQueue({
    dataDir,
    options: {
      maxBytes: 2 ** 30,
      minFree: 0,
      segment: 4096,
      sync: 1000,
      eventsPolicy: "refuse",
      telemetryPolicy: "drop-oldest",
    },
    clock: {
      bootId: "6f9619ff-8b86-d011-b42d-00c04fc964ff",
      now: () => ({ wallMs: 1732300000000, monoMs: 1000, clock: "synced" }),
    },
    log: silentLogger,
    metrics: noMetrics,
    machineId: "machine-1",
  });
const source = {
  link: "plc-1",
  device: "press-1",
  group: "1000ms",
  topic: "plant/press-1",
  tags: [{ name: "text", type: "string(64)" }],
};
const taken = { wallMs: 1732300000000, monoMs: 1000, clock: "synced" };
let n = 0;
const record = (stream) => {
  n++;
  const text = `${stream} ${n}`.padEnd(60, ".");
  return {
    taken,
    durable: true,
    content:
      n % 3 === 0
        ? { kind: "samples", source, samples: [{ tag: "text", quality: "good", value: text, offsetMs: 0 }] }
        : { kind: "message", topic: "plant/scan", payload: Buffer.from(text), qos: 1, retain: false },
  };
};
const up = { selector: selectorOf(["#"]), from: "oldest", required: true };
const q = make();
await q.start();
await q.open("up", up);
for (let i = 0; i < 15; i++)
  for (const s of ["events", "telemetry"])
    await q.append(
      s,
      Array.from({ length: 10 }, () => record(s)),
    );
// Reads, so that segments are opened; settles a few.
for (const s of ["events", "telemetry"]) {
  let got = 0;
  while (got < 150) {
    const e = await q.read(
      "up",
      { stream: s, lane: "fifo", maxRecords: 40, maxBytes: 2 ** 20 },
      AbortSignal.timeout(5000),
    );
    got += e.length;
    if (got <= 40)
      await q.settle(
        "up",
        s,
        e.slice(0, 10).map((x) => x.seq),
      );
  }
}
await q.close();
exit(0);
