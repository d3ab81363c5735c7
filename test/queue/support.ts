import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import type { Clock } from "../../gateway/core/clock.ts";
import { silentLogger } from "../../gateway/core/log.ts";
import { noMetrics } from "../../gateway/core/metrics.ts";
import type { QueueOptions } from "../../gateway/core/options/queue.ts";
import type { QueueReader } from "../../gateway/core/queue.ts";
import type { Entry, NewRecord, StreamName } from "../../gateway/core/record.ts";
import { selectorOf } from "../../gateway/core/selector.ts";
import { LevelQueue, type LevelQueueParts } from "../../gateway/queue/level-queue.ts";

/** A folder that goes with the test. */
export async function testFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "millrace-queue-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

export const testClock: Clock = {
  bootId: "6f9619ff-8b86-d011-b42d-00c04fc964ff",
  now: () => ({
    wallMs: 1_732_300_000_000 + Math.round(performance.now()),
    monoMs: performance.now(),
    clock: "synced",
  }),
};

export const testOptions: QueueOptions = {
  maxBytes: 256 * 1024 * 1024,
  minFree: 0,
  segment: 64 * 1024,
  sync: 1000,
  eventsPolicy: "refuse",
  telemetryPolicy: "drop-oldest",
  endurance: 10e12,
};

export type QueueChanges = Partial<Omit<LevelQueueParts, "dataDir" | "options">> & { options?: Partial<QueueOptions> };

export function levelQueue(dataDir: string, { options, ...changes }: QueueChanges = {}): LevelQueue {
  const queue = new LevelQueue({
    dataDir,
    options: { ...testOptions, ...options },
    clock: testClock,
    log: silentLogger,
    metrics: noMetrics,
    machineId: "machine-1",
    ...changes,
  });
  onTestFinished(() => queue.close());
  return queue;
}

export async function startedQueue(dataDir: string, changes?: QueueChanges): Promise<LevelQueue> {
  const queue = levelQueue(dataDir, changes);
  await queue.start();
  return queue;
}

export function reader(select = ["#"], more: Partial<QueueReader> = {}): QueueReader {
  return { selector: selectorOf(select), from: "oldest", required: true, ...more };
}

export function message(text: string, topic = "plant/a", more: Partial<NewRecord> = {}): NewRecord {
  const content = { kind: "message", topic, payload: Buffer.from(text), qos: 1, retain: false } as const;
  return { taken: testClock.now(), content, ...more };
}

/** `count` messages with a number each, from `first` on. */
export function messages(count: number, first = 1, topic = "plant/a", pad = 0): NewRecord[] {
  return Array.from({ length: count }, (_, index) => message(`${first + index}${" ".repeat(pad)}`, topic));
}

export function textOf({ content }: Entry): string {
  return content.kind === "message" ? Buffer.from(content.payload).toString().trim() : "";
}

export function want(stream: StreamName, maxRecords = 1000, maxBytes = 1024 * 1024) {
  return { stream, lane: "fifo", maxRecords, maxBytes } as const;
}

/** Reads until `count` entries are there. */
export async function readMany(
  queue: Pick<LevelQueue, "read">,
  uplink: string,
  stream: StreamName,
  count: number,
  atOnce = 1000,
): Promise<Entry[]> {
  const entries: Entry[] = [];
  while (entries.length < count) {
    const most = Math.min(atOnce, count - entries.length);
    entries.push(...(await queue.read(uplink, want(stream, most), AbortSignal.timeout(10_000))));
  }
  return entries;
}

export function seqsOf(entries: readonly Entry[]): number[] {
  return entries.map((entry) => entry.seq);
}
