import { readdir, readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ClassicLevel } from "classic-level";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ByteWriter } from "../../gateway/queue/bytes.ts";
import { originCrc } from "../../gateway/queue/crc.ts";
import { HEADER_KEY, SYNC_KEY, seqKey, sourceKey } from "../../gateway/queue/keys.ts";
import { LevelSegments } from "../../gateway/queue/level-segments.ts";
import { LogSegment } from "../../gateway/queue/log-segment.ts";
import { encodeHeader, encodeMeta, FORMAT } from "../../gateway/queue/meta.ts";
import { encodeRecord, RecordReader } from "../../gateway/queue/record.ts";
import type { Pair } from "../../gateway/queue/segment-store.ts";
import { messages, testFolder } from "./support.ts";

const BLOCK = 32 * 1024;
const ORIGIN = { store: "0123456789abcdef0123456789abcdef", stream: "telemetry", epoch: 7 } as const;
const BASE = originCrc(ORIGIN);

/** A segment as it is written: one batch for each number of records given, each record padded to about `pad` bytes. */
async function written(
  first: number,
  batches: readonly number[],
  pad: number,
): Promise<{ folder: string; log: string }> {
  const folder = join(await testFolder(), `${String(first).padStart(16, "0")}-0`);
  const header = { ...ORIGIN, format: FORMAT, first, generation: 0, boot: "boot", heads: {} };
  const engine = new LevelSegments(16 * 1024 * 1024);
  const open = await engine.create(folder, { key: HEADER_KEY, value: encodeHeader(header) });
  const out = new ByteWriter();
  let seq = first;
  for (const [index, count] of batches.entries()) {
    const pairs: Pair[] = [];
    const key = sourceKey(index + 1);
    const source = JSON.stringify({ topic: `t${index}`, device: "d", tags: [] });
    pairs.push({ key, value: encodeMeta(BASE, key, source) });
    for (const record of messages(count, seq, "plant/a", pad)) {
      pairs.push({ key: seqKey(seq), value: encodeRecord(out, BASE, seq, record, undefined, []) });
      seq++;
    }
    await open.write(pairs, false);
    await open.write([{ key: SYNC_KEY, value: Buffer.from("x") }], index % 2 === 0);
  }
  await open.close();
  const name = (await readdir(folder)).find((file) => file.endsWith(".log")) ?? expect.fail();
  return { folder, log: join(folder, name) };
}

/** Every record that is read and passes its checksum, and how many do not pass. */
async function readAll(
  folder: string,
): Promise<{ seqs: number[]; bad: number; sources: number; boot: string | undefined }> {
  const segment = await LogSegment.open(folder, BASE);
  const record = new RecordReader();
  const seqs: number[] = [];
  let bad = 0;
  let next = 0;
  for (;;) {
    const found = await segment.read(next, Number.MAX_SAFE_INTEGER, 500, 256 * 1024);
    if (found.length === 0) break;
    for (const { seq, value } of found) {
      expect(seq).toBeGreaterThanOrEqual(next);
      next = seq + 1;
      try {
        record.open(BASE, seq, value);
        seqs.push(seq);
      } catch {
        bad++;
      }
    }
  }
  let sources = 0;
  for (let id = 1; id < 100; id++) if (segment.sourceOf(id)) sources++;
  await segment.close();
  return { seqs, bad, sources, boot: segment.header?.boot };
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

describe("a segment read out of its log", () => {
  it.each([
    ["one record", [1], 10],
    ["one batch over many blocks", [3000], 200],
    ["records larger than blocks", [2, 3, 1], 100_000],
    ["many small batches", Array.from({ length: 300 }, (_, i) => (i % 7) + 1), 60],
    ["an empty dictionary batch", [0, 5, 0], 10],
  ])("gives what LevelDB gives: %s", async (_, batches, pad) => {
    const { folder } = await written(100, batches, pad);
    const total = batches.reduce((sum, count) => sum + count, 0);
    const found = await readAll(folder);
    expect(found).toEqual({
      seqs: range(100, 99 + total),
      bad: 0,
      sources: Math.min(batches.length, 99),
      boot: "boot",
    });
    const before = await readdir(folder);
    const level = new ClassicLevel<Buffer, Buffer>(folder, { keyEncoding: "buffer", valueEncoding: "buffer" });
    const segment = await LogSegment.open(folder, BASE);
    const values = (await segment.read(0, Number.MAX_SAFE_INTEGER, 1e6, 1e9)).map(({ value }) => value.toString("hex"));
    await segment.close();
    const theirs = (await level.values({ lt: Buffer.from("D") }).all()).map((value) => value.toString("hex"));
    await level.close();
    expect(values).toEqual(theirs);
    expect(before).toContain("CURRENT");
  });

  it("gives any part of it, from wherever and in whatever order it is asked", async () => {
    const { folder } = await written(1000, [1, 700, 20, 2000, 3, 400], 150);
    const last = 1000 + 3124 - 1;
    const segment = await LogSegment.open(folder, BASE);
    const seq = fc.integer({ min: 900, max: last + 100 });
    const ask = fc.record({
      from: seq,
      to: seq,
      most: fc.integer({ min: 1, max: 700 }),
      bytes: fc.integer({ min: 1, max: 200_000 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(ask, { minLength: 1, maxLength: 8 }), async (asks) => {
        const all = await Promise.all(asks.map(({ from, to, most, bytes }) => segment.read(from, to, most, bytes)));
        for (const [index, { from, to, most }] of asks.entries()) {
          const seqs = (all[index] ?? []).map((record) => record.seq);
          const first = Math.max(from, 1000);
          expect(seqs).toEqual(seqs.length === 0 ? [] : range(first, first + seqs.length - 1));
          expect(seqs.length).toBeLessThanOrEqual(most);
          expect(seqs.length > 0).toBe(first <= Math.min(to, last));
          expect(seqs.at(-1) ?? 0).toBeLessThanOrEqual(to);
        }
      }),
      { numRuns: 30 },
    );
    await segment.close();
  });

  it("nothing in its folder changes by reading", async () => {
    const { folder, log } = await written(1, [100], 100);
    const before = [await readdir(folder), await readFile(log)];
    await readAll(folder);
    expect([await readdir(folder), await readFile(log)]).toEqual(before);
  });
});

type Damage = (bytes: Buffer, at: number) => void;
const DAMAGES: readonly (readonly [string, Damage])[] = [
  ["a flipped bit", (bytes, at) => bytes.writeUInt8((bytes[at] ?? 0) ^ (1 << (at % 8)), at)],
  ["a zeroed page", (bytes, at) => bytes.fill(0, at & ~4095, Math.min(bytes.length, (at & ~4095) + 4096))],
  [
    "a page of garbage",
    (bytes, at) =>
      bytes.fill(
        Buffer.from("4a01080000000000000001ff03", "hex"),
        at & ~4095,
        Math.min(bytes.length, (at & ~4095) + 4096),
      ),
  ],
];

describe("damage", () => {
  it.each(DAMAGES)("of %s costs no record outside its block", async (_, damage) => {
    const { folder, log } = await written(1, [1, 5, 900, 40, 3, 3, 700, 1], 150);
    const total = 1653;
    const whole = await readFile(log);
    const places = range(1, total).map((seq) => whole.indexOf(Buffer.concat([Buffer.from([1, 8]), seqKey(seq)])));
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: whole.length - 1 }), async (at) => {
        const bytes = Buffer.from(whole);
        damage(bytes, at);
        await writeFile(log, bytes);
        const { seqs } = await readAll(folder);
        const there = new Set(seqs);
        const block = Math.floor(at / BLOCK);
        for (const [index, place] of places.entries()) {
          if (place < 0) continue;
          const end = places[index + 1] ?? -1;
          const touches = end < 0 || Math.floor(place / BLOCK) === block || Math.floor((end + 16) / BLOCK) === block;
          if (!touches) expect(there.has(index + 1), `record ${index + 1}`).toBe(true);
        }
        expect(there.size).toBe(seqs.length);
      }),
      { numRuns: 15 },
    );
  });

  it("a torn end costs what was torn off", async () => {
    const { folder, log } = await written(1, [10, 300, 1], 150);
    const whole = await readFile(log);
    const places = range(1, 311).map((seq) => whole.indexOf(Buffer.concat([Buffer.from([1, 8]), seqKey(seq)])));
    for (let end = whole.length; end > 0; end -= 1371) {
      await truncate(log, end);
      const { seqs } = await readAll(folder);
      const complete = places.filter((place, index) => place >= 0 && (places[index + 1] ?? end + 1) <= end).length;
      expect(seqs.length).toBeGreaterThanOrEqual(complete - 1);
      expect(seqs).toEqual(range(1, seqs.length));
    }
  });

  it("a dictionary entry that is damaged is left out, and the rest stays", async () => {
    const { folder, log } = await written(1, [10, 10, 10], 50);
    const bytes = await readFile(log);
    const at = bytes.indexOf('"t1"');
    bytes[at + 1] = 0x58;
    await writeFile(log, bytes);
    expect(await readAll(folder)).toMatchObject({ seqs: range(1, 30), sources: 2 });
  });

  it("what is not a log at all gives nothing, and nothing is thrown", async () => {
    const { folder, log } = await written(1, [10], 50);
    for (const bytes of [Buffer.alloc(0), Buffer.alloc(100_000), Buffer.alloc(70_000, 0x01), Buffer.from("no")]) {
      await writeFile(log, bytes);
      expect(await readAll(folder)).toEqual({ seqs: [], bad: 0, sources: 0, boot: undefined });
    }
  });
});
