import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { chronyTracking } from "../../gateway/system/chrony.ts";
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
    expect(clock.source()).toBe("timesyncd");
  });

  it("believes no time it has lived through, unless timesyncd vouches for it", async () => {
    const timesyncDir = join(folder, "timesync");
    let wall = IN_2026;
    const clock = new SystemClock({ wallMs: () => wall, timesyncDir, chronyDir: join(folder, "none"), askEveryMs: 0 });
    clock.floor(IN_2026 + 3_600_000);
    expect(clock.now().clock).toBe("unsynced");
    wall += 7_200_000;
    expect(clock.now().clock).toBe("synced");
    expect(clock.source()).toBe("plausible");

    await mkdir(timesyncDir);
    await writeFile(join(timesyncDir, "synchronized"), "");
    const vouched = new SystemClock({ wallMs: () => IN_2026, timesyncDir });
    vouched.floor(IN_2026 + 3_600_000);
    expect(vouched.now().clock).toBe("synced");
  });

  it("is not set any more after a step to before it was made, and stays set through any other", () => {
    let wall = IN_2026;
    const none = join(folder, "none");
    const clock = new SystemClock({ wallMs: () => wall, timesyncDir: none, chronyDir: none });
    expect(clock.now().clock).toBe("synced");
    wall -= 7_200_000;
    expect(clock.now().clock).toBe("synced");
    wall = 86_400_000;
    expect(clock.now().clock).toBe("unsynced");
    expect(clock.now().clock).toBe("unsynced");
    // Seen at once, not at the next look.
    wall = IN_2026;
    expect(clock.now().clock).toBe("synced");
  });

  it("does not take a process that was held up between two readings for a step", () => {
    let wall = IN_2026;
    let reads = 0;
    const none = join(folder, "none");
    const clock = new SystemClock({
      wallMs: () => {
        reads += 1;
        return reads === 2 ? 0 : wall;
      },
      timesyncDir: none,
      chronyDir: none,
    });
    expect(clock.now().clock).toBe("synced");
    expect(clock.now()).toMatchObject({ clock: "synced", wallMs: IN_2026 });
    wall = 0;
    expect(clock.now().clock).toBe("unsynced");
  });

  it("asks chronyd where it runs, and falls back to the time itself where it cannot", async () => {
    const sources = { wallMs: () => IN_2026, timesyncDir: join(folder, "none"), chronyDir: folder };
    const quick = { askEveryMs: 0, askChronyEveryMs: 0 };
    let answer: "unsynced" | "synced" = "unsynced";
    const clock = new SystemClock({ ...sources, ...quick, chrony: () => Promise.resolve(answer) });
    expect(clock.now().clock).toBe("unsynced");
    await Promise.resolve();
    expect(clock.now().clock).toBe("unsynced");
    answer = "synced";
    await vi.waitFor(() => expect(clock.now().clock).toBe("synced"));
    expect(clock.source()).toBe("chrony");

    const mute = new SystemClock({ ...sources, ...quick, chrony: () => Promise.resolve("unknown") });
    await vi.waitFor(() => expect(mute.now().clock).toBe("synced"));
    expect(mute.source()).toBe("plausible");
  });
});

describe("chronyc -c tracking", () => {
  it("is read by its leap status", () => {
    const set = "C0A80101,192.168.1.1,3,1761940000.123456789,0.000012,0.000001,0.00002,-1.2,0.001,0.1,0.012,0.001,64.2";
    expect(chronyTracking(`${set},Normal\n`)).toBe("synced");
    expect(chronyTracking(`${set},Insert second\n`)).toBe("synced");
    const unset =
      "00000000,,0,0.000000000,0.000000000,0.000000000,0.000000000,0.000,0.000,0.000,1.000000000,1.000000000,0.0";
    expect(chronyTracking(`${unset},Not synchronised\n`)).toBe("unsynced");
    expect(chronyTracking("506 Cannot talk to daemon\n")).toBe("unknown");
    expect(chronyTracking("")).toBe("unknown");
  });
});
