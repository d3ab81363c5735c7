import { copyFile, mkdir, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ClassicLevel } from "classic-level";
import { describe, expect, it } from "vitest";
import { ByteWriter } from "../../gateway/queue/bytes.ts";
import { originCrc } from "../../gateway/queue/crc.ts";
import { HEADER_KEY, SYNC_KEY, seqKey, sourceKey } from "../../gateway/queue/keys.ts";
import { LevelSegments } from "../../gateway/queue/level-segments.ts";
import { encodeHeader, encodeMeta, FORMAT } from "../../gateway/queue/meta.ts";
import { encodeRecord, RecordReader } from "../../gateway/queue/record.ts";
import type { Pair } from "../../gateway/queue/segment-store.ts";
import { TableSegment } from "../../gateway/queue/table-segment.ts";
import { Random } from "../support/random.ts";
import { messages, testFolder } from "./support.ts";

const ORIGIN = { store: "0123456789abcdef0123456789abcdef", stream: "telemetry", epoch: 7 } as const;
const BASE = originCrc(ORIGIN);
const FIRST = 1000;
const COUNT = 3000;
const LAST = FIRST + COUNT - 1;
const PAD = 150;
const random = new Random(7);

/** A segment as version 0.1 left it: written, then opened and closed with LevelDB. */
async function opened(reopen = true): Promise<string> {
  const folder = join(await testFolder(), `${String(FIRST).padStart(16, "0")}-0`);
  const header = { ...ORIGIN, format: FORMAT, first: FIRST, generation: 0, boot: "boot", heads: {} };
  const open = await new LevelSegments(1024).create(folder, { key: HEADER_KEY, value: encodeHeader(header) });
  const out = new ByteWriter();
  for (let seq = FIRST, id = 1; seq <= LAST; id++) {
    const pairs: Pair[] = [];
    if (id % 10 === 1) {
      const key = sourceKey(id);
      pairs.push({ key, value: encodeMeta(BASE, key, JSON.stringify({ topic: `t${id}`, device: "d", tags: [] })) });
    }
    for (const record of messages(20, seq, "plant/a", random.whole(0, PAD * 2))) {
      pairs.push({ key: seqKey(seq), value: encodeRecord(out, BASE, seq, record, undefined, []) });
      seq++;
    }
    await open.write(pairs, false);
    if (id % 3 === 0) await open.write([{ key: SYNC_KEY, value: Buffer.from("x") }], false);
  }
  await open.close();
  if (reopen) await reopened(folder);
  return folder;
}

async function reopened(folder: string): Promise<void> {
  const db = new ClassicLevel(folder, { compression: false });
  await db.open();
  await db.close();
}

async function tableOf(folder: string): Promise<string> {
  return join(folder, (await readdir(folder)).find((name) => name.endsWith(".ldb")) ?? expect.fail());
}

async function readAll(folder: string, atOnce = 500, from = FIRST) {
  const segment = await TableSegment.open(folder, BASE);
  const record = new RecordReader();
  const seqs: number[] = [];
  for (let next = from; ; ) {
    const found = await segment.read(next, LAST, atOnce, 64 * 1024);
    if (found.length === 0) break;
    for (const { seq, value } of found) {
      expect(seq).toBeGreaterThanOrEqual(next);
      record.open(BASE, seq, value);
      seqs.push(seq);
      next = seq + 1;
    }
  }
  const sources = [1, 11, 141].map((id) => segment.sourceOf(id)?.topic);
  await segment.close();
  return { seqs, sources, boot: segment.header?.boot };
}

const whole = Array.from({ length: COUNT }, (_, i) => FIRST + i);
let made: Promise<Buffer> | undefined;

/** The bytes of its table. */
function table(): Promise<Buffer> {
  made ??= opened()
    .then(tableOf)
    .then((path) => readFile(path));
  return made;
}

describe("a segment of tables", () => {
  /** A fresh one, of which nothing but the table is there. */
  async function withTable(change: (table: Buffer) => Buffer): Promise<string> {
    const bytes = await table();
    const folder = join(await testFolder(), `${String(FIRST).padStart(16, "0")}-0`);
    await mkdir(folder);
    await writeFile(join(folder, "000005.ldb"), change(Buffer.from(bytes)));
    return folder;
  }

  it("is read whole, with its dictionary and header, without CURRENT and MANIFEST", async () => {
    const folder = await withTable((all) => all);
    expect(await readAll(folder)).toEqual({ seqs: whole, sources: ["t1", "t11", "t141"], boot: "boot" });
    expect((await readAll(folder, 7, FIRST + 1234)).seqs).toEqual(whole.slice(1234));
    expect((await new LevelSegments(1024).header(folder))?.first).toBe(FIRST);
    expect(await readdir(folder)).toEqual(["000005.ldb"]);
  });

  it("with a zeroed page, which ends a process that reads it with LevelDB, costs that page (D4)", async () => {
    const bytes = await table();
    for (let turn = 0; turn < 5; turn++) {
      const at = random.whole(0, bytes.length - 60_000);
      const { seqs } = await readAll(await withTable((all) => all.fill(0, at, at + 4096)));
      const lost = whole.filter((seq) => !seqs.includes(seq));
      expect(lost.length).toBeLessThan(4096 / 20);
      expect((lost.at(-1) ?? 0) - (lost[0] ?? 0) + 1).toBe(lost.length);
      expect(lost.length).toBeGreaterThan(0);
    }
  });

  it("with a changed bit costs at most one record", async () => {
    const bytes = await table();
    for (let turn = 0; turn < 20; turn++) {
      const at = random.whole(0, bytes.length - 1);
      const folder = await withTable((all) => {
        all[at] = (all[at] ?? 0) ^ (1 << random.whole(0, 7));
        return all;
      });
      expect((await readAll(folder)).seqs.length).toBeGreaterThanOrEqual(COUNT - 1);
    }
  });

  it("cut off anywhere gives what stands before", async () => {
    for (const part of [0.2, 0.5, 0.9]) {
      const { seqs } = await readAll(await withTable((all) => all.subarray(0, Math.floor(all.length * part))));
      expect(seqs).toEqual(whole.slice(0, seqs.length));
      expect(seqs.length).toBeGreaterThan(COUNT * (part - 0.15));
    }
    expect((await readAll(await withTable(() => Buffer.alloc(0)))).seqs).toEqual([]);
    expect((await readAll(await withTable((all) => all.fill(0)))).seqs).toEqual([]);
  });

  it("whose first page is gone still finds its way", async () => {
    const { seqs } = await readAll(await withTable((all) => all.fill(0xff, 0, 8192)));
    expect(seqs.at(-1)).toBe(LAST);
    expect(seqs).toEqual(whole.slice(COUNT - seqs.length));
  });

  it("is joined out of tables, logs and what an unfinished opening kept", async () => {
    const folder = await opened(false);
    const log = (await readdir(folder)).find((name) => name.endsWith(".log")) ?? expect.fail();
    await mkdir(join(folder, "kept-3"));
    await copyFile(join(folder, log), join(folder, "kept-3", log));
    await reopened(folder);
    const path = await tableOf(folder);
    await truncate(path, Math.floor((await readFile(path)).length / 3));
    expect((await readAll(folder)).seqs).toEqual(whole);
    await rm(path);
    const again = await readAll(folder, 100);
    expect([again.seqs, again.boot]).toEqual([whole, "boot"]);
  });
});
