import { getEventListeners } from "node:events";
import { describe, expect, it } from "vitest";
import { AbortWatch } from "../../../drivers/modbus/abort-watch.ts";

const listeners = (signal: AbortSignal) => getEventListeners(signal, "abort").length;

describe("questions that wait with a signal", () => {
  it("are told once when it aborts, but not those that were answered, with one listener for all", () => {
    const watch = new AbortWatch();
    const end = new AbortController();
    const told: unknown[] = [];
    const answered = () => told.push("answered");
    watch.add(end.signal, answered);
    watch.add(end.signal, (reason) => told.push(reason));
    watch.add(end.signal, (reason) => told.push(reason));
    watch.remove(end.signal, answered);
    expect(listeners(end.signal)).toBe(1);
    end.abort("over");
    expect(told).toEqual(["over", "over"]);
    expect(listeners(end.signal)).toBe(0);
  });

  it("that were answered while another is told are left alone", () => {
    const watch = new AbortWatch();
    const end = new AbortController();
    const told: string[] = [];
    const second = () => told.push("second");
    watch.add(end.signal, () => {
      told.push("first");
      watch.remove(end.signal, second);
    });
    watch.add(end.signal, second);
    end.abort();
    expect(told).toEqual(["first"]);
  });

  it("leave no listener on many signals, and none when it is stopped", () => {
    const watch = new AbortWatch();
    const signals = Array.from({ length: 1000 }, () => new AbortController().signal);
    const done = () => {};
    for (const signal of signals) {
      watch.add(signal, done);
      watch.remove(signal, done);
    }
    expect(signals.filter((signal) => listeners(signal) > 0).length).toBeLessThanOrEqual(64);
    watch.stop();
    expect(signals.filter((signal) => listeners(signal) > 0)).toEqual([]);
  });
});
