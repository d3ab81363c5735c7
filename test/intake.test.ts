import { describe, expect, it } from "vitest";
import type { Device } from "../gateway/core/driver.ts";
import { QueueFullError, StorageError } from "../gateway/core/errors.ts";
import { silentLogger } from "../gateway/core/log.ts";
import type { Metrics } from "../gateway/core/metrics.ts";
import { noMetrics } from "../gateway/core/metrics.ts";
import type { Refused } from "../gateway/core/queue.ts";
import type { NewRecord, StreamName } from "../gateway/core/record.ts";
import { Intake } from "../gateway/intake.ts";
import type { Scan } from "../gateway/southbound/scan.ts";

const device: Device = { name: "press-1", link: "plc-1", topic: "plant/press-1", tags: [], options: {} };
const tag = { name: "t", everyMs: 1000, stream: "telemetry", type: "float32", unit: "°C", options: {} } as const;
const scan = (value: number): Scan => ({
  device,
  group: "1000ms",
  stream: "telemetry",
  everyMs: 1000,
  taken: { wallMs: 5000, monoMs: 100, clock: "synced" },
  samples: [{ tag: "t", quality: "good", value, monoMs: 97.6 }],
  tags: [tag],
});

/** A queue that takes, holds or refuses as it is told. */
function queueOf(append: (stream: StreamName, records: readonly NewRecord[]) => Promise<void>) {
  const counts = new Map<string, number>();
  const metrics: Metrics = {
    ...noMetrics,
    counter: (name) => ({
      inc: (labels = {}, by = 1) => {
        const key = [name, ...Object.values(labels)].join(" ");
        counts.set(key, (counts.get(key) ?? 0) + by);
      },
    }),
  };
  const logged: string[] = [];
  const log = {
    ...silentLogger,
    error: (_: object, text: string) => logged.push(text),
    info: (_: object, text: string) => logged.push(text),
  };
  const told: Refused[] = [];
  const refused = (_: StreamName, lost: Refused) => told.push(lost);
  return { intake: new Intake({ queue: { append, refused }, log, metrics }), counts, logged, told };
}

describe("intake", () => {
  it("makes one record of a scan, with one source for all scans of a group", async () => {
    const taken: NewRecord[] = [];
    const { intake } = queueOf((_, records) => {
      taken.push(...records);
      return Promise.resolve();
    });
    await intake.take(scan(21.5));
    await intake.take(scan(22));
    const [first, second] = taken.map((record) => record.content);
    if (first?.kind !== "samples" || second?.kind !== "samples") throw new Error("no samples");
    expect(first.samples).toEqual([{ tag: "t", quality: "good", value: 21.5, offsetMs: -2 }]);
    expect(first.source).toMatchObject({
      link: "plc-1",
      device: "press-1",
      topic: "plant/press-1",
      tags: [{ name: "t", type: "float32", unit: "°C" }],
    });
    expect(second.source).toBe(first.source);
    expect(taken[0]?.taken).toEqual({ wallMs: 5000, monoMs: 100, clock: "synced" });
  });

  it("makes another source where a reload gave a device of the same name other tags", async () => {
    const taken: NewRecord[] = [];
    const { intake } = queueOf((_, records) => {
      taken.push(...records);
      return Promise.resolve();
    });
    await intake.take(scan(1));
    await intake.take({ ...scan(2), tags: [tag, { ...tag, name: "u" }] });
    await intake.take(scan(3));
    const tagsOf = ({ content }: NewRecord) =>
      content.kind === "samples" ? content.source.tags.map(({ name }) => name) : [];
    expect(taken.map(tagsOf)).toEqual([["t"], ["t", "u"], ["t"]]);
  });

  it("tells who waits for it when it is on disk; one that is not is refused, and no loss", async () => {
    const answers: (Error | undefined)[] = [];
    const stored = (error?: Error) => void answers.push(error);
    const taken: NewRecord[] = [];
    let full = false;
    const { intake, told, counts } = queueOf((_, records) => {
      if (full) return Promise.reject(new QueueFullError("no room"));
      taken.push(...records);
      return Promise.resolve();
    });
    await intake.take({ ...scan(1), stored });
    expect([taken[0]?.durable, answers]).toEqual([true, [undefined]]);
    full = true;
    await intake.take({ ...scan(2), stored });
    expect(answers[1]?.message).toBe("no room");
    expect([told, counts.get("millrace_scans_dropped_total telemetry full")]).toEqual([[], 1]);
  });

  it.each([
    [new QueueFullError("full"), "full"],
    [new StorageError("no space"), "storage"],
  ])("counts what the queue refuses (%s), says so once, and when it ends", async (error, reason) => {
    let refuse = true;
    const { intake, counts, logged, told } = queueOf(() => (refuse ? Promise.reject(error) : Promise.resolve()));
    await intake.take(scan(1));
    await intake.take(scan(2));
    refuse = false;
    await intake.take(scan(3));
    expect(counts.get(`millrace_scans_dropped_total telemetry ${reason}`)).toBe(2);
    expect(counts.get("millrace_scans_queued_total telemetry")).toBe(1);
    expect(told).toEqual(Array(2).fill({ taken: scan(1).taken, topic: "plant/press-1", exact: true }));
    expect(logged).toEqual(["the queue refuses scans", "the queue takes scans again"]);
  });

  it("bounds what waits for a disk that hangs", async () => {
    let release: () => void = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const { intake, counts, told } = queueOf(() => held);
    const all = Array.from({ length: 2500 }, (_, n) => intake.take(scan(n)));
    expect(counts.get("millrace_scans_dropped_total telemetry busy")).toBe(500);
    expect(told).toHaveLength(500);
    release();
    await Promise.all(all);
    expect(counts.get("millrace_scans_queued_total telemetry")).toBe(2000);
  });
});
