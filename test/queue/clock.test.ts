import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import type { Clock, ClockState } from "../../gateway/core/clock.ts";
import type { Entry } from "../../gateway/core/record.ts";
import { Boots } from "../../gateway/queue/boots.ts";
import { message, reader, readMany, seqsOf, startedQueue, testFolder, textOf, want } from "./support.ts";

const NOW = Date.UTC(2026, 5, 1);

/** Monotonic time is real; the wall clock is what a test says, and counts as set when it says so. */
class StepClock implements Clock {
  readonly bootId: string;
  clock: ClockState = "unsynced";
  floors: number[] = [];
  #offsetMs = -performance.now();

  constructor(bootId: string) {
    this.bootId = bootId;
  }
  now() {
    const monoMs = performance.now();
    return { monoMs, wallMs: monoMs + this.#offsetMs, clock: this.clock };
  }
  source() {
    return "timesyncd" as const;
  }
  floor(wallMs: number): void {
    this.floors.push(wallMs);
  }
  set(wallMs: number): void {
    this.#offsetMs = wallMs - performance.now();
    this.clock = "synced";
  }
  step(byMs: number): void {
    this.#offsetMs += byMs;
  }
  /** The right time of a moment, once the clock is set. */
  wallOf(monoMs: number): number {
    return monoMs + this.#offsetMs;
  }
}

const taken = (clock: Clock, count: number, first = 1) =>
  Array.from({ length: count }, (_, index) => message(String(first + index), "plant/a", { taken: clock.now() }));

/** The queue looks at its clock each second. */
const soon = { timeout: 5_000, interval: 20 };

function expectCorrected(entries: readonly Entry[], clock: StepClock): void {
  for (const { clock: state, wallMs, monoMs, uncertaintyMs } of entries) {
    expect(state).toBe("corrected");
    expect(Math.abs(wallMs - clock.wallOf(monoMs))).toBeLessThan(5);
    expect(uncertaintyMs).toBeGreaterThanOrEqual(50);
    expect(uncertaintyMs).toBeLessThan(100);
  }
}

describe("a clock that is set late", () => {
  it("dates the records taken before it, without a clock record to whom none was sent", async () => {
    const clock = new StepClock("boot-1");
    const queue = await startedQueue(await testFolder(), { clock });
    await queue.open("up", reader());
    await queue.append("telemetry", taken(clock, 5));
    clock.set(NOW);
    await queue.append("telemetry", taken(clock, 5, 6));
    // Both, because the look that learns may come between two reads.
    await vi.waitFor(async () => {
      queue.rewind("up");
      expectCorrected((await readMany(queue, "up", "telemetry", 10)).slice(0, 5), clock);
    }, soon);
    queue.rewind("up");
    const entries = await readMany(queue, "up", "telemetry", 10);
    expect(entries.map(textOf)).toEqual(["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"]);
    expect(entries.slice(5).every((entry) => entry.clock === "synced" && entry.uncertaintyMs === undefined)).toBe(true);
  });

  it("owes one clock record to an uplink that was given some, until it is acknowledged, over restarts", async () => {
    const folder = await testFolder();
    const clock = new StepClock("boot-1");
    const first = await startedQueue(folder, { clock });
    await first.open("up", reader());
    await first.open("late", reader());
    await first.append("telemetry", taken(clock, 3));
    const entries = await readMany(first, "up", "telemetry", 3);
    expect(entries.map((entry) => entry.clock)).toEqual(["unsynced", "unsynced", "unsynced"]);
    expect(entries[0]).toMatchObject({ bootId: "boot-1" });
    expect(first.clocks("up")).toEqual([]);
    await first.settle("up", "telemetry", [1, 2]);
    let rings = 0;
    first.onClock("up", () => {
      rings += 1;
    });
    clock.set(NOW);
    await vi.waitFor(() => expect(first.clocks("up")).toHaveLength(1), soon);
    expect(rings).toBe(1);
    expect(first.clocks("late")).toEqual([]);
    // What was read ahead, and what is read again.
    expectCorrected(
      entries.map((entry) => first.timed(entry)),
      clock,
    );
    await first.close();

    const second = await startedQueue(folder, { clock: new StepClock("boot-2") });
    await second.open("up", reader());
    await second.open("late", reader());
    const [owed] = second.clocks("up");
    expect(owed).toMatchObject({ bootId: "boot-1", uncertaintyMs: 50, source: "timesyncd" });
    expect(Math.abs((owed?.offsetMs ?? 0) - clock.wallOf(0))).toBeLessThan(5);
    expectCorrected(await readMany(second, "up", "telemetry", 1), clock);
    expectCorrected(await readMany(second, "late", "telemetry", 3), clock);
    expect(second.clocks("late")).toEqual([]);
    await second.settleClock("up", "boot-1");
    expect(second.clocks("up")).toEqual([]);
    await second.close();

    const third = await startedQueue(folder, { clock: new StepClock("boot-3") });
    await third.open("up", reader());
    expect(third.clocks("up")).toEqual([]);
  });

  it("leaves boots alone whose clock was never set, also between boots whose was", async () => {
    const folder = await testFolder();
    const clocks = ["boot-1", "boot-2", "boot-3"].map((boot) => new StepClock(boot));
    for (const [index, clock] of clocks.entries()) {
      const queue = await startedQueue(folder, { clock });
      await queue.open("up", reader());
      await queue.append("telemetry", taken(clock, 2, 2 * index + 1));
      if (clock.bootId !== "boot-2") clock.set(NOW + index * 3_600_000);
      queue.rewind("up");
      if (clock.bootId === "boot-2") expect(await readMany(queue, "up", "telemetry", 4)).toHaveLength(4);
      else await vi.waitFor(async () => expect((await bootsIn(folder)).includes(clock.bootId)).toBe(true), soon);
      await queue.close();
    }
    const last = new StepClock("boot-4");
    const queue = await startedQueue(folder, { clock: last });
    await queue.open("up", reader());
    const entries = await readMany(queue, "up", "telemetry", 6);
    expect(entries.map(textOf)).toEqual(["1", "2", "3", "4", "5", "6"]);
    expect(entries.map((entry) => entry.clock)).toEqual([
      ...["corrected", "corrected", "unsynced", "unsynced", "corrected", "corrected"],
    ]);
    expect(queue.clocks("up")).toEqual([]);
  });
});

describe("a clock that steps", () => {
  it("loses and reorders nothing when it steps back by two hours", async () => {
    const clock = new StepClock("boot-1");
    clock.set(NOW);
    const queue = await startedQueue(await testFolder(), { clock });
    await queue.open("up", reader());
    await queue.append("telemetry", taken(clock, 3));
    clock.step(-7_200_000);
    await queue.append("telemetry", taken(clock, 3, 4));
    clock.step(7_200_000);
    await queue.append("telemetry", taken(clock, 3, 7));
    const entries = await readMany(queue, "up", "telemetry", 9);
    expect(seqsOf(entries)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(entries.map((entry) => entry.prev)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
    expect(entries.map(textOf)).toEqual(["1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    expect(entries.every((entry) => entry.clock === "synced")).toBe(true);
    expect(entries.map((entry) => Math.round((entry.wallMs - NOW) / 3_600_000))).toEqual([
      ...[0, 0, 0, -2, -2, -2, 0, 0, 0],
    ]);
  });

  it("keeps what was corrected as it was, and lowers the floor", async () => {
    const folder = await testFolder();
    const clock = new StepClock("boot-1");
    const queue = await startedQueue(folder, { clock });
    await queue.open("up", reader());
    await queue.append("telemetry", taken(clock, 1));
    clock.set(NOW);
    await vi.waitFor(async () => expect(await bootsIn(folder)).toEqual(["boot-1"]), soon);
    const [before] = await queue.read("up", want("telemetry"), AbortSignal.timeout(5_000));
    await queue.close();

    clock.step(-7_200_000);
    const again = await startedQueue(folder, { clock });
    await again.open("up", reader());
    expect(clock.floors.at(-1)).toBeLessThan(NOW);
    const [after] = await again.read("up", want("telemetry"), AbortSignal.timeout(5_000));
    expect(after?.wallMs).toBe(before?.wallMs);
    expect(after?.clock).toBe("corrected");
    await again.close();
    expect(await floorIn(folder)).toBeLessThan(NOW);
  });
});

describe("the file of boots", () => {
  it("hands a time the machine has lived through to the clock of the next run", async () => {
    const folder = await testFolder();
    const clock = new StepClock("boot-1");
    clock.set(NOW);
    await (await startedQueue(folder, { clock })).close();
    const next = new StepClock("boot-2");
    await startedQueue(folder, { clock: next });
    expect(next.floors).toHaveLength(1);
    expect(Math.abs((next.floors[0] ?? 0) - NOW)).toBeLessThan(5_000);
  });

  it.each([
    ["zeroed", (bytes: Buffer) => Buffer.alloc(bytes.length)],
    ["garbage", (bytes: Buffer) => Buffer.alloc(bytes.length, 0x5a)],
    ["truncated", (bytes: Buffer) => bytes.subarray(0, 10)],
    ["empty", () => Buffer.alloc(0)],
  ])("%s: the queue starts, and the records of earlier boots stay unsynced", async (_, damage) => {
    const folder = await testFolder();
    const clock = new StepClock("boot-1");
    const queue = await startedQueue(folder, { clock });
    await queue.open("up", reader());
    await queue.append("events", taken(clock, 2));
    clock.set(NOW);
    await vi.waitFor(async () => expect(await bootsIn(folder)).toEqual(["boot-1"]), soon);
    await queue.close();
    const path = join(folder, "state", "boots");
    await writeFile(path, damage(await readFile(path)));

    const again = await startedQueue(folder, { clock: new StepClock("boot-2") });
    await again.open("up", reader());
    const entries = await readMany(again, "up", "events", 2);
    expect(entries.map((entry) => entry.clock)).toEqual(["unsynced", "unsynced"]);
  });
});

describe("Boots", () => {
  const era = (fromMonoMs: number, offsetMs: number) =>
    ({ fromMonoMs, offsetMs, uncertaintyMs: 50, source: "timesyncd" }) as const;
  const unsynced = (monoMs: number, bootId = "b") => ({ bootId, monoMs, wallMs: monoMs, clock: "unsynced" }) as const;

  it("corrects with the first time the clock was set after the record, and grows less certain with the distance", () => {
    const boots = new Boots();
    boots.learn("b", era(1000, 1e12));
    boots.learn("b", era(5000, 1e12 - 7_200_000));
    expect(boots.timeOf(unsynced(900))).toEqual({ wallMs: 1e12 + 900, clock: "corrected", uncertaintyMs: 51 });
    expect(boots.timeOf(unsynced(2000)).wallMs).toBe(1e12 - 7_200_000 + 2000);
    expect(boots.timeOf(unsynced(9000)).wallMs).toBe(1e12 - 7_200_000 + 9000);
    expect(boots.timeOf(unsynced(1000 + 3_600_000)).uncertaintyMs).toBe(410);
    expect(boots.timeOf(unsynced(900, "other"))).toEqual({ wallMs: 900, clock: "unsynced" });
    expect(boots.timeOf({ ...unsynced(900), clock: "synced" })).toEqual({ wallMs: 900, clock: "synced" });
  });

  it("stays bounded, and never forgets how a boot was first dated", () => {
    const boots = new Boots();
    for (let n = 0; n < 300; n += 1) boots.learn(`boot-${n}`, era(1000, n));
    for (let n = 1; n < 300; n += 1) boots.learn("boot-299", era(1000 + n, 299 + n));
    const kept = Boots.of(JSON.parse(JSON.stringify(boots)));
    expect(Object.keys(kept?.toJSON() ?? {})).toHaveLength(256);
    expect(kept?.first("boot-299")).toMatchObject({ offsetMs: 299, knownAtMonoMs: 1000 });
    expect(kept?.latest("boot-299")?.offsetMs).toBe(598);
    expect(kept?.toJSON()["boot-299"]).toHaveLength(16);
    expect(kept?.first("boot-43")).toBeUndefined();
  });

  it("takes no table that it did not write", () => {
    for (const wrong of [
      undefined,
      null,
      [],
      { b: [] },
      { b: [{}] },
      { b: 1 },
      { b: [{ ...era(1, 2), offsetMs: "3" }] },
    ]) {
      expect(Boots.of(wrong)).toBeUndefined();
    }
  });
});

/** What is on disk, out of the slot with the higher generation. */
async function table(folder: string): Promise<{ floorMs: number; boots: Record<string, unknown> }> {
  const file = await readFile(join(folder, "state", "boots"));
  const slots = [0, file.length / 2].map((at) => {
    const bytes = file.readUInt32BE(at + 12);
    return { generation: file.readBigUInt64BE(at + 4), text: file.toString("utf8", at + 20, at + 20 + bytes) };
  });
  const [best] = slots.sort((a, b) => Number(b.generation - a.generation));
  return JSON.parse(best?.text || '{"floorMs":0,"boots":{}}') as { floorMs: number; boots: Record<string, unknown> };
}
async function bootsIn(folder: string): Promise<string[]> {
  return Object.keys((await table(folder)).boots);
}
async function floorIn(folder: string): Promise<number> {
  return (await table(folder)).floorMs;
}
