import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Deadlines } from "../../../drivers/modbus/deadlines.ts";

describe("limits on one timer", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it("are told in their order, each once and not early, whatever order they were set in", () => {
    const deadlines = new Deadlines();
    const told: string[] = [];
    const begun = performance.now();
    for (const ms of [300, 100, 200, 100.4])
      deadlines.set(() => told.push(`${ms} at ${performance.now() - begun}`), ms);
    vi.advanceTimersByTime(99);
    expect(told).toEqual([]);
    vi.advanceTimersByTime(1000);
    expect(told).toEqual(["100 at 100", "100.4 at 101", "200 at 200", "300 at 300"]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("that were taken back are not told, not even by another that is told at the same time", () => {
    const deadlines = new Deadlines();
    const told: string[] = [];
    const second = () => told.push("second");
    deadlines.set(() => {
      told.push("first");
      deadlines.clear(second);
      deadlines.set(() => told.push("third"), 50);
    }, 100);
    deadlines.set(second, 100);
    vi.advanceTimersByTime(149);
    expect(told).toEqual(["first"]);
    vi.advanceTimersByTime(1);
    expect(told).toEqual(["first", "third"]);
  });

  it("hold nothing when all is over", () => {
    const deadlines = new Deadlines();
    const late = vi.fn();
    deadlines.set(late, 100);
    deadlines.clear(late);
    deadlines.stop();
    expect(vi.getTimerCount()).toBe(0);
    deadlines.set(late, 10);
    vi.advanceTimersByTime(10);
    expect(late).toHaveBeenCalledOnce();
  });
});
