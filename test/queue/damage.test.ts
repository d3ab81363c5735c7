import { copyFile, mkdir, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Gap } from "../../gateway/core/record.ts";
import { seqKey } from "../../gateway/queue/keys.ts";
import { LevelSegments } from "../../gateway/queue/level-segments.ts";
import { FaultyStore } from "./faulty-store.ts";
import { messages, reader, readMany, seqsOf, startedQueue, testFolder, textOf, want } from "./support.ts";

const COUNT = 500;

/** A stopped store with some sealed segments of telemetry; `plant/b` is every fifth record. */
async function stored(): Promise<{ dataDir: string; segments: string[] }> {
  const dataDir = await testFolder();
  const queue = await startedQueue(dataDir);
  await queue.open("up", reader());
  await queue.open("some", reader(["plant/b"]));
  for (let n = 1; n <= COUNT; n += 5) {
    const pad = 500;
    const records = [...messages(4, n, "plant/a", pad), ...messages(1, n + 4, "plant/b", pad)];
    await queue.append("telemetry", records);
  }
  await queue.close();
  const folder = join(dataDir, "queue", "telemetry");
  const segments = (await readdir(folder)).sort().map((name) => join(folder, name));
  expect(segments.length).toBeGreaterThan(3);
  return { dataDir, segments };
}

async function logOf(segment: string): Promise<string> {
  const name = (await readdir(segment)).find((file) => file.endsWith(".log"));
  return join(segment, name ?? expect.fail());
}

/** Changes one bit in the content of a record, where it lies in the log. */
async function flip(segment: string, seq: number): Promise<void> {
  const log = await logOf(segment);
  const bytes = await readFile(log);
  const at = bytes.indexOf(Buffer.concat([Buffer.from([1, 8]), seqKey(seq)]));
  expect(at).toBeGreaterThan(0);
  bytes[at + 200] = (bytes[at + 200] ?? 0) ^ 1;
  await writeFile(log, bytes);
}

/** The first seq of a segment. */
function firstOf(segment: string): number {
  return Number(basename(segment).split("-")[0]);
}

/** Makes a segment such that reading it fails. */
async function makeUnreadable(segment: string): Promise<void> {
  const log = await logOf(segment);
  await rm(log);
  await mkdir(log);
}

/** Everything an uplink gets, and its gaps: together exactly what it was owed. */
async function delivered(dataDir: string, uplink: string): Promise<{ seqs: number[]; gaps: readonly Gap[] }> {
  const queue = await startedQueue(dataDir);
  await queue.open("up", reader());
  await queue.open("some", reader(["plant/b"]));
  const seqs: number[] = [];
  const prevs: number[] = [];
  const depth = () => queue.stats().uplinks.find(({ name }) => name === uplink)?.streams.telemetry.depth;
  while (depth() !== 0) {
    // Where the last records are damaged, reading finds out and has nothing to give.
    const entries = await queue.read(uplink, want("telemetry", 64), AbortSignal.timeout(300)).catch(() => []);
    if (entries.length === 0) break;
    for (const entry of entries) expect(textOf(entry)).toBe(`${entry.seq}`);
    seqs.push(...seqsOf(entries));
    prevs.push(...entries.map(({ prev }) => prev));
    await queue.settle(uplink, "telemetry", seqsOf(entries));
  }
  const gaps = queue.gaps(uplink);
  const covered = (seq: number) => seqs.includes(seq) || gaps.some(({ from, to }) => from <= seq && seq <= to);
  // The set closes.
  for (const prev of [...prevs, ...gaps.map((gap) => gap.prev)]) expect(prev === 0 || covered(prev)).toBe(true);
  await queue.close();
  return { seqs, gaps };
}

function missing(seqs: readonly number[], step: number): number[] {
  const there = new Set(seqs);
  return Array.from({ length: COUNT / step }, (_, i) => (i + 1) * step).filter((seq) => !there.has(seq));
}

function total(gaps: readonly Gap[]): number {
  return gaps.reduce((sum, { count }) => sum + count, 0);
}

describe("a damaged segment", () => {
  it.each([
    ["up", 1],
    ["some", 5],
  ] as const)("that cannot be opened is set aside, and is an exact gap (%s)", async (uplink, step) => {
    const { dataDir, segments } = await stored();
    await makeUnreadable(segments[1] ?? "");
    const { seqs, gaps } = await delivered(dataDir, uplink);
    const lost = missing(seqs, step);
    expect(lost.length).toBeGreaterThan(0);
    expect(gaps).toMatchObject([{ reason: "damaged", exact: true, count: lost.length }]);
    expect(lost.every((seq) => seq >= (gaps[0]?.from ?? 0) && seq <= (gaps[0]?.to ?? 0))).toBe(true);
    expect(await readdir(join(dataDir, "quarantine"))).toHaveLength(1);
  });

  it.each([
    ["up", 1, 1],
    ["some", 5, 1],
  ] as const)("with one changed record costs that record (%s)", async (uplink, step, count) => {
    const { dataDir, segments } = await stored();
    const seq = Math.ceil((firstOf(segments[1] ?? "") + 10) / 5) * 5;
    await flip(segments[1] ?? "", seq);
    const { seqs, gaps } = await delivered(dataDir, uplink);
    expect(missing(seqs, step)).toEqual([seq]);
    expect(gaps).toMatchObject([{ reason: "damaged", from: seq, to: seq, count, exact: true }]);
  });

  it("whose record is not for an uplink costs that uplink nothing", async () => {
    const { dataDir, segments } = await stored();
    await flip(segments[1] ?? "", Math.ceil((firstOf(segments[1] ?? "") + 10) / 5) * 5 + 1);
    const { seqs, gaps } = await delivered(dataDir, "some");
    expect(missing(seqs, 5)).toEqual([]);
    expect(gaps).toEqual([]);
  });

  it.each(["truncated", "zeroed", "flipped"])("with a log that was %s is never silent", async (how) => {
    const { dataDir, segments } = await stored();
    const log = await logOf(segments[2] ?? "");
    const bytes = await readFile(log);
    if (how === "truncated") await truncate(log, Math.floor(bytes.length / 2));
    else {
      const at = Math.floor(bytes.length / 2);
      if (how === "zeroed") bytes.fill(0, at, at + 4096);
      else bytes[at] = (bytes[at] ?? 0) ^ 0x10;
      await writeFile(log, bytes);
    }
    for (const [uplink, step] of [["up", 1] as const, ["some", 5] as const]) {
      const { seqs, gaps } = await delivered(dataDir, uplink);
      const lost = missing(seqs, step);
      expect(total(gaps)).toBeGreaterThanOrEqual(lost.length);
      expect(lost.every((seq) => gaps.some(({ from, to }) => from <= seq && seq <= to))).toBe(true);
      expect(seqs.length + lost.length).toBe(COUNT / step);
      if (uplink === "up") expect(total(gaps)).toBe(lost.length);
    }
  });

  it("without its seal is read instead", async () => {
    const { dataDir, segments } = await stored();
    for (const segment of segments) await rm(join(segment, "SEAL.json"));
    expect(await delivered(dataDir, "up")).toMatchObject({ gaps: [] });
    expect((await delivered(dataDir, "some")).seqs).toHaveLength(COUNT / 5);
  });

  it("with a changed seal is read instead", async () => {
    const { dataDir, segments } = await stored();
    const path = join(segments[1] ?? "", "SEAL.json");
    await writeFile(path, (await readFile(path, "utf8")).replace(/"count":\d/, '"count":9'));
    const { seqs, gaps } = await delivered(dataDir, "up");
    expect([missing(seqs, 1), gaps]).toEqual([[], []]);
  });

  it("that was not sealed and cannot be opened is a gap that says at least what is missing", async () => {
    const { dataDir, segments } = await stored();
    const last = segments.at(-1) ?? "";
    await rm(join(last, "SEAL.json"));
    await makeUnreadable(last);
    const { seqs, gaps } = await delivered(dataDir, "some");
    const lost = missing(seqs, 5);
    expect(lost.length).toBeGreaterThan(0);
    expect(gaps).toMatchObject([{ reason: "damaged", exact: false }]);
    expect(total(gaps)).toBeGreaterThanOrEqual(lost.length);
    expect(gaps[0]?.to).toBe(COUNT);
  });

  it.each(["CURRENT", "MANIFEST"])("without its %s is whole all the same", async (name) => {
    const { dataDir, segments } = await stored();
    for (const segment of segments) {
      for (const file of await readdir(segment)) if (file.startsWith(name)) await rm(join(segment, file));
    }
    const { seqs, gaps } = await delivered(dataDir, "up");
    expect([missing(seqs, 1), gaps]).toEqual([[], []]);
  });

  it("that is gone altogether is a gap", async () => {
    const { dataDir, segments } = await stored();
    await rm(segments[1] ?? "", { recursive: true });
    const { seqs, gaps } = await delivered(dataDir, "up");
    expect(gaps).toMatchObject([{ reason: "damaged", count: missing(seqs, 1).length }]);
  });

  it("is not what a disk without room or handles makes of a whole one", async () => {
    const { dataDir } = await stored();
    const engine = new FaultyStore(new LevelSegments(64 * 1024));
    const queue = await startedQueue(dataDir, { engine });
    await queue.open("up", reader());
    let refusals = 2;
    const { open } = engine;
    engine.open = async (...args) => {
      if (--refusals >= 0) throw new Error("IO error: No space left on device");
      return await open.apply(engine, args);
    };
    const entries = await readMany(queue, "up", "telemetry", COUNT);
    expect(seqsOf(entries)).toEqual(Array.from({ length: COUNT }, (_, i) => i + 1));
    expect(queue.stats().quarantined).toBe(0);
  });
});

it("files that are none of ours are left alone", async () => {
  const { dataDir, segments } = await stored();
  const strange = join(dataDir, "queue", "telemetry", "notes.txt");
  await copyFile(join(segments[0] ?? "", "SEAL.json"), strange);
  expect((await delivered(dataDir, "up")).gaps).toEqual([]);
  expect(await readFile(strange, "utf8")).not.toBe("");
});
