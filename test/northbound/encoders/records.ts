import { Buffer } from "node:buffer";
import type { Content, Entry, MessageContent, SourceTag, StoredSample } from "../../../gateway/core/record.ts";

/** Records that every format has to get right. */

export function entryOf(content: Content, over: Partial<Entry> = {}): Entry {
  return {
    stream: "telemetry",
    seq: 42,
    epoch: 0x1a2b3c,
    prev: 41,
    chain: "c7",
    bootId: "boot-1",
    monoMs: 5000.4,
    wallMs: 1_732_300_000_123,
    clock: "synced",
    content,
    bytes: 100,
    ...over,
  };
}

export function samplesOf(list: readonly Partial<StoredSample>[], tags: readonly SourceTag[] = []): Content {
  return {
    kind: "samples",
    source: { link: "plc", device: "press 1", group: "1000ms", topic: "plant/line-1/press", tags },
    samples: list.map((one, i) => ({ tag: `t${i}`, quality: "good", offsetMs: 0, ...one })),
  };
}

export function messageOf(payload: string | Uint8Array, over: Partial<MessageContent> = {}): Content {
  return { kind: "message", topic: "plant/scan", payload: Buffer.from(payload), qos: 1, retain: false, ...over };
}

const mixed = samplesOf(
  [
    { tag: "temperature", value: 21.4, offsetMs: 12 },
    { tag: "running", value: true },
    { tag: "pressure", quality: "bad", reason: "timeout" },
    { tag: "level", quality: "stale", value: 7 },
    { tag: "flow", quality: "bad", reason: 'illegal "address"' },
  ],
  [
    { name: "temperature", type: "float32", unit: "°C" },
    { name: "running", type: "bool" },
    { name: "pressure", type: "uint16", unit: "bar" },
    { name: "level", type: "int16" },
    { name: "flow", type: "float32" },
  ],
);

const numbers = samplesOf(
  [
    { tag: "i64 max", value: 9_223_372_036_854_775_807n },
    { tag: "i64 small", value: -5 },
    { tag: "u64 max", value: 18_446_744_073_709_551_615n },
    { tag: "safe", value: 9_007_199_254_740_991 },
    { tag: "beyond", value: 9_007_199_254_740_993n },
    { tag: "tenth", value: 0.1 },
    { tag: "f32", value: Math.fround(0.1) },
    { tag: "tiny", value: 5e-324 },
    { tag: "huge", value: 1e300 },
    { tag: "minus zero", value: -0 },
    { tag: "nan", value: Number.NaN },
    { tag: "inf", value: Number.NEGATIVE_INFINITY },
  ],
  [
    { name: "i64 max", type: "int64" },
    { name: "i64 small", type: "int64" },
    { name: "u64 max", type: "uint64" },
    { name: "safe", type: "int64" },
    { name: "beyond", type: "uint64" },
    { name: "tenth", type: "float64" },
    { name: "f32", type: "float32" },
  ],
);

const texts = samplesOf([
  { tag: "code", value: 'say "hi" \\ {ß} 漢字 🏭' },
  { tag: "lines", value: "one\r\ntwo\ttab" },
  { tag: "empty", value: "" },
  { tag: "bytes", value: Uint8Array.from([0, 34, 255]) },
  { tag: 'odd,=name "x"\\', value: 1 },
  { tag: "ts", value: 1 },
  { tag: "a/b", value: 2 },
  { tag: "bad", quality: "bad" },
  { tag: "bad_error", value: "taken" },
]);

const one = samplesOf([{ tag: "temperature", value: 21.4 }], [{ name: "temperature", type: "float32", unit: "°C" }]);

export interface Case {
  readonly name: string;
  readonly entry: Entry;
  readonly envelope?: boolean;
  readonly historical?: boolean;
}

export const CASES: readonly Case[] = [
  { name: "good, bad and stale", entry: entryOf(mixed) },
  { name: "good, bad and stale, in an envelope", entry: entryOf(mixed), envelope: true },
  { name: "numbers", entry: entryOf(numbers) },
  { name: "texts and names", entry: entryOf(texts) },
  { name: "nothing good", entry: entryOf(samplesOf([{ tag: "pressure", quality: "bad", reason: "timeout" }])) },
  { name: "from the past", entry: entryOf(one, { stream: "events" }), historical: true },
  { name: "from the past, in an envelope", entry: entryOf(one), envelope: true, historical: true },
  { name: "clock not set", entry: entryOf(one, { clock: "unsynced", wallMs: 12_345 }) },
  { name: "clock corrected", entry: entryOf(one, { clock: "corrected", uncertaintyMs: 250 }) },
  { name: "clock not set, in an envelope", entry: entryOf(one, { clock: "unsynced", wallMs: 12_345 }), envelope: true },
  { name: "captured JSON", entry: entryOf(messageOf('{"n": 12345678901234567890, "s": "ü"}', { retain: true })) },
  { name: "captured text", entry: entryOf(messageOf('say "hi"\n\\', { contentType: "text/plain" })) },
  { name: "captured bytes", entry: entryOf(messageOf(Uint8Array.from([0, 1, 254, 255]))) },
  { name: "captured nothing", entry: entryOf(messageOf("")) },
  { name: "captured JSON, in an envelope", entry: entryOf(messageOf('{"n": 1}')), envelope: true },
  { name: "captured bytes, in an envelope", entry: entryOf(messageOf(Uint8Array.from([255]))), envelope: true },
  { name: "captured, clock corrected", entry: entryOf(messageOf("x"), { clock: "corrected", uncertaintyMs: 9 }) },
];
