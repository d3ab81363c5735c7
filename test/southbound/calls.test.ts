import { describe, expect, it, vi } from "vitest";
import { TimeoutError } from "../../gateway/core/driver.ts";
import { NotConnectedError } from "../../gateway/core/errors.ts";
import { Calls } from "../../gateway/southbound/calls.ts";

/** Timers that go off when the test says so. */
class HandTimers {
  readonly pending = new Map<() => void, number>();
  after(delayMs: number, run: () => void): () => void {
    this.pending.set(run, delayMs);
    return () => this.pending.delete(run);
  }
  fire(delayMs: number): void {
    for (const [run, ms] of [...this.pending]) if (ms === delayMs && this.pending.delete(run)) run();
  }
}

const LIMIT = 30_000;
const GRACE = 1000;

function setUp() {
  const timers = new HandTimers();
  const end = new AbortController();
  return { timers, end, calls: new Calls({ signal: end.signal, graceMs: GRACE, timers }) };
}

/** Gives up as a driver does. */
const obedient = (signal: AbortSignal) =>
  new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));

describe("calls of a driver", () => {
  it("settle as the driver does, and leave no timer", async () => {
    const { calls, timers } = setUp();
    await expect(calls.run(LIMIT, async () => 7)).resolves.toBe(7);
    const fault = new Error("fault");
    await expect(calls.run(LIMIT, () => Promise.reject(fault))).rejects.toBe(fault);
    const thrown = () => {
      throw fault;
    };
    await expect(calls.run(LIMIT, thrown)).rejects.toBe(fault);
    expect(timers.pending.size).toBe(0);
  });

  it("share a signal one after the other, but never two at once, and none that was aborted", async () => {
    const { calls, timers } = setUp();
    const seen: AbortSignal[] = [];
    const note = async (signal: AbortSignal) => void seen.push(signal);
    await calls.run(LIMIT, note);
    await calls.run(LIMIT, note);
    expect(seen[1]).toBe(seen[0]);
    const late = calls.run(LIMIT, (signal) => {
      seen.push(signal);
      return obedient(signal);
    });
    await calls.run(LIMIT - 1, note);
    expect(seen[3]).not.toBe(seen[2]);
    timers.fire(LIMIT);
    await expect(late).rejects.toBeInstanceOf(TimeoutError);
    await calls.run(LIMIT, note);
    await calls.run(LIMIT, note);
    expect(seen.every((signal, index) => index === 2 || signal !== seen[2] || index < 2)).toBe(true);
    expect(seen[4]?.aborted).toBe(false);
  });

  it("end with the connection, each with its reason; a driver that does not give up is not heard", async () => {
    const { calls, timers, end } = setUp();
    const lost = new NotConnectedError("unplugged");
    const asked = [calls.run(LIMIT, obedient), calls.run(LIMIT, obedient)];
    const deaf = calls.run(LIMIT, () => new Promise<never>(() => {}));
    const heard = vi.fn();
    deaf.catch(heard);
    end.abort(lost);
    for (const call of asked) await expect(call).rejects.toBe(lost);
    expect(heard).not.toHaveBeenCalled();
    timers.fire(GRACE);
    await expect(deaf).rejects.toBeInstanceOf(NotConnectedError);
    await expect(calls.run(LIMIT, async () => 7)).rejects.toBe(lost);
    expect(timers.pending.size).toBe(0);
  });
});
