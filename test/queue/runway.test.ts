import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { ClassicLevel } from "classic-level";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ByteWriter } from "../../gateway/queue/bytes.ts";
import { originCrc } from "../../gateway/queue/crc.ts";
import { HEADER_KEY, seqKey } from "../../gateway/queue/keys.ts";
import { LevelSegments } from "../../gateway/queue/level-segments.ts";
import { LogSegment } from "../../gateway/queue/log-segment.ts";
import { encodeHeader, FORMAT } from "../../gateway/queue/meta.ts";
import { encodeRecord } from "../../gateway/queue/record.ts";
import { Runway } from "../../gateway/queue/runway.ts";
import type { OpenSegment, Pair } from "../../gateway/queue/segment-store.ts";
import { messages, testFolder } from "./support.ts";

const ORIGIN = { store: "0123456789abcdef0123456789abcdef", stream: "telemetry", epoch: 7 } as const;
const BASE = originCrc(ORIGIN);
const SEGMENT = 16 * 1024 * 1024;
const AHEAD = 64 * 1024;

/** A segment that is being written, and what was written to it. */
class Writing {
  readonly folder: string;
  readonly written: string[] = [];
  readonly #open: OpenSegment;
  readonly #out = new ByteWriter();
  #seq = 1;
  zeros: () => number;

  private constructor(folder: string, open: OpenSegment, zeros: () => number) {
    this.folder = folder;
    this.#open = open;
    this.zeros = zeros;
  }

  static async begin(): Promise<Writing> {
    const folder = join(await testFolder(), "0000000000000001-0");
    let zeros = 0;
    const engine = new LevelSegments(SEGMENT, (bytes) => {
      zeros += bytes;
    });
    const header = { ...ORIGIN, format: FORMAT, first: 1, generation: 0, boot: "boot", heads: {} };
    const open = await engine.create(folder, { key: HEADER_KEY, value: encodeHeader(header) });
    return new Writing(folder, open, () => zeros);
  }

  async write(records: number, pad: number, sync: boolean): Promise<void> {
    const pairs = messages(records, this.#seq, "plant/a", pad).map((record): Pair => {
      const seq = this.#seq++;
      return { key: seqKey(seq), value: encodeRecord(this.#out, BASE, seq, record, undefined, []) };
    });
    await this.#open.write(pairs, sync);
    this.written.push(...pairs.map(({ value }) => value.toString("hex")));
  }

  async size(): Promise<number> {
    const log = (await readdir(this.folder)).find((name) => name.endsWith(".log")) ?? expect.fail();
    return (await stat(join(this.folder, log))).size;
  }
  async close(): Promise<void> {
    await this.#open.close();
  }
}

async function readByUs(folder: string): Promise<string[]> {
  const segment = await LogSegment.open(folder, BASE);
  const found = await segment.read(0, Number.MAX_SAFE_INTEGER, 1e6, 1e9);
  await segment.close();
  return found.map(({ value }) => value.toString("hex"));
}

async function readByLevelDb(folder: string): Promise<string[]> {
  const level = new ClassicLevel<Buffer, Buffer>(folder, { keyEncoding: "buffer", valueEncoding: "buffer" });
  const found = await level.values({ lt: Buffer.from("D") }).all();
  await level.close();
  return found.map((value) => value.toString("hex"));
}

describe("zeros ahead of the log", () => {
  it("are overwritten by small durable writes, for which the file does not grow", async () => {
    const writing = await Writing.begin();
    await writing.write(1, 200, true);
    await writing.write(1, 200, true);
    const size = await writing.size();
    expect(size).toBeGreaterThan(AHEAD);
    for (let n = 0; n < 100; n++) await writing.write(1, 200, true);
    expect(await writing.size()).toBe(size);
    await writing.close();
    expect(writing.zeros()).toBe(AHEAD);
    expect(await readByUs(writing.folder)).toEqual(writing.written);
    expect(await readByLevelDb(writing.folder)).toEqual(writing.written);
  });

  it("are not written for what is large, or rarely fsynced", async () => {
    const large = await Writing.begin();
    for (let n = 0; n < 10; n++) await large.write(200, 200, true);
    await large.close();
    expect(large.zeros()).toBe(0);
    const rare = await Writing.begin();
    for (let n = 0; n < 1000; n++) await rare.write(1, 200, n % 100 === 99);
    await rare.close();
    expect(rare.zeros()).toBe(0);
  });

  it("never cost a record, whatever is written in whatever order", async () => {
    const write = fc.tuple(
      fc.oneof({ weight: 5, arbitrary: fc.integer({ min: 1, max: 5 }) }, fc.integer({ min: 1, max: 300 })),
      fc.oneof({ weight: 5, arbitrary: fc.integer({ min: 1, max: 300 }) }, fc.integer({ min: 1, max: 50_000 })),
      fc.boolean(),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(write, { minLength: 1, maxLength: 40 }), async (writes) => {
        const writing = await Writing.begin();
        for (const [records, pad, sync] of writes) {
          await writing.write(Math.min(records, Math.ceil(500_000 / pad)), pad, sync);
        }
        await writing.close();
        expect(await readByUs(writing.folder)).toEqual(writing.written);
        expect(await readByLevelDb(writing.folder)).toEqual(writing.written);
      }),
      { numRuns: 15 },
    );
  });

  it("are done without where they cannot be written", async () => {
    let zeros = 0;
    const runway = new Runway(join(await testFolder(), "no", "such.log"), SEGMENT, (bytes) => {
      zeros += bytes;
    });
    for (let n = 0; n < 3; n++) await runway.before(1, 200, true);
    await runway.close();
    expect(zeros).toBe(0);
  });
});
