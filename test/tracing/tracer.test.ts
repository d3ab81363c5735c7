import { describe, expect, it } from "vitest";
import type { Device } from "../../gateway/core/driver.ts";
import type { Entry, NewRecord } from "../../gateway/core/record.ts";
import type { Scan } from "../../gateway/southbound/scan.ts";
import type { Span } from "../../gateway/tracing/span.ts";
import { Tracer } from "../../gateway/tracing/tracer.ts";

const OFFSET_MS = 1_800_000_000_000;

function scene({ sample = 1, syncAlways = false, random = (): number => 0.5 } = {}) {
  const spans: Span[] = [];
  const now = { monoMs: 1_000, clock: "synced" as "synced" | "unsynced" };
  const clock = { bootId: "boot", now: () => ({ ...now, wallMs: now.monoMs + OFFSET_MS }) };
  const tracer = new Tracer({ sample, syncAlways, clock, add: (span) => spans.push(span), random });
  let answer: (error?: Error) => void = () => {};
  const queue = tracer.appending({
    append: () =>
      new Promise<void>((resolve, reject) => {
        answer = (error) => (error ? reject(error) : resolve());
      }),
    refused: () => {},
  });
  const device: Device = { link: "line", name: "press", topic: "plant/press", tags: [], options: {} };
  const scan = (stream: Scan["stream"] = "telemetry"): Scan => ({
    device,
    group: "1000ms",
    stream,
    everyMs: 1_000,
    taken: clock.now(),
    beganMs: now.monoMs - 4,
    samples: [],
    tags: [],
  });
  const source = { link: "line", device: "press", group: "1000ms", topic: "plant/press", tags: [] };
  const record = ({ taken }: Scan): NewRecord => ({ taken, content: { kind: "samples", source, samples: [] } });
  const entry = ({ taken, stream }: Scan, over: Partial<Entry> = {}): Entry => ({
    stream,
    seq: 1,
    epoch: 1,
    prev: 0,
    chain: "c",
    bootId: "boot",
    monoMs: taken.monoMs,
    wallMs: taken.wallMs,
    clock: "synced",
    content: { kind: "samples", source, samples: [] },
    bytes: 1,
    ...over,
  });
  /** Name, start and end, milliseconds of the monotonic clock. */
  const steps = () => spans.map(({ name, startMs, endMs }) => [name, startMs - OFFSET_MS, endMs - OFFSET_MS]);
  return { tracer, queue, spans, now, scan, record, entry, steps, answer: (error?: Error) => answer(error) };
}

describe("Tracer", () => {
  it("follows a scan from the poll to the acknowledgement", async () => {
    const { tracer, queue, spans, now, scan, record, entry, steps, answer } = scene();
    const taken = scan();
    tracer.seen(taken);
    const appended = queue.append("telemetry", [record(taken)]);
    now.monoMs = 1_002;
    answer();
    await appended;
    expect(steps()).toEqual([]);
    now.monoMs = 1_010;
    tracer.sent("cloud", [entry(taken)]);
    now.monoMs = 1_500;
    tracer.fsynced("telemetry", 0.02);
    now.monoMs = 1_600;
    tracer.answered("cloud", [entry(taken)], true);
    expect(steps()).toEqual([
      ["sample", 996, 1_500],
      ["poll", 996, 1_000],
      ["append", 1_000, 1_002],
      ["fsync", 1_480, 1_500],
      ["send", 1_002, 1_010],
      ["ack", 1_010, 1_600],
    ]);
    const [root, ...rest] = spans;
    expect(rest.every(({ traceId, parentId }) => traceId === root?.traceId && parentId === root.spanId)).toBe(true);
    expect(new Set(spans.map(({ spanId }) => spanId)).size).toBe(6);
    expect(root?.parentId).toBeUndefined();
    expect(root?.attributes).toMatchObject({ "millrace.link": "line", "millrace.device": "press" });
    expect(spans.at(-1)?.attributes).toEqual({ "millrace.uplink": "cloud" });
  });

  it("takes an fsync that began before the record was written for none of its own", async () => {
    const { tracer, queue, now, scan, record, steps, answer } = scene();
    const taken = scan();
    tracer.seen(taken);
    const appended = queue.append("telemetry", [record(taken)]);
    now.monoMs = 1_005;
    answer();
    await appended;
    now.monoMs = 1_010;
    tracer.fsynced("telemetry", 0.008);
    tracer.fsynced("events", 0.001);
    expect(steps()).toEqual([]);
    now.monoMs = 1_020;
    tracer.fsynced("telemetry", 0.002);
    expect(steps()).toContainEqual(["fsync", 1_018, 1_020]);
  });

  it.each([
    ["events", false],
    ["telemetry", true],
  ] as const)(
    "where the append itself is durable (%s, always: %s) the fsync lies in it",
    async (stream, syncAlways) => {
      const { tracer, queue, now, scan, record, steps, answer } = scene({ syncAlways });
      const taken = scan(stream);
      tracer.seen(taken);
      const appended = queue.append(stream, [record(taken)]);
      now.monoMs = 1_006;
      tracer.fsynced(stream, 0.003);
      now.monoMs = 1_007;
      answer();
      await appended;
      expect(steps()).toEqual([
        ["sample", 996, 1_007],
        ["poll", 996, 1_000],
        ["append", 1_000, 1_007],
        ["fsync", 1_003, 1_006],
      ]);
    },
  );

  it("tells what the queue did not take, and throws it on", async () => {
    const { tracer, queue, spans, scan, record, answer } = scene();
    const taken = scan();
    tracer.seen(taken);
    const appended = queue.append("telemetry", [record(taken)]);
    answer(new Error("the disk is full"));
    await expect(appended).rejects.toThrow("the disk is full");
    expect(spans.map(({ name, error }) => [name, error])).toEqual([
      ["sample", "the disk is full"],
      ["poll", undefined],
      ["append", "the disk is full"],
    ]);
    expect(tracer.open).toBe(0);
  });

  it("marks what was not acknowledged, and follows it again when it is sent again", () => {
    const { tracer, spans, scan, entry } = scene();
    const taken = scan();
    tracer.seen(taken);
    tracer.sent("cloud", [entry(taken)]);
    tracer.answered("cloud", [entry(taken)], false);
    tracer.answered("cloud", [entry(taken)], true);
    tracer.sent("cloud", [entry(taken)]);
    tracer.answered("cloud", [entry(taken)], true);
    const acks = spans.filter(({ name }) => name === "ack");
    expect(acks.map(({ error }) => error)).toEqual(["it was not acknowledged", undefined]);
  });

  it("takes no other record for its own: another boot, stream, device or kind", () => {
    const { tracer, spans, scan, entry } = scene();
    const taken = scan();
    tracer.seen(taken);
    const message = { kind: "message", topic: "t", payload: new Uint8Array(), qos: 1, retain: false } as const;
    const source = { link: "line", device: "other", group: "1000ms", topic: "t", tags: [] };
    const others: Partial<Entry>[] = [
      { bootId: "older" },
      { stream: "events" },
      { monoMs: 1_000.5 },
      { content: message },
      { content: { kind: "samples", source, samples: [] } },
    ];
    for (const over of others) {
      tracer.sent("cloud", [entry(taken, over)]);
      tracer.answered("cloud", [entry(taken, over)], true);
    }
    expect(spans).toEqual([]);
  });

  it("draws by the rate, remembers a bounded number, and nothing while the clock is not set", () => {
    const draws = [0.05, 0.1, 0.5];
    const { tracer, now, scan } = scene({ sample: 0.1, random: () => draws.shift() ?? 0 });
    for (let n = 0; n < 3; n++) {
      now.monoMs++;
      tracer.seen(scan());
    }
    expect(tracer.open).toBe(1);
    now.clock = "unsynced";
    now.monoMs++;
    tracer.seen(scan());
    expect(tracer.open).toBe(1);
    now.clock = "synced";
    for (let n = 0; n < 1_000; n++) {
      now.monoMs++;
      tracer.seen(scan());
    }
    expect(tracer.open).toBe(256);
  });
});
