// What the programs of the fault suites store and expect back: every record carries a token from which its bytes follow.
import { crc32 } from "node:zlib";
import { silentLogger } from "../../../dist/gateway/core/log.js";
import { noMetrics } from "../../../dist/gateway/core/metrics.js";
import { selectorOf } from "../../../dist/gateway/core/selector.js";
import { LevelQueue } from "../../../dist/gateway/queue/level-queue.js";

export const STREAMS = ["events", "telemetry"];

/** Everything from `#`. */
export const everything = { selector: selectorOf(["#"]), from: "oldest", required: true };

export const clock = {
  bootId: "6f9619ff-8b86-d011-b42d-00c04fc964ff",
  now: () => ({ wallMs: Date.now(), monoMs: performance.now(), clock: "synced" }),
};

export function queueIn(dataDir, options) {
  return new LevelQueue({
    dataDir,
    options: {
      maxBytes: 2 ** 30,
      minFree: 0,
      segment: 64 * 1024,
      sync: 200,
      eventsPolicy: "refuse",
      telemetryPolicy: "drop-oldest",
      quarantine: 2 ** 26,
      ...options,
    },
    clock,
    log: silentLogger,
    metrics: noMetrics,
    machineId: "machine-1",
  });
}

/** mulberry32: repeatable numbers from 0 to 1. */
export function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** The text of a record: its token, and bytes that follow from it. `bytes` is the least and the span of its size. */
function textOf(token, [least, span]) {
  const hash = crc32(token);
  const unit = hash.toString(36).padStart(7, "0");
  return `${token} ${least}+${span} ${unit.repeat(1 + Math.ceil((least + (hash % (span + 1))) / 7))}`;
}

/** Every third record of telemetry is of the kind `samples`, so that dictionaries take part. */
export function recordOf(stream, token, durable, size) {
  const text = textOf(token, size);
  const taken = clock.now();
  const hash = crc32(token);
  if (stream === "telemetry" && hash % 3 === 0) {
    const device = `press-${hash % 5}`;
    const source = {
      link: "plc-1",
      device,
      group: "1000ms",
      topic: `plant/${device}`,
      tags: [{ name: "text", type: "string(4096)" }],
    };
    const samples = [{ tag: "text", quality: "good", value: text, offsetMs: 0 }];
    return { taken, durable, content: { kind: "samples", source, samples } };
  }
  const content = { kind: "message", topic: "plant/scan", payload: Buffer.from(text), qos: 1, retain: false };
  return { taken, durable, content };
}

/** The token of a record as it came back; undefined where its bytes are not those that were stored. */
export function tokenOf({ stream, content }) {
  const samples = content.kind === "samples";
  const text = samples ? content.samples[0]?.value : Buffer.from(content.payload).toString();
  if (typeof text !== "string") return undefined;
  const [token = "", size = ""] = text.split(" ", 2);
  if (text !== textOf(token, size.split("+").map(Number))) return undefined;
  const hash = crc32(token);
  if (samples !== (stream === "telemetry" && hash % 3 === 0)) return undefined;
  if (samples && content.source.topic !== `plant/press-${hash % 5}`) return undefined;
  return token;
}
