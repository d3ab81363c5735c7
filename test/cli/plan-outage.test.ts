import { describe, expect, it } from "vitest";
import { type OutageInput, playOutage } from "../../gateway/cli/plan/outage.ts";
import type { UplinkLoad } from "../../gateway/cli/plan/types.ts";
import { roomFor } from "../../gateway/cli/plan/uplinks.ts";

const MIB = 1024 ** 2;
const load = (records: number) => ({
  recordsPerSecond: records,
  storedPerSecond: 100 * records,
  diskPerSecond: 100 * records,
});
const NONE = load(0);

function uplink(over: Partial<UplinkLoad> = {}): UplinkLoad {
  const all = { recordsPerSecond: 10, storedPerSecond: 1000 };
  return {
    name: "cloud",
    type: "mqtt",
    format: "values",
    order: "fifo",
    required: true,
    recordsPerSecond: 20,
    byStream: { events: all, telemetry: all },
    live: { messages: 1, bytes: 200 },
    drain: { messages: 1, bytes: 200 },
    inFlight: 64,
    limits: [],
    recordsPerSecondAtMost: 120,
    drainPerSecond: 100,
    limitedBy: "maxRate.messages",
    maxBacklog: {},
    ...over,
  };
}

/** 1 KB/s of each stream into 1 MiB: full after 524 s. */
function input(over: Partial<OutageInput> = {}): OutageInput {
  return {
    seconds: 400,
    loads: { events: load(10), telemetry: load(10) },
    uplinks: [uplink()],
    queue: { segment: MIB / 16, eventsPolicy: "refuse", telemetryPolicy: "drop-oldest" },
    capacity: MIB,
    inUse: 0,
    ...over,
  };
}

describe("an outage on paper", () => {
  it("loses nothing before the buffer is full, and drains at what the uplink has left", () => {
    const { losses, owed, drainSeconds, diskBytes } = playOutage(input());
    expect(losses).toEqual([]);
    expect(owed[0]).toBeCloseTo(8000, 0);
    expect(drainSeconds[0]).toBeCloseTo(80, 1);
    expect(diskBytes).toBeCloseTo(800_000, -2);
  });

  it("drops the oldest telemetry first, and refuses everything when there is none left", () => {
    const { losses } = playOutage(input({ seconds: 2000 }));
    expect(losses.map(({ stream, how }) => `${stream} ${how}`)).toEqual([
      "telemetry dropped",
      "events refused",
      "telemetry refused",
    ]);
    const [telemetry, events] = losses;
    expect(telemetry?.atSeconds).toBeGreaterThan(515);
    expect(telemetry?.atSeconds).toBeLessThan(530);
    expect(telemetry?.fromSeconds).toBe(0);
    // Until then events have taken the whole buffer.
    expect(events?.atSeconds).toBeGreaterThan(1000);
  });

  it("keeps the share of telemetry against events", () => {
    const queue = { ...input().queue, shares: { events: 0, telemetry: MIB / 2 } };
    const { losses, diskBytes } = playOutage(input({ seconds: 2000, queue }));
    const events = losses.find(({ stream }) => stream === "events");
    expect(events?.how).toBe("refused");
    expect(events?.atSeconds).toBeLessThan(600);
    expect(diskBytes).toBeLessThanOrEqual(MIB);
  });

  it("drops events from the oldest on where that is the policy", () => {
    const queue = { ...input().queue, eventsPolicy: "drop-oldest" as const };
    const { losses } = playOutage(input({ seconds: 1000, queue, loads: { events: load(20), telemetry: NONE } }));
    expect(losses.map(({ stream, how }) => `${stream} ${how}`)).toEqual(["events dropped"]);
  });

  it("gives up what an uplink is owed beyond its own limit, for it alone", () => {
    const limited = uplink({ name: "historian", maxBacklog: { bytes: 400_000 } });
    const { losses, owed } = playOutage(input({ uplinks: [uplink(), limited] }));
    expect(losses[0]).toMatchObject({ stream: "telemetry", how: "maxBacklog.bytes", uplink: "historian" });
    expect(owed[0]).toBeCloseTo(8000, 0);
    expect(owed[1]).toBeLessThan(4001);
  });

  it("forgets what is older than maxBacklog.age", () => {
    const { losses, owed } = playOutage(input({ uplinks: [uplink({ maxBacklog: { age: 100_000 } })] }));
    expect(losses.every(({ how }) => how === "maxBacklog.age")).toBe(true);
    // Whole segments go: 100 s of both, and about one segment of each.
    expect(owed[0]).toBeGreaterThan(1900);
    expect(owed[0]).toBeLessThan(3500);
  });

  it("says never where the uplink takes less than comes in", () => {
    const { drainSeconds, curve } = playOutage(input({ uplinks: [uplink({ drainPerSecond: -5 })] }));
    expect(drainSeconds).toEqual([undefined]);
    expect(curve.at(-1)?.seconds).toBeGreaterThan(400);
  });

  it("gives a curve that rises through the outage and falls to nothing", () => {
    const { curve, seconds } = playOutage(input());
    const during = curve.filter((point) => point.seconds <= seconds);
    for (const [at, point] of during.entries()) {
      const before = during[at - 1];
      if (before) expect(point.owed[0]).toBeGreaterThan(before.owed[0] ?? 0);
    }
    expect(curve[0]?.seconds).toBe(0);
    expect(curve.at(-1)?.seconds).toBeCloseTo(480, 0);
    expect(curve.at(-1)?.owed[0]).toBeLessThan(1);
  });
});

describe("what an uplink has left for a backlog", () => {
  const way = { live: { messages: 1, bytes: 300 }, drain: { messages: 0.02, bytes: 100 }, recordsPerSecond: 10 };
  const messages = (perSecond: number) => ({ name: "maxRate.messages", unit: "messages", perSecond }) as const;
  const bytes = (perSecond: number) => ({ name: "maxRate.bytes", unit: "bytes", perSecond }) as const;

  it("is all but what comes in where all goes in one row", () => {
    const room = roomFor({ ...way, limits: [messages(4), bytes(5000)], liveFirst: false });
    expect(room).toEqual({ drainPerSecond: 40, recordsPerSecondAtMost: 50, limitedBy: "maxRate.bytes" });
  });

  it("is what live messages leave with live-first, which are small and many", () => {
    const room = roomFor({ ...way, limits: [bytes(5000)], liveFirst: true });
    expect(room.drainPerSecond).toBe(20);
    expect(roomFor({ ...way, limits: [messages(4)], liveFirst: true }).drainPerSecond).toBeLessThan(0);
  });

  it("has no end where nothing limits it", () => {
    expect(roomFor({ ...way, limits: [], liveFirst: false })).toMatchObject({
      limitedBy: "nothing",
      drainPerSecond: Infinity,
    });
  });
});
