import { describe, expect, it } from "vitest";
import { ListQueue } from "../fakes/list-queue.ts";
import { bodies, runCase, UPSTREAM_CASES } from "../support/upstream-cases.ts";

/** The same cases run against the real queue, with more records, in test/faults/strict-upstream.test.ts. */
const COUNT = 200;

describe("a strict server that misbehaves", () => {
  it.concurrent.each(UPSTREAM_CASES.filter(({ slow }) => slow !== true).map((one) => [one.name, one] as const))(
    "%s",
    async (_name, one) => {
      const queue = new ListQueue();
      queue.add("telemetry", bodies(COUNT));
      const store = {
        queue,
        owed: () => queue.owed("telemetry"),
        add: (more: readonly string[]) => queue.add("telemetry", more),
        rejected: () => queue.rejected.map(({ seq }) => seq),
      };
      const outcome = await runCase(one, store, COUNT, 15_000);
      expect(outcome.violations).toEqual([]);
      expect(outcome).toMatchObject({ lost: 0, resumed: true, alarmed: true, rejected: one.refused ?? 0 });
      expect(outcome.received.conflicts).toBe(0);
      expect(outcome.duplicates).toBeLessThanOrEqual(outcome.allowed);
    },
  );
});
