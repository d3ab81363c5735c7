/**
 * A process to be killed: appends numbered records to both streams, reads some of them back, settles most, and says on
 * stdout what it was promised. Arguments: folder, round.
 */
import { argv, stdout } from "node:process";
import { silentLogger } from "../../gateway/core/log.ts";
import { noMetrics } from "../../gateway/core/metrics.ts";
import { STREAMS, type StreamName } from "../../gateway/core/record.ts";
import { selectorOf } from "../../gateway/core/selector.ts";
import { LevelQueue } from "../../gateway/queue/level-queue.ts";

const [, , dataDir = "", round = "0"] = argv;

/** One line; a pipe takes it in one piece. */
function say(...words: (string | number)[]): void {
  stdout.write(`${words.join(" ")}\n`);
}

const clock = {
  bootId: "boot-1",
  now: () => ({ wallMs: Date.now(), monoMs: performance.now(), clock: "synced" as const }),
};
const queue = new LevelQueue({
  dataDir,
  options: {
    maxBytes: 2 ** 30,
    minFree: 0,
    segment: 64 * 1024,
    sync: 200,
    eventsPolicy: "refuse",
    telemetryPolicy: "drop-oldest",
    endurance: 10e12,
  },
  clock,
  log: silentLogger,
  metrics: noMetrics,
  machineId: "machine-1",
});

let made = 0;

async function append(stream: StreamName): Promise<void> {
  for (;;) {
    const texts = Array.from({ length: 1 + (made % 7) }, () => `${round}-${stream}-${++made}`);
    const records = texts.map((text) => ({
      taken: clock.now(),
      durable: made % 3 === 0,
      content: {
        kind: "message" as const,
        topic: "plant/a",
        payload: Buffer.from(text + " ".repeat(made % 2000)),
        qos: 1 as const,
        retain: false,
      },
    }));
    await queue.append(stream, records);
    say("appended", stream, ...texts);
  }
}

async function forward(stream: StreamName): Promise<void> {
  const forever = new AbortController().signal;
  for (;;) {
    const entries = await queue.read("up", { stream, lane: "fifo", maxRecords: 40, maxBytes: 2 ** 20 }, forever);
    for (const { seq, epoch, content } of entries) {
      if (content.kind === "message") say("read", stream, epoch, seq, Buffer.from(content.payload).toString().trim());
    }
    const seqs = entries.map(({ seq }) => seq).filter((seq) => seq % 9 !== 0);
    // What was said before is delivered, whether the promise is kept or not.
    await queue.settle("up", stream, seqs.reverse());
  }
}

await queue.start();
await queue.open("up", { selector: selectorOf(["#"]), from: "oldest", required: true });
say("ready");
await Promise.all(STREAMS.flatMap((stream) => [append(stream), append(stream), forward(stream)]));
