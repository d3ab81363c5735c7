import { join } from "node:path";
import { env } from "node:process";
import { afterAll, describe, expect, it } from "vitest";
import type { StreamName } from "../../gateway/core/record.ts";
import { selectorOf } from "../../gateway/core/selector.ts";
import { levelQueue, testClock } from "../queue/support.ts";
import { scratch } from "../support/processes.ts";
import { bodies, HEAD, row, runCase, UPSTREAM_CASES } from "../support/upstream-cases.ts";

/**
 * Every misbehaviour of a server, against the real queue: what is lost, what comes twice and within which bound, how often a limit
 * was exceeded by the server's own count, and whether delivery goes on. MILLRACE_RECORDS is how many records each case has.
 */
const COUNT = Number(env["MILLRACE_RECORDS"] ?? 1000);
const PATIENCE_MS = 60_000;
const folder = scratch("upstream");
const rows: string[] = [];
afterAll(() => {
  folder.remove();
  process.stdout.write(`\n${[HEAD, ...rows].join("\n")}\n`);
});

const STREAM: StreamName = "telemetry";

function newRecord(text: string) {
  const content = {
    kind: "message" as const,
    topic: "plant/a",
    payload: Buffer.from(text),
    qos: 1 as const,
    retain: false,
  };
  return { taken: testClock.now(), content };
}

describe("a strict server that misbehaves", () => {
  for (const one of UPSTREAM_CASES) {
    it(one.name, async () => {
      const queue = levelQueue(join(folder.path, `case-${rows.length}`));
      await queue.start();
      await queue.open("cloud", { selector: selectorOf(["#"]), from: "oldest", required: true });
      await queue.append(STREAM, bodies(COUNT).map(newRecord));
      const rejected: number[] = [];
      const reject = queue.reject.bind(queue);
      queue.reject = async (uplink, stream, seqs, reason) => {
        await reject(uplink, stream, seqs, reason);
        rejected.push(...seqs);
      };
      const store = {
        queue,
        owed() {
          const own = queue.stats().uplinks.find(({ name }) => name === "cloud");
          return (own?.streams.telemetry.depth ?? 1) + (own?.gapsPending ?? 1);
        },
        rejected: () => rejected,
        add: (more: readonly string[]) => void queue.append(STREAM, more.map(newRecord)),
      };
      const outcome = await runCase(one, store, COUNT, PATIENCE_MS);
      rows.push(row(one.name, outcome));
      expect(outcome.violations).toEqual([]);
      const refused = one.name.startsWith("Maximum Packet Size") ? Math.floor(COUNT / 50) : (one.refused ?? 0);
      expect(outcome).toMatchObject({ lost: 0, resumed: true, alarmed: true, rejected: refused });
      expect(outcome.received.conflicts).toBe(0);
      expect(outcome.duplicates).toBeLessThanOrEqual(outcome.allowed);
    });
  }
});
