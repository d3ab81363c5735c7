import { describe, expect, it } from "vitest";
import { noMetrics } from "../../gateway/core/metrics.ts";
import type { Work, Worker } from "../../gateway/core/work.ts";
import { Progress, stuckText } from "../../gateway/system/progress.ts";
import { stuckLimitMs } from "../../gateway/system/sd-notify.ts";
import { recordingLogger } from "../northbound/mqtt/harness.ts";

const LIMIT_MS = 1_500;

/** A part whose work lasts as long as the test says. */
class FakeWorker implements Worker {
  readonly part: string;
  now: Work | undefined;
  constructor(part: string) {
    this.part = part;
  }
  work(): Work | undefined {
    return this.now;
  }
  busy(forMs: number, mayTakeMs = 0): void {
    this.now = { doing: "its uplink does not close", forMs, mayTakeMs };
  }
}

function setUp() {
  const cloud = new FakeWorker("uplink cloud");
  const plc = new FakeWorker("link plc-1");
  const { log, lines } = recordingLogger();
  const counted: string[] = [];
  const counter = { inc: (labels?: Readonly<Record<string, string>>) => void counted.push(labels?.["part"] ?? "") };
  const metrics = { ...noMetrics, counter: () => counter };
  const progress = new Progress({ workers: () => [cloud, plc], limitMs: LIMIT_MS, log, metrics });
  return { cloud, plc, progress, counted, said: () => lines.map(({ message }) => message) };
}

describe("Progress", () => {
  it("finds nobody stuck who has nothing to do, or is within the limit", () => {
    const { cloud, progress, counted } = setUp();
    expect(progress.look()).toEqual([]);
    cloud.busy(LIMIT_MS - 1);
    for (let look = 0; look < 5; look++) expect(progress.look()).toEqual([]);
    expect(counted).toEqual([]);
  });

  it("names who is over the limit at two looks in a row, and says so once", () => {
    const { cloud, progress, counted, said } = setUp();
    cloud.busy(LIMIT_MS);
    expect(progress.look()).toEqual([]);
    cloud.busy(LIMIT_MS + 375);
    const [stuck] = progress.look();
    expect(stuck && stuckText(stuck)).toBe("uplink cloud is stuck: its uplink does not close, for 2 s");
    cloud.busy(LIMIT_MS + 750);
    expect(progress.look()).toHaveLength(1);
    expect(counted).toEqual(["uplink cloud"]);
    expect(said()).toEqual(["a part is stuck"]);
    cloud.now = undefined;
    expect(progress.look()).toEqual([]);
    expect(said()).toEqual(["a part is stuck", "a part goes on that was stuck"]);
  });

  it("gives who was late after a sleep of the machine one look's time to go on", () => {
    const { cloud, plc, progress, counted } = setUp();
    progress.look();
    cloud.busy(3_600_000);
    plc.busy(3_600_000);
    expect(progress.look()).toEqual([]);
    cloud.busy(10);
    plc.now = undefined;
    for (let look = 0; look < 3; look++) expect(progress.look()).toEqual([]);
    expect(counted).toEqual([]);
  });

  it("lets a part take the time that it may by its own account", () => {
    const { cloud, progress } = setUp();
    cloud.busy(9_999, 10_000);
    progress.look();
    expect(progress.look()).toEqual([]);
    cloud.busy(10_000, 10_000);
    progress.look();
    expect(progress.look()).toHaveLength(1);
  });
});

it("the limit is half the watchdog's time, and 15 s without a watchdog", () => {
  expect(stuckLimitMs({ NOTIFY_SOCKET: "/run/x", WATCHDOG_USEC: "30000000" })).toBe(15_000);
  expect(stuckLimitMs({ NOTIFY_SOCKET: "/run/x", WATCHDOG_USEC: "3000000" })).toBe(1_500);
  expect(stuckLimitMs({ WATCHDOG_USEC: "3000000" })).toBe(15_000);
  expect(stuckLimitMs({})).toBe(15_000);
});
