// A process to be hurt: appends numbered records to both streams, reads them back, settles out of order, and writes down
// each promise it was given in a file beside the store, one system call a line, before it does anything else.
//
//   a <stream> <epoch> <first seq> <tokens,…> <0|1 durable>   an append resolved
//   f <stream> <log file> <bytes>                             what the newest log held when a durable append resolved
//   d <stream> <epoch> <seq>=<token>,…                        delivered: settle is called next
//   g <stream> <epoch> <from> <to> <reason> <count> <0|1>     a gap was delivered: settleGap is called next
//   x <text>                                                  something that must not happen
import { openSync, readdirSync, readFileSync, writevSync } from "node:fs";
import { join } from "node:path";
import { argv, exit, pid, stdin, stdout } from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { everything, queueIn, random, recordOf, STREAMS, tokenOf } from "./records.mjs";

const options = {
  round: 0,
  seed: 1,
  /** Concurrent appenders a stream. */
  lanes: 2,
  /** Appends a lane; 0: until killed. */
  appends: 0,
  /** Records an append, least and span. */
  batch: [1, 6],
  /** Bytes a record, least and span. */
  size: [20, 2000],
  /** Part of the telemetry appends that are durable. */
  durable: 0.3,
  /** Part of the records read that is settled. */
  settle: 0.9,
  /** Telemetry that the queue refuses is not appended again: it is lost, and told. */
  shed: false,
  /** Reads nothing until told to. */
  later: false,
  pauseMs: 0,
  /** Reports the size of logs. */
  logs: false,
  /** Instead of closing the queue at the end, be quiet for so many milliseconds, say so, and wait to be killed. */
  idle: 0,
  /** Wait for a line on stdin before the queue is started. */
  wait: false,
  queue: {},
  ...JSON.parse(argv[2] ?? "{}"),
};
const report = openSync(options.report, "a");
const next = random(options.seed);
const endOfLine = Buffer.from("\n");

// Two pieces make it a writev, which no suite makes fail.
const tell = (...words) => writevSync(report, [Buffer.from(words.join(" ")), endOfLine]);
const say = (word) => stdout.write(`${word}\n`);

const told = new Set();
const waiting = new Map();
let rest = "";
stdin.on("data", (bytes) => {
  const lines = (rest + bytes).split("\n");
  rest = lines.pop();
  for (const line of lines) {
    told.add(line);
    waiting.get(line)?.();
  }
});
stdin.on("error", () => {});
const toldTo = (word) => (told.has(word) ? undefined : new Promise((resolve) => waiting.set(word, resolve)));

const queue = queueIn(options.dataDir, options.queue);
const given = { events: 0, telemetry: 0 };
const made = { events: 0, telemetry: 0 };
const count = { appended: 0, refused: 0, failed: 0, read: 0, shed: 0, cut: 0 };

function logOf(stream) {
  const row = join(options.dataDir, "queue", stream);
  const folder = readdirSync(row).sort().at(-1);
  const log = readdirSync(join(row, folder)).find((name) => name.endsWith(".log"));
  return log && join(row, folder, log);
}

/** Where a log ends that zeros may follow: the payloads here end in something else. */
function endOf(log) {
  const bytes = readFileSync(log);
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end--;
  return end;
}

function refuse(stream, tokens, durable, mayBeStored) {
  count.shed += tokens.length;
  if (mayBeStored) count.cut += tokens.length;
  for (const token of tokens) {
    const { taken } = recordOf(stream, token, durable, options.size);
    queue.refused(stream, { taken, topic: "plant/scan", exact: !mayBeStored });
  }
}

async function append(stream) {
  const amount = options.batch[0] + Math.floor(next() * (options.batch[1] + 1));
  const tokens = Array.from({ length: amount }, () => `${options.round}.${stream[0]}.${++made[stream]}`);
  const durable = stream === "events" || next() < options.durable;
  for (;;) {
    // Seqs are given in the order of the calls; with one lane they are known afterwards whatever happened.
    const first = given[stream];
    given[stream] += amount;
    try {
      await queue.append(
        stream,
        tokens.map((token) => recordOf(stream, token, durable, options.size)),
      );
    } catch (error) {
      if (error.code === "MILLRACE_QUEUE_FULL") count.refused++;
      else if (error.code === "MILLRACE_STORAGE") count.failed++;
      else throw error;
      if (options.lanes > 1) throw error;
      given[stream] = queue.stats().streams[stream].nextSeq;
      await pause(20);
      if (!options.shed || stream !== "telemetry") continue;
      refuse(stream, tokens, durable, error.mayBeStored === true);
      return;
    }
    // Before the acknowledgement itself: a kill between the two leaves it out.
    if (durable && options.logs) {
      const log = logOf(stream);
      if (log) tell("f", stream, log, endOf(log));
    }
    const { nextSeq, epoch } = queue.stats().streams[stream];
    tell("a", stream, epoch, options.lanes > 1 ? first : nextSeq - amount, tokens.join(","), Number(durable));
    count.appended += amount;
    if (options.lanes === 1) given[stream] = nextSeq;
    return;
  }
}

async function appendAll(stream) {
  for (let n = 0; options.appends === 0 || n < options.appends; n++) {
    await append(stream);
    if (options.pauseMs > 0) await pause(next() * 2 * options.pauseMs);
  }
}

function gaps() {
  for (const gap of queue.gaps("up")) {
    if (next() < 0.5) continue;
    tell("g", gap.stream, gap.epoch, gap.from, gap.to, gap.reason, gap.count, Number(gap.exact));
    queue.settleGap("up", gap).catch(() => {});
  }
}

async function deliver(stream, signal) {
  for (let turn = 0; ; turn++) {
    const want = { stream, lane: "fifo", maxRecords: 1 + Math.floor(next() * 60), maxBytes: 2 ** 18 };
    const entries = await queue.read("up", want, signal);
    for (const entry of entries) {
      if (tokenOf(entry) === undefined) tell("x", "damaged", stream, entry.seq);
    }
    const settled = entries.filter(() => next() < options.settle);
    for (let n = settled.length - 1; n > 0; n--) {
      const other = Math.floor(next() * (n + 1));
      [settled[n], settled[other]] = [settled[other], settled[n]];
    }
    for (let from = 0; from < settled.length; ) {
      const part = settled.slice(from, from + 1 + Math.floor(next() * 40));
      from += part.length;
      count.read += part.length;
      tell("d", stream, part[0].epoch, part.map((entry) => `${entry.seq}=${tokenOf(entry)}`).join(","));
      const seqs = part.map((entry) => entry.seq);
      await queue.settle("up", stream, seqs);
    }
    if (turn % 16 === 15) {
      gaps();
      if (stream === "telemetry") queue.rewind("up");
    }
  }
}

/** A disk that refuses at the start is tried again, as systemd would. */
async function start() {
  for (;;) {
    try {
      await queue.start();
      return;
    } catch (error) {
      if (error.code !== "MILLRACE_STORAGE") throw error;
      count.failed++;
      await pause(100);
    }
  }
}

async function open() {
  for (;;) {
    try {
      await queue.open("up", everything);
      return;
    } catch (error) {
      if (error.code !== "MILLRACE_STORAGE") throw error;
      count.failed++;
      await pause(100);
    }
  }
}

try {
  say(`pid ${pid}`);
  if (options.wait) {
    say("waiting");
    await toldTo("go");
  }
  say("begin");
  await start();
  await open();
  for (const stream of STREAMS) given[stream] = queue.stats().streams[stream].nextSeq;
  for (const stream of STREAMS) await append(stream);
  say("ready");
  const over = new AbortController();
  const reading = STREAMS.map(async (stream) => {
    if (options.later) await toldTo("read");
    await deliver(stream, over.signal).catch((error) => {
      if (!over.signal.aborted) throw error;
    });
  });
  const writing = STREAMS.flatMap((stream) => Array.from({ length: options.lanes }, () => appendAll(stream)));
  const watch = setInterval(() => {
    say(`now ${JSON.stringify({ ...count, healthy: queue.stats().healthy })}`);
  }, 100);
  await Promise.race([Promise.all(writing), ...(options.appends === 0 ? [toldTo("stop")] : []), ...reading]);
  clearInterval(watch);
  if (options.idle > 0) {
    await pause(options.idle);
    say("idle");
    await toldTo("exit");
  }
  over.abort();
  const stats = queue.stats();
  await queue.close();
  say(`done ${JSON.stringify({ ...count, healthy: stats.healthy, dropped: stats.dropped })}`);
  if (options.wait) await toldTo("exit");
  exit(0);
} catch (error) {
  tell("x", String(error.stack).replaceAll("\n", " | "));
  exit(70);
}
