import { describe, expect, it, vi } from "vitest";
import type { Clock, ClockState } from "../../gateway/core/clock.ts";
import { QueueFullError } from "../../gateway/core/errors.ts";
import type { Gap, StreamName } from "../../gateway/core/record.ts";
import type { LevelQueue } from "../../gateway/queue/level-queue.ts";
import { messages, reader, readMany, seqsOf, startedQueue, testFolder, want } from "./support.ts";

const HOUR = 3_600_000;
const START = 1_732_300_000_000;

/** A clock whose two hands are moved by hand. */
class HandClock implements Clock {
  readonly bootId = "6f9619ff-8b86-d011-b42d-00c04fc964ff";
  monoMs = 1000;
  wallMs = START;
  state: ClockState = "synced";

  now() {
    return { monoMs: this.monoMs, wallMs: this.wallMs, clock: this.state };
  }
  pass(ms: number): void {
    this.monoMs += ms;
    this.wallMs += ms;
  }
}

async function fill(
  queue: LevelQueue,
  stream: StreamName,
  count: number,
  clock?: HandClock,
  eachMs = 0,
): Promise<void> {
  for (let n = 0; n < count; n += 10) {
    const taken = clock ? { taken: clock.now() } : {};
    await queue.append(
      stream,
      messages(10, n + 1, "plant/a", 1000).map((record) => ({ ...record, ...taken })),
    );
    clock?.pass(eachMs);
  }
}

function owedOf(queue: LevelQueue, name: string, stream: StreamName) {
  return queue.stats().uplinks.find((uplink) => uplink.name === name)?.streams[stream] ?? expect.fail();
}

function total(gaps: readonly Gap[]): number {
  return gaps.reduce((sum, { count }) => sum + count, 0);
}

describe("maxBacklog", () => {
  it("in bytes costs the uplink its own oldest segments, and no other uplink anything", async () => {
    const queue = await startedQueue(await testFolder());
    await queue.open("small", reader(["#"], { maxBacklog: { bytes: 200_000 } }));
    await queue.open("all", reader());
    await fill(queue, "telemetry", 600);
    await vi.waitFor(() => expect(owedOf(queue, "small", "telemetry").bytes).toBeLessThan(200_000 + 70_000));
    const gaps = queue.gaps("small");
    expect(gaps).toMatchObject([{ reason: "retention", from: 1, prev: 0, exact: true }]);
    const left = owedOf(queue, "small", "telemetry").depth;
    expect(total(gaps) + left).toBe(600);
    const entries = await readMany(queue, "small", "telemetry", left);
    expect(entries[0]).toMatchObject({ seq: (gaps[0]?.to ?? 0) + 1, prev: gaps[0]?.to });
    expect(queue.gaps("all")).toEqual([]);
    expect(seqsOf(await readMany(queue, "all", "telemetry", 600))).toHaveLength(600);
  });

  it("in bytes takes telemetry before events", async () => {
    const queue = await startedQueue(await testFolder());
    await queue.open("small", reader(["#"], { maxBacklog: { bytes: 300_000 } }));
    await fill(queue, "events", 200);
    await fill(queue, "telemetry", 400);
    await vi.waitFor(() => expect(queue.gaps("small").length).toBeGreaterThan(0));
    expect(queue.gaps("small").every(({ stream }) => stream === "telemetry")).toBe(true);
    expect(owedOf(queue, "small", "events").depth).toBe(200);
  });

  it("leaves what is in flight owed until its verdict", async () => {
    const queue = await startedQueue(await testFolder());
    await queue.open("small", reader(["#"], { maxBacklog: { bytes: 150_000 } }));
    await fill(queue, "telemetry", 50);
    const flying = await queue.read("small", want("telemetry", 20), AbortSignal.timeout(5000));
    await fill(queue, "telemetry", 500);
    await vi.waitFor(() => expect(queue.gaps("small").length).toBeGreaterThan(0));
    expect(queue.gaps("small")[0]?.from).toBe(21);
    await queue.settle("small", "telemetry", seqsOf(flying));
    expect(total(queue.gaps("small")) + owedOf(queue, "small", "telemetry").depth + 20).toBe(550);
  });

  it("in age lets go what is older, and nothing younger", async () => {
    const clock = new HandClock();
    const queue = await startedQueue(await testFolder(), { clock });
    await queue.open("up", reader(["#"], { maxBacklog: { ageMs: 10 * HOUR } }));
    // Ten records every half an hour, twenty hours long; each seal looks.
    await fill(queue, "telemetry", 400, clock, HOUR / 2);
    await vi.waitFor(() => expect(queue.gaps("up").length).toBeGreaterThan(0));
    const [gap] = queue.gaps("up");
    expect(gap).toMatchObject({ reason: "retention", from: 1, exact: true });
    // 200 are older than ten hours; a segment holds about 60.
    expect(gap?.to).toBeLessThanOrEqual(200);
    expect(gap?.tTo).toBeLessThanOrEqual(clock.wallMs - 10 * HOUR);
    expect(total(queue.gaps("up")) + owedOf(queue, "up", "telemetry").depth).toBe(400);
  });

  it.each([["a step of the clock", "synced"] as const, ["a clock that was just set", "unsynced"] as const])(
    "%s makes nothing old",
    async (_, state) => {
      const clock = new HandClock();
      clock.state = state;
      const queue = await startedQueue(await testFolder(), { clock });
      await queue.open("up", reader(["#"], { maxBacklog: { ageMs: 10 * HOUR } }));
      await fill(queue, "telemetry", 200, clock, 1000);
      clock.wallMs += 20 * 365 * 24 * HOUR;
      clock.state = "synced";
      await fill(queue, "telemetry", 200, clock, 1000);
      expect(queue.gaps("up")).toEqual([]);
      expect(owedOf(queue, "up", "telemetry").depth).toBe(400);
    },
  );
});

describe("retain", () => {
  it("lets go of what an uplink was owed that is no longer configured", async () => {
    const folder = await testFolder();
    const clock = new HandClock();
    const options = { retain: 24 * HOUR };
    const queue = await startedQueue(folder, { clock, options });
    await queue.open("gone", reader());
    await queue.open("up", reader(["plant/other"]));
    await fill(queue, "telemetry", 300, clock);
    await queue.close();
    clock.pass(25 * HOUR);
    const again = await startedQueue(folder, { clock, options });
    await again.open("up", reader(["plant/other"]));
    await fill(again, "telemetry", 100, clock);
    await vi.waitFor(() => expect(again.stats().streams.telemetry.segments).toBeLessThan(4));
  });

  it("holds it for ever where none is set", async () => {
    const folder = await testFolder();
    const clock = new HandClock();
    const queue = await startedQueue(folder, { clock });
    await queue.open("gone", reader());
    await fill(queue, "telemetry", 300, clock);
    await queue.close();
    clock.pass(1000 * HOUR);
    const again = await startedQueue(folder, { clock });
    await again.open("up", reader(["plant/other"]));
    await fill(again, "telemetry", 100, clock);
    await again.open("gone", reader());
    expect(again.gaps("gone")).toEqual([]);
    expect(seqsOf(await readMany(again, "gone", "telemetry", 300))).toHaveLength(300);
  });
});

describe("shares", () => {
  const maxBytes = 8 * 64 * 1024;
  async function until(queue: LevelQueue, stream: StreamName): Promise<number> {
    for (let taken = 0; ; taken += 10) {
      const error = await queue.append(stream, messages(10, 1, "plant/a", 1000)).catch((found: unknown) => found);
      if (error === undefined && taken < 2000) continue;
      if (error !== undefined) expect(error).toBeInstanceOf(QueueFullError);
      return taken;
    }
  }

  it("telemetry never takes what events are sure of", async () => {
    const options = { maxBytes, telemetryPolicy: "refuse", shares: { events: 128 * 1024 } } as const;
    const queue = await startedQueue(await testFolder(), { options });
    await queue.open("up", reader());
    const telemetry = await until(queue, "telemetry");
    expect(telemetry).toBeGreaterThan(200);
    const events = await until(queue, "events");
    expect(events).toBeGreaterThanOrEqual(100);
    expect(queue.gaps("up")).toEqual([]);
  });

  it("events never take what telemetry is sure of, though they outlive the rest of it", async () => {
    const options = { maxBytes, shares: { telemetry: 192 * 1024 } };
    const queue = await startedQueue(await testFolder(), { options });
    await queue.open("up", reader());
    for (let n = 0; n < 600; n += 10) await queue.append("telemetry", messages(10, 1, "plant/a", 1000));
    const events = await until(queue, "events");
    expect(events).toBeGreaterThan(100);
    expect(owedOf(queue, "up", "telemetry").bytes).toBeGreaterThan(110_000);
    expect(queue.gaps("up").every(({ stream }) => stream === "telemetry")).toBe(true);
  });

  it("neither is held to its share while there is room", async () => {
    const options = { maxBytes, telemetryPolicy: "refuse", shares: { telemetry: 64 * 1024 } } as const;
    const queue = await startedQueue(await testFolder(), { options });
    await queue.open("up", reader());
    expect(await until(queue, "telemetry")).toBeGreaterThan(350);
  });
});
