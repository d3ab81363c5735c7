import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { SystemClock } from "../../gateway/system/clock.ts";

const IN_2026 = Date.UTC(2026, 5, 1);
let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "millrace-clock-"));
});
afterEach(async () => {
  vi.restoreAllMocks();
  await rm(folder, { recursive: true });
});

describe("SystemClock", () => {
  it("has the kernel's boot id and a time since boot that only rises", async () => {
    const clock = new SystemClock();
    expect(clock.bootId).toBe((await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim());
    const [uptime = "0"] = (await readFile("/proc/uptime", "utf8")).split(" ");
    expect(Math.abs(clock.now().monoMs - Number(uptime) * 1000)).toBeLessThan(1000);
    let last = 0;
    for (let n = 0; n < 10_000; n += 1) {
      const { monoMs } = clock.now();
      expect(monoMs).toBeGreaterThanOrEqual(last);
      last = monoMs;
    }
  });

  it("does not move its monotonic time when the wall clock jumps", () => {
    let wall = IN_2026;
    const clock = new SystemClock({ wallMs: () => wall, timesyncDir: join(folder, "none") });
    const before = clock.now();
    wall -= 86_400_000;
    const after = clock.now();
    expect(after.wallMs).toBe(before.wallMs - 86_400_000);
    expect(after.monoMs).toBeGreaterThanOrEqual(before.monoMs);
  });

  it("believes any time since 2025 where there is no timesyncd, and none before", () => {
    const timesyncDir = join(folder, "none");
    expect(new SystemClock({ wallMs: () => IN_2026, timesyncDir }).now().clock).toBe("synced");
    expect(new SystemClock({ wallMs: () => 0, timesyncDir }).now().clock).toBe("unsynced");
    expect(new SystemClock({ wallMs: () => Date.UTC(2024, 11, 31), timesyncDir }).now().clock).toBe("unsynced");
  });

  it("waits for timesyncd where it runs, and stays synced then", async () => {
    const timesyncDir = join(folder, "timesync");
    await mkdir(timesyncDir);
    const clock = new SystemClock({ wallMs: () => IN_2026, timesyncDir, askEveryMs: 10 });
    expect(clock.now().clock).toBe("unsynced");
    await writeFile(join(timesyncDir, "synchronized"), "");
    await vi.waitFor(() => expect(clock.now().clock).toBe("synced"), { timeout: 5_000, interval: 50 });
    await rm(timesyncDir, { recursive: true });
    expect(clock.now().clock).toBe("synced");
  });
});
