import { describe, expect, it } from "vitest";
import { device, setup, tag } from "./setup.ts";

interface Group {
  readonly everyMs: number;
  readonly requests: number;
}

const each = (...everyMs: number[]): Group[] => everyMs.map((every) => ({ everyMs: every, requests: 1 }));

/** What of its demand each gets where who asks for less than its share keeps it, and the others share the rest alike. */
function fairShares(groups: readonly Group[], replyMs: number): number[] {
  const demands = groups.map(({ everyMs, requests }) => (requests * replyMs) / everyMs);
  let left = 1;
  const shares = demands.map(() => 0);
  const order = [...demands.keys()].sort((a, b) => (demands[a] ?? 0) - (demands[b] ?? 0));
  for (const [rank, index] of order.entries()) {
    const demand = demands[index] ?? 0;
    const share = Math.min(demand, left / (order.length - rank));
    left -= share;
    shares[index] = share / demand;
  }
  return shares;
}

/** Scans of each group in so long, of those that were wanted; and the longest time between two. */
async function overloaded(groups: readonly Group[], replyMs: number, forMs: number) {
  const tags = ({ everyMs, requests }: Group) => Array.from({ length: requests }, (_, n) => tag(`t${n}`, everyMs));
  const { time, wire, link, good } = setup(groups.map((group, n) => device(`d${n}`, tags(group))));
  wire.replyMs = replyMs;
  wire.perRequest = 1;
  await link.start();
  await time.pass(forMs);
  const found = groups.map(({ everyMs }, n) => {
    const at = good(`d${n}`).map((scan) => scan.taken.monoMs);
    const gaps = at.slice(1).map((ms, index) => ms - (at[index] ?? ms));
    return { kept: (at.length * everyMs) / forMs, longestMs: Math.max(...gaps) };
  });
  const { loadPercent } = link.status();
  await link.stop();
  return { found, loadPercent };
}

describe("a line that is asked for more than it can carry", () => {
  const cases: [string, Group[], number][] = [
    ["8 alike at 208 %", each(...Array.from({ length: 8 }, () => 100)), 26],
    ["8 alike at 664 %", each(...Array.from({ length: 8 }, () => 100)), 83],
    ["10 alike at 110 %", each(...Array.from({ length: 10 }, () => 300)), 33],
    ["all rates at 156 %", each(100, 200, 500, 1000, 2000, 5000, 10_000, 30_000), 83],
    ["fast and slow at 720 %", each(100, 100, 200, 200, 500, 500, 1000, 1000), 200],
    ["long scans among short ones", [...each(100, 200, 500), { everyMs: 10_000, requests: 50 }], 60],
    ["scans longer than their period", [...each(1000, 1000), { everyMs: 500, requests: 20 }], 50],
  ];
  for (const [name, groups, replyMs] of cases) {
    it(`is shared by turns: ${name}`, async () => {
      const { found, loadPercent } = await overloaded(groups, replyMs, 120_000);
      expect(loadPercent).toBeGreaterThan(99);
      const fair = fairShares(groups, replyMs);
      for (const [n, { kept, longestMs }] of found.entries()) {
        const { everyMs = 0, requests = 1 } = groups[n] ?? {};
        // A late run waits for its next release, which costs less than a quarter of a share.
        expect(kept).toBeGreaterThan(0.75 * (fair[n] ?? 0));
        // Nobody starves: each request waits at most for one of every other group, and one that is on the wire.
        expect(longestMs).toBeLessThanOrEqual(2 * everyMs + requests * (groups.length + 1) * replyMs);
      }
    });
  }

  it("reads groups that are alike equally often", async () => {
    const { found } = await overloaded(each(...Array.from({ length: 8 }, () => 50)), 26, 60_000);
    const kept = found.map((each_) => each_.kept);
    expect(Math.min(...kept) / Math.max(...kept)).toBeGreaterThan(0.97);
  });

  it("keeps the rates again as soon as it can", async () => {
    const { time, wire, link, good } = setup(
      each(100, 200, 500).map(({ everyMs }, n) => device(`d${n}`, [tag("a", everyMs)])),
    );
    wire.replyMs = 150;
    await link.start();
    await time.pass(20_000);
    wire.replyMs = 10;
    await time.pass(1000);
    const before = [0, 1, 2].map((n) => good(`d${n}`).length);
    const { overruns } = link.status();
    await time.pass(10_000);
    expect([0, 1, 2].map((n) => good(`d${n}`).length - (before[n] ?? 0))).toEqual([100, 50, 20]);
    expect(link.status().overruns).toBe(overruns);
    await link.stop();
  });
});
