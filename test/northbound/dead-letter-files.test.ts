import { appendFile, mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import type { Clock } from "../../gateway/core/clock.ts";
import { StorageError } from "../../gateway/core/errors.ts";
import { silentLogger } from "../../gateway/core/log.ts";
import { noMetrics } from "../../gateway/core/metrics.ts";
import type { Entry } from "../../gateway/core/record.ts";
import {
  DeadLetterFiles,
  deadLetterFolder,
  deadLetterLines,
  uplinksWithDeadLetters,
} from "../../gateway/northbound/dead-letter-files.ts";

const DAY_MS = 86_400_000;
let nowMs = 1_732_300_000_000;
const clock: Clock = { bootId: "boot-1", now: () => ({ wallMs: nowMs, monoMs: 1, clock: "synced" }) };

async function setUp(over: { dataDir?: string; maxBytes?: number; uplink?: string } = {}) {
  const dataDir = over.dataDir ?? (await mkdtemp(join(tmpdir(), "millrace-letters-")));
  if (over.dataDir === undefined) onTestFinished(() => rm(dataDir, { recursive: true, force: true }));
  const uplink = over.uplink ?? "cloud";
  const maxBytes = over.maxBytes ?? 1024 * 1024;
  const parts = { dataDir, uplink, gatewayId: "gw", maxBytes, maxAgeMs: 30 * DAY_MS, clock };
  const letters = new DeadLetterFiles({ ...parts, log: silentLogger, metrics: noMetrics });
  await letters.start();
  onTestFinished(() => letters.stop());
  const lines = async () => {
    const found: Record<string, unknown>[] = [];
    for await (const line of deadLetterLines(dataDir, uplink)) found.push(JSON.parse(line));
    return found;
  };
  return { dataDir, letters, lines };
}

function entry(seq: number, text = "x"): Entry {
  const content = {
    kind: "message" as const,
    topic: "plant/a",
    payload: Buffer.from(text),
    qos: 1 as const,
    retain: false,
  };
  const ids = { stream: "telemetry" as const, seq, epoch: 1, prev: seq - 1, chain: "c1" };
  return { ...ids, bootId: "boot-1", monoMs: 1, wallMs: 1000 + seq, clock: "synced", content, bytes: 10 };
}

it("keeps the whole record with time and reason, and goes on after a restart", async () => {
  const { dataDir, letters, lines } = await setUp();
  await letters.add([entry(1, '{"a":1}'), entry(2)], "0x99 payload format invalid");
  await letters.stop();
  const second = await setUp({ dataDir });
  expect(second.letters.stats()).toMatchObject({ records: 2, oldestMs: nowMs, dropped: 0 });
  await second.letters.add([entry(3)], "too large");
  expect(await lines()).toMatchObject([
    { at: nowMs, uplink: "cloud", reason: "0x99 payload format invalid", seq: 1, topic: "plant/a", text: '{"a":1}' },
    { seq: 2, id: "gw/telemetry/00000001/2" },
    { seq: 3, reason: "too large" },
  ]);
  expect(await uplinksWithDeadLetters(dataDir)).toEqual(["cloud"]);
});

it("leaves out what was cut off, and does not write behind it", async () => {
  const { dataDir, letters, lines } = await setUp();
  await letters.add([entry(1)], "r");
  await letters.stop();
  const [file = ""] = await readdir(deadLetterFolder(dataDir, "cloud"));
  await appendFile(join(deadLetterFolder(dataDir, "cloud"), file), '{"at":17323,"upl');
  const second = await setUp({ dataDir });
  await second.letters.add([entry(2)], "r");
  expect((await lines()).map(({ seq }) => seq)).toEqual([1, 2]);
});

it("is capped by bytes, the oldest first, and counts what it gave up", async () => {
  const { letters, lines } = await setUp({ maxBytes: 64 * 1024 });
  for (let seq = 1; seq <= 100; seq++) await letters.add([entry(seq, "y".repeat(1500))], "r");
  const { records, bytes, dropped } = letters.stats();
  expect(bytes).toBeLessThanOrEqual(64 * 1024);
  expect(records + dropped).toBe(100);
  const kept = (await lines()).map(({ seq }) => seq);
  expect(kept).toEqual(Array.from({ length: records }, (_, i) => 101 - records + i));
});

it("is capped by age", async () => {
  const { dataDir, letters } = await setUp({ maxBytes: 64 * 1024 });
  await letters.add([entry(1)], "r");
  await letters.stop();
  nowMs += 31 * DAY_MS;
  const second = await setUp({ dataDir });
  await second.letters.add([entry(2)], "r");
  expect(second.letters.stats()).toMatchObject({ records: 1, dropped: 1 });
});

it("says that it could not keep one, and keeps the next", async () => {
  const { dataDir, letters, lines } = await setUp();
  await mkdir(join(dataDir, "dead-letters"));
  await appendFile(join(dataDir, "dead-letters", "cloud"), "in the way");
  await expect(letters.add([entry(1)], "r")).rejects.toThrow(StorageError);
  await rm(join(dataDir, "dead-letters", "cloud"));
  await letters.add([entry(1)], "r");
  expect(await lines()).toHaveLength(1);
});

it("stays in its folder, whatever the uplink is called", async () => {
  const { dataDir, letters } = await setUp({ uplink: ".." });
  await letters.add([entry(1)], "r");
  expect(await readdir(dataDir)).toEqual(["dead-letters"]);
});
