import { describe, expect, it, vi } from "vitest";
import type { Clock } from "../../gateway/core/clock.ts";
import type { Gap } from "../../gateway/core/record.ts";
import type { LevelQueue } from "../../gateway/queue/level-queue.ts";
import { message, messages, reader, readMany, seqsOf, startedQueue, testFolder, textOf, want } from "./support.ts";

const HOUR = 3_600_000;

/** A clock whose two times are moved by hand. */
function handClock(bootId = "boot-1") {
  const state = { wallMs: 1_732_300_000_000, monoMs: 1000, clock: "synced" as "synced" | "unsynced" };
  const clock: Clock = { bootId, now: () => ({ ...state }) };
  return {
    clock,
    state,
    pass: (ms: number) => Object.assign(state, { wallMs: state.wallMs + ms, monoMs: state.monoMs + ms }),
  };
}

async function append(queue: LevelQueue, stream: "events" | "telemetry", count: number, first = 1): Promise<void> {
  for (let n = 0; n < count; n += 10) await queue.append(stream, messages(10, first + n, "plant/a", 1000));
}

const owed = (queue: LevelQueue, name: string) =>
  queue.stats().uplinks.find((uplink) => uplink.name === name) ?? expect.fail(name);
const total = (gaps: readonly Gap[]) => gaps.reduce((sum, { count }) => sum + count, 0);

async function drained(queue: LevelQueue, name: string, stream: "events" | "telemetry"): Promise<number[]> {
  const seqs: number[] = [];
  while (owed(queue, name).streams[stream].depth > 0) {
    const entries = await queue.read(name, want(stream), AbortSignal.timeout(5000));
    seqs.push(...seqsOf(entries));
    await queue.settle(name, stream, seqsOf(entries));
  }
  return seqs;
}

describe("maxBacklog", () => {
  it("in bytes gives up the oldest segments for that uplink alone, to the record, and telemetry before events", async () => {
    const queue = await startedQueue(await testFolder());
    const bytes = 4 * 64 * 1024;
    await queue.open("all", reader());
    await queue.open("small", reader(["#"], { maxBacklog: { bytes } }));
    await append(queue, "events", 100);
    await append(queue, "telemetry", 500);
    const { events, telemetry } = owed(queue, "small").streams;
    expect(events.bytes + telemetry.bytes).toBeLessThanOrEqual(bytes + 64 * 1024);
    expect(events.depth).toBe(100);
    expect(queue.gaps("all")).toEqual([]);
    const gaps = queue.gaps("small");
    expect(gaps).toMatchObject([{ stream: "telemetry", from: 1, prev: 0, reason: "dropped", exact: true }]);
    expect(gaps[0]?.tFrom).toBeGreaterThan(1_700_000_000_000);
    const seqs = await drained(queue, "small", "telemetry");
    expect(seqs[0]).toBe((gaps[0]?.to ?? 0) + 1);
    expect(seqs.length + total(gaps)).toBe(500);
    expect(await drained(queue, "all", "telemetry")).toHaveLength(500);
  });

  it("in age counts what the gateway runs, never a step of the clock", async () => {
    const hand = handClock();
    const folder = await testFolder();
    const queue = await startedQueue(folder, { clock: hand.clock });
    const old = reader(["#"], { maxBacklog: { ageMs: 8 * HOUR } });
    await queue.open("all", reader());
    await queue.open("old", old);
    await append(queue, "telemetry", 20);
    hand.state.wallMs += 24 * 365 * HOUR;
    hand.pass(2 * HOUR);
    await append(queue, "telemetry", 20, 21);
    expect(queue.gaps("old")).toEqual([]);
    hand.pass(7 * HOUR);
    const flying = await queue.read("old", want("telemetry", 5), AbortSignal.timeout(5000));
    await append(queue, "telemetry", 10, 41);
    // The first segment was sealed after an eighth of the age: it goes, and nothing of the second.
    await vi.waitFor(() =>
      expect(queue.gaps("old")).toMatchObject([{ from: 6, to: 20, count: 15, reason: "retention" }]),
    );
    await queue.settle("old", "telemetry", seqsOf(flying));
    await queue.close();
    // Off for a month, on another boot: that does not count, and what was counted is kept.
    const later = handClock("boot-2");
    later.pass(24 * 30 * HOUR);
    const again = await startedQueue(folder, { clock: later.clock });
    await again.open("all", reader());
    await again.open("old", old);
    await append(again, "telemetry", 10, 51);
    expect(total(again.gaps("old"))).toBe(15);
    later.pass(2 * HOUR);
    await append(again, "telemetry", 10, 61);
    await vi.waitFor(() => expect(again.gaps("old")).toMatchObject([{ from: 6, to: 40, count: 35, exact: true }]));
    expect((await drained(again, "old", "telemetry")).length).toBe(30);
    expect((await drained(again, "all", "telemetry")).length).toBe(70);
  });

  it("gives up what is old also of a segment that is still written, and goes on with it", async () => {
    const hand = handClock();
    const queue = await startedQueue(await testFolder(), { clock: hand.clock });
    await queue.open("up", reader(["#"], { maxBacklog: { ageMs: HOUR } }));
    await append(queue, "telemetry", 20);
    hand.pass(2 * HOUR);
    // The other stream: it is the time that counts.
    await append(queue, "events", 10);
    expect(queue.gaps("up")).toMatchObject([{ stream: "telemetry", from: 1, to: 20, count: 20, exact: true }]);
    expect(owed(queue, "up").streams.telemetry).toMatchObject({ depth: 0, bytes: 0 });
    await append(queue, "telemetry", 10, 21);
    const entries = await readMany(queue, "up", "telemetry", 10);
    expect(entries[0]).toMatchObject({ seq: 21, prev: 20 });
    expect(owed(queue, "up").streams.telemetry.depth).toBe(10);
  });

  it("retains what an uplink that is gone is owed for its time, and tells it when it comes back", async () => {
    const folder = await testFolder();
    const first = handClock();
    const mine = reader(["#"], { retainMs: 5 * HOUR });
    const queue = await startedQueue(folder, { clock: first.clock });
    await queue.open("gone", mine);
    await queue.open("up", reader());
    await append(queue, "telemetry", 20);
    await queue.close();
    for (const [hours, segments] of [
      [3, 2],
      [3, 1],
    ] as const) {
      const clock = handClock(`boot-${hours}-${segments}`);
      const run = await startedQueue(folder, { clock: clock.clock });
      await run.open("up", reader());
      await append(run, "telemetry", 10, 21);
      await drained(run, "up", "telemetry");
      clock.pass(hours * HOUR);
      await append(run, "events", 10);
      await drained(run, "up", "events");
      await vi.waitFor(() => expect(run.stats().streams.telemetry.segments).toBe(segments));
      await run.close();
    }
    const back = await startedQueue(folder);
    await back.open("gone", mine);
    expect(back.gaps("gone")).toMatchObject([{ from: 1, to: 20, count: 20, reason: "retention", exact: true }]);
    expect(owed(back, "gone").streams.telemetry.depth).toBe(0);
  });
});

describe("shares", () => {
  const MAX = 10 * 64 * 1024;
  const share = 3 * 64 * 1024;

  async function full(options: object): Promise<LevelQueue> {
    const queue = await startedQueue(await testFolder(), { options: { maxBytes: MAX, ...options } });
    await queue.open("up", reader());
    return queue;
  }
  async function fill(queue: LevelQueue, stream: "events" | "telemetry"): Promise<void> {
    await append(queue, stream, 800).catch(() => {});
  }
  const used = (queue: LevelQueue, stream: "events" | "telemetry") => queue.stats().streams[stream].bytes;

  it("keep to telemetry what is its own when events come", async () => {
    const queue = await full({ shares: { events: 0, telemetry: share } });
    await fill(queue, "telemetry");
    await fill(queue, "events");
    expect(used(queue, "telemetry")).toBeGreaterThanOrEqual(share);
    await fill(queue, "telemetry");
    expect(used(queue, "telemetry")).toBeGreaterThanOrEqual(share - 64 * 1024);
    expect(queue.gaps("up").every(({ stream }) => stream === "telemetry")).toBe(true);
  });

  it("are left free by events that would not give them back", async () => {
    const queue = await full({ shares: { events: 0, telemetry: share } });
    await fill(queue, "events");
    expect(used(queue, "events")).toBeLessThanOrEqual(MAX - share);
    await append(queue, "telemetry", 100);
    expect(queue.gaps("up")).toEqual([]);
  });

  it("keep to events what is their own when telemetry would not give it back", async () => {
    const queue = await full({ shares: { events: share, telemetry: 0 }, telemetryPolicy: "refuse" });
    await fill(queue, "telemetry");
    expect(used(queue, "telemetry")).toBeLessThanOrEqual(MAX - share);
    await append(queue, "events", 100);
    expect(queue.gaps("up")).toEqual([]);
  });

  it("let telemetry push out events that are beyond their own", async () => {
    const shares = { events: share, telemetry: share };
    const queue = await full({ shares, eventsPolicy: "drop-oldest" });
    await fill(queue, "events");
    await append(queue, "telemetry", 100);
    const gaps = queue.gaps("up");
    expect(gaps.length).toBe(1);
    expect(gaps[0]).toMatchObject({ stream: "events", reason: "dropped", exact: true });
    expect(owed(queue, "up").streams.telemetry.depth).toBe(100);
    expect(used(queue, "events")).toBeGreaterThanOrEqual(share);
  });
});

describe("what was refused before it had a seq", () => {
  const lost = (topic: string, hand: ReturnType<typeof handClock>) => ({ topic, taken: hand.clock.now(), bytes: 10 });

  it("is one gap with a count for whoever selects it, told when it is over", async () => {
    const hand = handClock();
    const queue = await startedQueue(await testFolder(), { clock: hand.clock });
    let woken = 0;
    await queue.open("all", reader());
    await queue.open("some", reader(["plant/b"]));
    queue.onGap("all", () => woken++);
    await append(queue, "telemetry", 10);
    for (let n = 0; n < 30; n++) {
      queue.refused("telemetry", lost(n % 2 === 0 ? "plant/b" : "plant/a", hand));
      hand.pass(900);
      // What is taken in between does not end it.
      if (n === 10) await append(queue, "telemetry", 10, 11);
    }
    expect(queue.gaps("all")).toEqual([]);
    hand.pass(5000);
    await append(queue, "events", 10);
    expect(woken).toBe(1);
    const gap = { stream: "telemetry", from: 11, to: 10, prev: 10, reason: "refused", exact: true };
    const start = 1_732_300_000_000;
    expect(queue.gaps("all")).toMatchObject([{ ...gap, count: 30, bytes: 300, tFrom: start, tTo: start + 29 * 900 }]);
    expect(queue.gaps("some")).toMatchObject([{ ...gap, count: 15, tFrom: start, tTo: start + 28 * 900 }]);
    expect(owed(queue, "all")).toMatchObject({ gapsPending: 1, streams: { telemetry: { depth: 20 } } });
    await drained(queue, "all", "telemetry");
    expect(owed(queue, "all").streams.telemetry).toMatchObject({ lastTaken: 20, lastAcked: 20 });
    for (const told of queue.gaps("all")) await queue.settleGap("all", told);
    expect(queue.gaps("all")).toEqual([]);
  });

  it("outlives a stop, goes on in another gap once it was told, and is dated when the clock is set", async () => {
    const folder = await testFolder();
    const hand = handClock();
    Object.assign(hand.state, { wallMs: 5000, clock: "unsynced" });
    const queue = await startedQueue(folder, { clock: hand.clock });
    await queue.open("up", reader());
    queue.refused("events", lost("plant/a", hand));
    await queue.close();
    const again = await startedQueue(folder, { clock: hand.clock });
    await again.open("up", reader());
    const [told] = again.gaps("up");
    expect(told).toMatchObject({ count: 1, reason: "refused" });
    expect(told).not.toHaveProperty("tFrom");
    again.refused("events", lost("plant/a", hand));
    Object.assign(hand.state, { wallMs: 1_732_300_000_000, clock: "synced" });
    hand.pass(3000);
    await append(again, "events", 10);
    const gaps = again.gaps("up");
    expect(gaps.map(({ count }) => count)).toEqual([1, 1]);
    expect(new Set(gaps.map(({ refusal }) => refusal)).size).toBe(2);
    expect(gaps.every(({ tFrom }) => tFrom === 1_732_300_000_000)).toBe(true);
    if (told) await again.settleGap("up", told);
    expect(again.gaps("up")).toMatchObject([{ count: 1, refusal: gaps[1]?.refusal }]);
  });

  it("never throws, open or not", async () => {
    const hand = handClock();
    const queue = await startedQueue(await testFolder());
    queue.refused("events", lost("plant/a", hand));
    await queue.close();
    queue.refused("events", lost("plant/a", hand));
  });
});

describe("times of what is lost", () => {
  it("are left out while they are not known, and corrected when they are", async () => {
    const hand = handClock();
    Object.assign(hand.state, { wallMs: 5000, clock: "unsynced" });
    const queue = await startedQueue(await testFolder(), { clock: hand.clock });
    await queue.open("a", reader(["#"], { maxBacklog: { ageMs: HOUR } }));
    await queue.open("b", reader(["#"], { maxBacklog: { ageMs: 3 * HOUR } }));
    await queue.append("telemetry", [message("1", "plant/a", { taken: hand.clock.now() })]);
    expect(queue.stats().streams.telemetry).not.toHaveProperty("oldestWallMs");
    expect(owed(queue, "a").streams.telemetry).not.toHaveProperty("oldestWallMs");
    hand.pass(2 * HOUR);
    await append(queue, "events", 10);
    expect(queue.gaps("a")[0]).not.toHaveProperty("tFrom");
    const now = 1_732_300_000_000;
    Object.assign(hand.state, { wallMs: now, clock: "synced" });
    const taken = now - 2 * HOUR;
    expect(queue.stats().streams.telemetry.oldestWallMs).toBe(taken);
    hand.pass(2 * HOUR);
    await append(queue, "events", 10);
    expect(queue.gaps("b").find(({ stream }) => stream === "telemetry")).toMatchObject({ tFrom: taken, tTo: taken });
    expect(textOf((await readMany(queue, "b", "events", 20))[19] ?? expect.fail())).toBe("10");
  });
});
