import { describe, expect, it, vi } from "vitest";
import type { Clock } from "../../gateway/core/clock.ts";
import { silentLogger } from "../../gateway/core/log.ts";
import { noMetrics } from "../../gateway/core/metrics.ts";
import { Link } from "../../gateway/southbound/link.ts";
import type { Scan } from "../../gateway/southbound/scan.ts";
import { systemTimers } from "../../gateway/southbound/timers.ts";
import { FakeWire } from "../fakes/fake-driver.ts";
import { device, tag } from "./setup.ts";

const clock: Clock = {
  bootId: "test",
  now: () => ({ wallMs: Date.now(), monoMs: performance.now(), clock: "synced" }),
};

describe("link in real time", () => {
  it("reads at its rate, and leaves no timer behind when it is stopped in the middle of a read", async () => {
    const wire = new FakeWire({ nowMs: () => performance.now(), after: systemTimers.after });
    const scans: Scan[] = [];
    const link = new Link({
      name: "line",
      driver: () => wire.driver(),
      devices: [device("d", [tag("a", 20), tag("b", 50)])],
      clock,
      log: silentLogger,
      metrics: noMetrics,
      emit: (scan) => scans.push(scan),
    });
    const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
    const before = timers();
    await link.start();
    await vi.waitFor(() => expect(scans.length).toBeGreaterThan(20), { timeout: 5_000 });
    const starts = wire.transactions.filter((each) => each.what === "a").map((each) => each.startMs);
    // Never before its turn: the n-th run is at least n periods after the first, less the first one's own lateness.
    const [first = 0] = starts;
    const lag = Math.min(...starts.map((startMs, n) => startMs - first - n * 20));
    expect(lag).toBeGreaterThan(-20);
    wire.devices.set("d", "hang");
    await vi.waitFor(() => expect(wire.transactions.at(-1)?.outcome).toBe("open"), { timeout: 5_000 });
    await link.stop();
    expect(wire.transactions.at(-1)?.outcome).not.toBe("open");
    expect(timers()).toBeLessThanOrEqual(before);
  });
});
