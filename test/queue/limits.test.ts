import { statfs } from "node:fs/promises";
import { describe, expect, it, vi } from "vitest";
import { QueueFullError } from "../../gateway/core/errors.ts";
import type { Gap } from "../../gateway/core/record.ts";
import { folderBytes } from "../../gateway/queue/files.ts";
import type { LevelQueue } from "../../gateway/queue/level-queue.ts";
import {
  message,
  messages,
  type QueueChanges,
  reader,
  readMany,
  seqsOf,
  startedQueue,
  testFolder,
  textOf,
  want,
} from "./support.ts";

const MAX_BYTES = 8 * 64 * 1024;

async function small(options: QueueChanges["options"] = {}): Promise<{ folder: string; queue: LevelQueue }> {
  const folder = await testFolder();
  return { folder, queue: await startedQueue(folder, { options: { maxBytes: MAX_BYTES, ...options } }) };
}

/** Appends `count` records of about 1 KiB, ten at a time; gives how many were taken. */
async function fill(
  queue: LevelQueue,
  stream: "events" | "telemetry",
  count: number,
  topic = "plant/a",
): Promise<number> {
  for (let n = 0; n < count; n += 10) {
    try {
      await queue.append(stream, messages(10, n + 1, topic, 1000));
    } catch (error) {
      expect(error).toBeInstanceOf(QueueFullError);
      return n;
    }
  }
  return count;
}

function total(gaps: readonly Gap[]): number {
  return gaps.reduce((sum, { count }) => sum + count, 0);
}

async function drained(queue: LevelQueue, uplink: string, stream: "events" | "telemetry"): Promise<number[]> {
  const seqs: number[] = [];
  const owed = () => queue.stats().uplinks.find(({ name }) => name === uplink)?.streams[stream].depth ?? 0;
  while (owed() > 0) {
    const entries = await queue.read(uplink, want(stream), AbortSignal.timeout(5000));
    seqs.push(...seqsOf(entries));
    await queue.settle(uplink, stream, seqsOf(entries));
  }
  return seqs;
}

describe("drop-oldest", () => {
  it("keeps within maxBytes, and the gaps say exactly what is missing", async () => {
    const { queue } = await small();
    await queue.open("all", reader());
    await queue.open("half", reader(["plant/b"]));
    for (let n = 0; n < 60; n++) {
      await fill(queue, "telemetry", 10, n % 2 === 0 ? "plant/a" : "plant/b");
      expect(queue.stats().bytes).toBeLessThanOrEqual(MAX_BYTES);
    }
    for (const [uplink, count] of [["all", 600] as const, ["half", 300] as const]) {
      const gaps = queue.gaps(uplink);
      expect(gaps.length).toBe(1);
      expect(gaps[0]).toMatchObject({ reason: "dropped", exact: true, prev: 0, from: uplink === "all" ? 1 : 11 });
      const seqs = await drained(queue, uplink, "telemetry");
      expect(total(gaps) + seqs.length).toBe(count);
      expect(seqs.every((seq) => seq > (gaps[0]?.to ?? 0))).toBe(true);
      expect(gaps[0]?.bytes).toBeGreaterThan(total(gaps) * 1000);
    }
    expect(queue.stats().dropped).toBe(total(queue.gaps("all")) + total(queue.gaps("half")));
  });

  it("leaves in flight owed until the verdict, and counts only what is not", async () => {
    const { queue } = await small();
    await queue.open("up", reader());
    await fill(queue, "telemetry", 100);
    const flying = await readMany(queue, "up", "telemetry", 20);
    await queue.settle("up", "telemetry", [1, 2, 3]);
    await fill(queue, "telemetry", 900);
    const [gap] = queue.gaps("up");
    expect(gap).toMatchObject({ from: 21, prev: 20, exact: true });
    await queue.settle("up", "telemetry", seqsOf(flying).slice(3, 10));
    // Ten of them were never answered, and are not on disk any more.
    queue.rewind("up");
    const gaps = queue.gaps("up");
    expect(gaps[0]).toMatchObject({ from: 11, prev: 10 });
    const seqs = await drained(queue, "up", "telemetry");
    expect(total(queue.gaps("up")) + seqs.length + 10).toBe(1000);
  });

  it("never takes events while there is telemetry", async () => {
    const { queue } = await small();
    await queue.open("up", reader());
    await fill(queue, "events", 100);
    await fill(queue, "telemetry", 200);
    await fill(queue, "events", 250);
    expect(queue.gaps("up").every(({ stream }) => stream === "telemetry")).toBe(true);
    expect(queue.stats().uplinks[0]?.streams.events.depth).toBe(350);
  });

  it("gives the disk back at once", async () => {
    const { folder, queue } = await small({ maxBytes: 2 * MAX_BYTES });
    await queue.open("up", reader());
    await fill(queue, "telemetry", 400);
    await drained(queue, "up", "telemetry");
    await vi.waitFor(() => expect(queue.stats().streams.telemetry.segments).toBe(1));
    await vi.waitFor(async () => expect(await folderBytes(`${folder}/queue/trash`)).toBe(0));
    const { bytes, streams } = queue.stats();
    expect(streams.telemetry.bytes).toBeLessThan(4 * 64 * 1024 + 4096);
    // The reserve for a full disk counts as well.
    expect(bytes).toBeLessThan(4 * 64 * 1024 + 4096);
    expect(queue.gaps("up")).toEqual([]);
  });
});

describe("a segment", () => {
  it("in the midst goes when nobody is owed it, whatever is held before", async () => {
    const { folder, queue } = await small({ maxBytes: 64 * 1024 * 1024 });
    await queue.open("gone", reader(["plant/old"]));
    await queue.open("up", reader());
    await fill(queue, "telemetry", 10, "plant/old");
    await fill(queue, "telemetry", 500);
    await drained(queue, "up", "telemetry");
    await vi.waitFor(() => expect(queue.stats().streams.telemetry.segments).toBe(2));
    await queue.close();
    const again = await startedQueue(folder, { options: { maxBytes: 64 * 1024 * 1024 } });
    await again.open("gone", reader(["plant/old"]));
    expect((await readMany(again, "gone", "telemetry", 10)).map(textOf).at(-1)).toBe("10");
    expect(again.gaps("gone")).toEqual([]);
  });
});

describe("refuse", () => {
  it("pushes back on events when no telemetry is left, and takes them again when there is room", async () => {
    const { queue } = await small();
    await queue.open("up", reader());
    const taken = await fill(queue, "events", 1000);
    expect(taken).toBeGreaterThan(300);
    expect(taken).toBeLessThan(1000);
    await expect(queue.append("events", messages(10, 1, "plant/a", 1000))).rejects.toThrow(QueueFullError);
    await expect(queue.append("telemetry", messages(10, 1, "plant/a", 1000))).rejects.toThrow(QueueFullError);
    const entries = await readMany(queue, "up", "events", 200);
    await queue.settle("up", "events", seqsOf(entries));
    await vi.waitFor(() => queue.append("events", messages(10, 1, "plant/a", 1000)));
    expect(queue.gaps("up")).toEqual([]);
    const rest = await readMany(queue, "up", "events", taken + 10 - 200);
    expect(rest[0]).toMatchObject({ seq: 201, prev: 200 });
    expect(rest.at(-1)?.seq).toBe(taken + 10);
  });

  it("is caused by required uplinks only: any other is gapped alone", async () => {
    const { queue } = await small({ telemetryPolicy: "refuse" });
    await queue.open("needed", reader());
    await queue.open("nice", reader(["#"], { required: false }));
    for (let n = 0; n < 60; n++) {
      await queue.append("telemetry", messages(10, n * 10 + 1, "plant/a", 1000));
      await queue.settle("needed", "telemetry", seqsOf(await readMany(queue, "needed", "telemetry", 10)));
    }
    expect(queue.gaps("needed")).toEqual([]);
    const gaps = queue.gaps("nice");
    expect(gaps).toMatchObject([{ from: 1, prev: 0, reason: "dropped", exact: true }]);
    expect((await drained(queue, "nice", "telemetry")).length + total(gaps)).toBe(600);
    const taken = await fill(queue, "telemetry", 1000);
    expect(taken).toBeLessThan(1000);
    expect(queue.gaps("needed")).toEqual([]);
  });

  it("keeps the disk above minFree", async () => {
    const folder = await testFolder();
    const { bavail, bsize } = await statfs(folder);
    const queue = await startedQueue(folder, { options: { minFree: bavail * bsize * 2 } });
    await queue.open("up", reader());
    await expect(queue.append("events", [message("1")])).rejects.toThrow(QueueFullError);
  });
});

describe("reading", () => {
  it("touches no old segment while it keeps up", async () => {
    const { queue } = await small();
    await queue.open("up", reader());
    for (let n = 0; n < 30; n++) {
      await queue.append("telemetry", messages(10, n * 10 + 1, "plant/a", 1000));
      const entries = await readMany(queue, "up", "telemetry", 10);
      expect(textOf(entries[0] ?? expect.fail())).toBe(`${n * 10 + 1}`);
      await queue.settle("up", "telemetry", seqsOf(entries));
    }
    const { bytesWritten, bytesAppended } = queue.stats();
    expect(bytesWritten / bytesAppended).toBeLessThan(1.2);
  });

  it("of many segments by several uplinks at once gives each everything", async () => {
    const { queue } = await small({ maxBytes: 64 * 1024 * 1024 });
    const names = ["a", "b", "c", "d"];
    for (const name of names) await queue.open(name, reader());
    await fill(queue, "telemetry", 400);
    await fill(queue, "events", 400);
    const read = names.flatMap((name) =>
      (["events", "telemetry"] as const).map((stream) => readMany(queue, name, stream, 400, 37)),
    );
    for (const entries of await Promise.all(read)) {
      expect(seqsOf(entries)).toEqual(Array.from({ length: 400 }, (_, i) => i + 1));
    }
  });
});
