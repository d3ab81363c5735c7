import { describe, expect, it } from "vitest";
import { AlarmBackoff, Backoff } from "../../gateway/northbound/backoff.ts";
import { FORWARDER_DEFAULTS } from "../../gateway/northbound/options.ts";

const { backoff, alarmBackoff } = FORWARDER_DEFAULTS;

describe("Backoff", () => {
  it("begins quickly, grows, and stays between base and cap", () => {
    const unlucky = () => 0;
    for (const random of [unlucky, ...Array.from({ length: 50 }, () => Math.random)]) {
      const pauses = new Backoff(backoff, random);
      expect(pauses.next(0)).toBeLessThanOrEqual(500);
      const rest = Array.from({ length: 40 }, () => pauses.next(0));
      expect(Math.min(...rest)).toBeGreaterThanOrEqual(1000);
      expect(Math.max(...rest)).toBeLessThanOrEqual(120_000);
      expect(Math.max(...rest)).toBeGreaterThan(10_000);
    }
  });

  it("makes at most 60 attempts in ten minutes against a server that closes at once", () => {
    const unlucky = () => 0;
    for (const random of [unlucky, ...Array.from({ length: 50 }, () => Math.random)]) {
      const pauses = new Backoff(backoff, random);
      let attempts = 0;
      for (let now = 0; now < 600_000; now += pauses.next(5)) attempts++;
      expect(attempts).toBeLessThanOrEqual(60);
    }
  });

  it("begins anew only after a stable connection", () => {
    const pauses = new Backoff(backoff, () => 1);
    for (let i = 0; i < 10; i++) pauses.next(0);
    expect(pauses.next(29_999)).toBe(120_000);
    expect(pauses.next(30_000)).toBeLessThanOrEqual(500);
  });
});

describe("AlarmBackoff", () => {
  it("doubles up to its cap: at most three attempts more in ten minutes", () => {
    const pauses = new AlarmBackoff(alarmBackoff, () => 0);
    expect([0, 0, 0, 0, 0].map(() => pauses.next(1000))).toEqual([120_000, 240_000, 480_000, 600_000, 600_000]);
    expect(pauses.next(600_000)).toBe(120_000);
  });
});
