import { describe, expect, it } from "vitest";
import { TokenBucket } from "../../gateway/northbound/bucket.ts";

/** Takes one of `size` whenever the bucket allows, in steps of a millisecond. Gives how many in the time. */
function taken(bucket: TokenBucket, size: number, fromMs: number, toMs: number): number {
  let count = 0;
  for (let now = fromMs; now < toMs; now++) {
    while (bucket.waitMs(now) === 0) {
      bucket.take(size, now);
      count++;
    }
  }
  return count;
}

describe("a token bucket", () => {
  it("lets through its rate, after a quarter of a second's worth at once", () => {
    const bucket = new TokenBucket(80, 0);
    expect(taken(bucket, 1, 0, 1)).toBe(20);
    const rest = taken(bucket, 1, 1, 10_000);
    expect(rest).toBeGreaterThanOrEqual(798);
    expect(rest).toBeLessThanOrEqual(801);
  });

  it("keeps the rate in bytes, also for messages larger than a second's worth", () => {
    const bucket = new TokenBucket(1000, 0);
    expect(taken(bucket, 5000, 0, 100_000)).toBeGreaterThanOrEqual(20);
    expect(taken(bucket, 5000, 100_000, 200_000)).toBeLessThanOrEqual(20);
  });

  it("does not save up in a pause", () => {
    const bucket = new TokenBucket(100, 0);
    taken(bucket, 1, 0, 1000);
    expect(taken(bucket, 1, 3_600_000, 3_600_001)).toBe(25);
  });

  it("says when to come again, exactly enough", () => {
    const bucket = new TokenBucket(4, 0);
    bucket.take(1, 0);
    expect(bucket.waitMs(0)).toBe(250);
    expect(bucket.waitMs(249)).toBeCloseTo(1);
    expect(bucket.waitMs(250)).toBe(0);
  });

  it("keeps a reserve from those who ask for less than all", () => {
    const bucket = new TokenBucket(40, 0);
    bucket.take(6, 0);
    expect(bucket.waitMs(0)).toBe(0);
    expect(bucket.waitMs(0, 0.5)).toBe(50);
  });
});
