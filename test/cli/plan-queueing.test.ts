import { describe, expect, it } from "vitest";
import { erlangB, erlangC, waiting } from "../../gateway/cli/plan/erlang.ts";
import { funnel, simulateFunnel } from "../../gateway/cli/plan/funnel.ts";
import { simulateSenders } from "../../gateway/cli/plan/simulate-senders.ts";

const off = (value: number, of: number) => Math.abs(value / of - 1);

describe("Erlang's formulas", () => {
  it("give the values of the tables", () => {
    // One server: an M/M/1 queue, in which a message waits with the probability that the server is busy.
    expect(erlangC(0.3, 1)).toBeCloseTo(0.3, 12);
    // Two servers: 2ρ² / (1 + ρ).
    expect(erlangC(1, 2)).toBeCloseTo(1 / 3, 12);
    expect(erlangB(10, 10)).toBeCloseTo(0.21458, 5);
    expect(erlangC(8, 10)).toBeCloseTo(0.40918, 5);
    expect(erlangB(100, 117)).toBeCloseTo(0.0098, 3);
  });

  it("stay between 0 and 1 for 10,000 senders, at any load", () => {
    for (const load of [0, 1, 5000, 9900, 9999.999]) {
      const waits = erlangC(load, 10_000);
      expect(waits).toBeGreaterThanOrEqual(0);
      expect(waits).toBeLessThanOrEqual(1);
    }
    expect(erlangC(9900, 10_000)).toBeCloseTo(0.2228, 4);
    expect(erlangC(10_000, 10_000)).toBe(1);
  });

  it("tell waiting times: M/M/1 at 80 % waits four service times", () => {
    const { utilisation, wait, total, queued } = waiting({ rate: 8, service: 0.1, k: 1 });
    expect(utilisation).toBeCloseTo(0.8, 12);
    expect(wait).toBeCloseTo(0.4, 12);
    expect(total).toBeCloseTo(0.5, 12);
    expect(queued).toBeCloseTo(3.2, 12);
  });

  it("say that a queue beyond full load grows without end", () => {
    expect(waiting({ rate: 11, service: 0.1, k: 1 })).toMatchObject({ waits: 1, wait: Infinity });
    expect(simulateSenders({ rate: 11, service: 0.1, k: 1 }, 1)).toBeUndefined();
  });

  it.each([0, 1.5, 10_001, Number.NaN])("refuse k = %d", (k) => {
    expect(() => waiting({ rate: 1, service: 1, k })).toThrow(RangeError);
  });
});

describe("the simulation of senders", () => {
  it.each([
    [1, 0.5],
    [3, 0.7],
    [64, 0.9],
    [10_000, 0.99],
  ])("agrees with Erlang C: k = %d at %d", (k, utilisation) => {
    const senders = { rate: 10 * k * utilisation, service: 0.1, k };
    const formula = waiting(senders);
    const simulated = simulateSenders(senders, 7, { spread: 0.01, mostEvents: 6_000_000 });
    expect(off(simulated?.waits ?? 0, formula.waits)).toBeLessThan(0.02);
    expect(off(simulated?.wait ?? 0, formula.wait)).toBeLessThan(0.02);
  });

  it("gives the same for the same seed, and says how sure it is", () => {
    const senders = { rate: 5, service: 0.1, k: 1 };
    const bounds = { spread: 0.05, mostEvents: 2_000_000 };
    expect(simulateSenders(senders, 3, bounds)).toEqual(simulateSenders(senders, 3, bounds));
    expect(simulateSenders(senders, 3, bounds)?.wait).not.toBe(simulateSenders(senders, 4, bounds)?.wait);
    expect(simulateSenders(senders, 3, bounds)?.spread).toBeLessThan(0.05);
  });
});

describe("the funnel", () => {
  it("is 1 - (1 - P)^k from stage to stage", () => {
    expect(funnel({ first: 0.5, k: 2, stages: 2 })).toEqual(
      [0.5, 0.75, 0.9375].map((value) => expect.closeTo(value, 12)),
    );
    expect(funnel({ first: 0.3, k: 1, stages: 3 }).at(-1)).toBeCloseTo(0.3, 12);
  });

  it("keeps the digits of small probabilities", () => {
    expect(off(funnel({ first: 1e-15, k: 2, stages: 1 })[1] ?? 0, 2e-15)).toBeLessThan(1e-9);
    expect(funnel({ first: 1, k: 3, stages: 2 })).toEqual([1, 1, 1]);
    expect(funnel({ first: 0, k: 3, stages: 2 })).toEqual([0, 0, 0]);
  });

  it.each([
    { first: 0.5, k: 2, stages: 3 },
    { first: 1e-6, k: 50, stages: 3 },
    { first: 0.05, k: 1, stages: 2 },
  ])("agrees with its simulation: %j", (parts) => {
    const formula = funnel(parts);
    for (const [stage, share] of simulateFunnel(parts, 5).entries())
      expect(off(share, formula[stage] ?? 0)).toBeLessThan(0.02);
  });

  it.each([
    { first: 1.1, k: 2, stages: 1 },
    { first: 0.5, k: 0, stages: 1 },
    { first: 0.5, k: 2, stages: 0 },
  ])("refuses %j", (parts) => {
    expect(() => funnel(parts)).toThrow(RangeError);
  });
});
