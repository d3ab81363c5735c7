import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "../../gateway/core/log.ts";
import { noMetrics } from "../../gateway/core/metrics.ts";
import { LevelQueue } from "../../gateway/queue/level-queue.ts";
import { queueContract } from "../contract/queue.ts";
import { MemoryQueue } from "../fakes/memory-queue.ts";
import { testClock, testOptions } from "./support.ts";

queueContract("LevelQueue", async () => {
  const dataDir = await mkdtemp(join(tmpdir(), "millrace-queue-"));
  const parts = { clock: testClock, log: silentLogger, metrics: noMetrics, machineId: "machine-1" };
  return {
    queue: new LevelQueue({ dataDir, options: testOptions, ...parts }),
    stop: () => rm(dataDir, { recursive: true, force: true }),
  };
});

queueContract("MemoryQueue", () => Promise.resolve({ queue: new MemoryQueue(), stop: () => Promise.resolve() }));
