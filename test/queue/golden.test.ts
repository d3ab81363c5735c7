import { cp, mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Content, Source, StoredSample, StreamName } from "../../gateway/core/record.ts";
import type { Quality, Value } from "../../gateway/core/sample.ts";
import { ByteWriter, DamagedError } from "../../gateway/queue/bytes.ts";
import { originCrc } from "../../gateway/queue/crc.ts";
import { HEADER_KEY, seqKey, seqOfKey, sourceKey, sourceOfKey } from "../../gateway/queue/keys.ts";
import { decodeHeader, decodeSource, encodeHeader, encodeMeta, type SegmentHeader } from "../../gateway/queue/meta.ts";
import { encodeRecord, RecordReader } from "../../gateway/queue/record.ts";
import { Sources } from "../../gateway/queue/sources.ts";
import { reader, readMany, startedQueue, testClock, testFolder } from "./support.ts";

const GOLDEN = join(import.meta.dirname, "..", "golden");

interface GoldenRecord {
  readonly seq: number;
  readonly clock: "synced" | "unsynced";
  readonly monoMs: number;
  readonly wallMs: number;
  readonly links: readonly (readonly [number, number])[];
  readonly samples?: readonly { tag: string; quality: Quality; value?: unknown; reason?: string; offsetMs: number }[];
  readonly message?: { topic: string; payload: string; qos: 0 | 1 | 2; retain: boolean; contentType?: string };
}
interface GoldenSegment {
  readonly store: string;
  readonly epoch: number;
  readonly stream: StreamName;
  readonly rows: readonly (readonly [string, string])[];
  readonly expect: {
    readonly header: SegmentHeader;
    readonly sources: Readonly<Record<string, Source>>;
    readonly records: readonly GoldenRecord[];
  };
}

const golden: readonly GoldenSegment[] = JSON.parse(await readFile(join(GOLDEN, "format-1.json"), "utf8"));

function goldenValue(value: unknown): Value {
  if (typeof value === "object" && value !== null && "bigint" in value) return BigInt(String(value.bigint));
  if (typeof value === "object" && value !== null && "hex" in value) return Buffer.from(String(value.hex), "hex");
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") return value;
  throw new Error("a golden value of an unknown kind");
}

function contentOf(record: GoldenRecord, sources: Readonly<Record<string, Source>>): Content {
  if (record.message)
    return { kind: "message", ...record.message, payload: Buffer.from(record.message.payload, "hex") };
  const source = sources["1"];
  if (!source) throw new Error("a golden record without a source");
  const samples = (record.samples ?? []).map(({ value, ...sample }): StoredSample => {
    return value === undefined ? sample : { ...sample, value: goldenValue(value) };
  });
  return { kind: "samples", source, samples };
}

describe.each(golden)("golden segment of $stream", ({ rows, expect: expected, ...origin }) => {
  const base = originCrc(origin);
  const values = new Map(rows.map(([key, value]) => [key, value]));
  const hex = (key: Buffer) => values.get(key.toString("hex"));

  it("has a header that is read and written to the byte", () => {
    const stored = Buffer.from(hex(HEADER_KEY) ?? "", "hex");
    expect(decodeHeader(stored)).toEqual(expected.header);
    expect(encodeHeader(expected.header).toString("hex")).toBe(stored.toString("hex"));
    stored[20] = (stored[20] ?? 0) ^ 1;
    expect(() => decodeHeader(stored)).toThrow(DamagedError);
  });

  it("has a dictionary that is read and written to the byte", () => {
    const sources = new Sources();
    for (const [id, source] of Object.entries(expected.sources)) {
      const key = sourceKey(Number(id));
      expect(sourceOfKey(key)).toBe(Number(id));
      const stored = hex(key) ?? "";
      expect(decodeSource(base, key, Buffer.from(stored, "hex"))).toEqual(source);
      expect(encodeMeta(base, key, sources.of(source).json).toString("hex")).toBe(stored);
    }
  });

  it.each(expected.records)("has record $seq that is read as it was meant", (record) => {
    const stored = Buffer.from(hex(seqKey(record.seq)) ?? "", "hex");
    const found = new RecordReader();
    found.open(base, record.seq, stored);
    const { clock, monoMs, wallMs } = record;
    expect({ clock: found.clock, monoMs: found.monoMs, wallMs: found.wallMs }).toEqual({ clock, monoMs, wallMs });
    expect(found.content((id) => expected.sources[id])).toEqual(contentOf(record, expected.sources));
    const links: (readonly [number, number])[] = [];
    found.eachLink((slot, prev) => links.push([slot, prev]));
    expect(links).toEqual(record.links);
    expect(record.links.map(([slot]) => found.prevOf(slot))).toEqual(record.links.map(([, prev]) => prev));
    expect(found.prevOf(77)).toBeUndefined();
  });

  it.each(expected.records)("has record $seq that is written to the byte", (record) => {
    const sources = new Sources();
    const content = contentOf(record, expected.sources);
    const known = content.kind === "samples" ? sources.of(content.source) : undefined;
    const chains = record.links.map(([slot, head]) => ({ slot, head }));
    const { wallMs, monoMs, clock, seq } = record;
    const made = encodeRecord(
      new ByteWriter(),
      base,
      seq,
      { taken: { wallMs, monoMs, clock }, content },
      known,
      chains,
    );
    expect(made.toString("hex")).toBe(hex(seqKey(seq)));
    expect(chains.every(({ head }) => head === seq)).toBe(true);
  });

  it.each(expected.records)("has record $seq that no changed bit gets past", ({ seq }) => {
    const stored = Buffer.from(hex(seqKey(seq)) ?? "", "hex");
    const found = new RecordReader();
    for (let bit = 0; bit < stored.length * 8; bit++) {
      const changed = Buffer.from(stored);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(() => found.open(base, seq, changed)).toThrow(DamagedError);
    }
    expect(() => found.open(base, seq + 1, stored)).toThrow(DamagedError);
    expect(() => found.open(base + 1, seq, stored)).toThrow(DamagedError);
  });
});

it("sorts keys by seq, also beyond 32 bits", () => {
  const seqs = [1, 255, 256, 2 ** 32 - 1, 2 ** 32, 2 ** 40 + 5, Number.MAX_SAFE_INTEGER];
  const keys = seqs.map(seqKey);
  expect([...keys].sort(Buffer.compare).map(seqOfKey)).toEqual(seqs);
  expect(keys.every((key) => Buffer.compare(key, HEADER_KEY) < 0)).toBe(true);
});

it("opens the golden folders as a store that lost its state, and delivers every record", async () => {
  const dataDir = await testFolder();
  await mkdir(join(dataDir, "queue"));
  await cp(join(GOLDEN, "format-1", "queue"), join(dataDir, "queue"), { recursive: true });
  // Another boot: nothing is known about the clock of theirs.
  const queue = await startedQueue(dataDir, { clock: { ...testClock, bootId: "later" } });
  await queue.open("up", reader());
  for (const { stream, epoch, expect: expected } of golden) {
    const entries = await readMany(queue, "up", stream, expected.records.length);
    expect(entries.map(({ seq }) => seq)).toEqual(expected.records.map(({ seq }) => seq));
    for (const [index, record] of expected.records.entries()) {
      const { clock, monoMs, wallMs } = record;
      const content = contentOf(record, expected.sources);
      const { boot: bootId } = expected.header;
      expect(entries[index]).toMatchObject({ epoch, bootId, clock, monoMs, wallMs, content });
    }
  }
  // Nobody knows how far seqs had been given, so they go on far behind.
  await queue.append("telemetry", []);
  expect(queue.stats().streams.telemetry.nextSeq).toBeGreaterThan(1_000_000);
  expect(queue.stats().streams.telemetry.epoch).toBe(golden[0]?.epoch);
});
