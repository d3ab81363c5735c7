import { describe, expect, it } from "vitest";
import { device, setup, tag } from "./setup.ts";

describe("the load of a link", () => {
  it("is shown per device, with requests and times, in status, metrics and plan", async () => {
    const { time, wire, link, numbers } = setup([device("a", [tag("t", 100)]), device("b", [tag("t", 200)])]);
    wire.replyMs = 20;
    await link.start();
    await time.pass(60_000);
    const { loadPercent, devices } = link.status();
    const [a, b] = devices;
    expect(loadPercent).toBeGreaterThan(29);
    expect(loadPercent).toBeLessThan(31);
    expect(a?.loadPercent).toBeCloseTo(20, 0);
    expect(b?.loadPercent).toBeCloseTo(10, 0);
    expect(a?.requests).toBeGreaterThanOrEqual(598);
    expect(numbers.get("millrace_requests_total line a")).toBe(a?.requests);
    expect(numbers.get("millrace_link_busy_ratio line")).toBeCloseTo(0.3, 1);
    expect(numbers.get("millrace_device_busy_ratio line b")).toBeCloseTo(0.1, 1);
    const took = link.plan().map(({ requests }) => requests[0] && link.tookOf(requests[0]));
    expect(took[0]).toMatchObject({ meanMs: 20, lastMs: 20, mostMs: 20 });
    wire.replyMs = 40;
    await time.pass(60_000);
    expect(link.plan().map(({ requests }) => requests[0] && Math.round(link.tookOf(requests[0])?.meanMs ?? 0))).toEqual(
      [40, 40],
    );
    await link.stop();
  });
});
