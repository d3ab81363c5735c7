import { defineConfig } from "vitest/config";

/** The suites with real servers, real kills and whole processes: one file at a time, so that they do not disturb each other. */
export default defineConfig({
  test: {
    pool: "forks",
    include: ["**/*.test.ts"],
    fileParallelism: false,
    testTimeout: 300_000,
    hookTimeout: 60_000,
    env: { UV_THREADPOOL_SIZE: "16" },
  },
});
