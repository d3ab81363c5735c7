import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    pool: "forks",
    // Most of them wait for sockets and disks: as many at once as a small machine has cores.
    maxWorkers: 2,
    include: ["test/**/*.test.ts"],
    exclude: ["test/e2e/**", "test/faults/**", "test/interop/**", "test/bench/**"],
    testTimeout: 20_000,
    env: { UV_THREADPOOL_SIZE: "16" },
  },
});
