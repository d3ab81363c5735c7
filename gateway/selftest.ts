import type { CliIo } from "./cli/io.ts";
import type { ScratchOptions } from "./cli/selftest/parts.ts";
import { SCRATCH_BYTES } from "./cli/selftest/parts.ts";
import { runSelftest } from "./cli/selftest.ts";
import { silentLogger } from "./core/log.ts";
import { noMetrics } from "./core/metrics.ts";
import { queueOptions } from "./core/options/queue.ts";
import { LevelQueue } from "./queue/level-queue.ts";
import type { SegmentStore } from "./queue/segment-store.ts";
import { SystemClock } from "./system/clock.ts";

/**
 * `millrace selftest`, with the queue it tests and nothing else: it is started and killed again and again, and must not
 * wait for the rest of the gateway to load. `engine` is what keeps the segments, where it is not to be LevelDB.
 */
export function selftestCommand(
  args: string[],
  io: CliIo,
  engine?: (options: ScratchOptions) => SegmentStore,
): Promise<number> {
  const clock = new SystemClock();
  return runSelftest(args, io, {
    clock,
    queue: (dataDir, options) =>
      new LevelQueue({
        dataDir,
        options: {
          ...queueOptions.parse({ minFree: "0B", telemetryPolicy: "refuse" }),
          maxBytes: SCRATCH_BYTES,
          ...options,
        },
        clock,
        log: silentLogger,
        metrics: noMetrics,
        machineId: "selftest",
        ...(engine ? { engine: engine(options) } : {}),
      }),
  });
}
