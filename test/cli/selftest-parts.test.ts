import { describe, expect, it } from "vitest";
import { Ledger } from "../../gateway/cli/selftest/ledger.ts";
import { cardLife, parseEndurance } from "../../gateway/cli/selftest/life.ts";
import { findMount, roomWarning, warningsOf } from "../../gateway/cli/selftest/mount.ts";
import { formatCount, formatMs, latencyOf } from "../../gateway/cli/selftest/numbers.ts";
import { describeReport } from "../../gateway/cli/selftest/print.ts";
import { parseToken, recordOf, tokenOf } from "../../gateway/cli/selftest/tokens.ts";
import { judge, type Report, warningsFrom } from "../../gateway/cli/selftest/verdict.ts";

const ACCOUNT = {
  acknowledged: 1000,
  duplicates: 3,
  lost: 0,
  changed: 0,
  outOfOrder: 0,
  toldAsGap: 0,
  examples: [],
  cycles: 5,
  seed: 7,
};
const DISK = { type: "ext4", mountPoint: "/", source: "/dev/sda1", options: ["rw"], freeBytes: 4 * 1024 ** 3 };
const FSYNC = { count: 500, p50Ms: 1, p99Ms: 4, maxMs: 9 };
const RATES = [
  { atOnce: 1, perSecond: 700, latency: FSYNC },
  { atOnce: 64, perSecond: 20_012, latency: FSYNC },
];
const FOUND = { disk: DISK, fsync: FSYNC, rates: RATES, kills: ACCOUNT };

describe("the ledger", () => {
  const booked = (...lines: string[]) => {
    const ledger = new Ledger();
    for (const line of lines) ledger.line(line);
    return ledger.account();
  };

  it("finds everything there, whatever was not acknowledged", () => {
    expect(booked("ready", "a 1.e0.2", "d 1.e0.1 1.e0.2", "d 1.e0.3 2.t1.1")).toEqual({
      acknowledged: 2,
      duplicates: 0,
      lost: 0,
      changed: 0,
      outOfOrder: 0,
      toldAsGap: 0,
      examples: [],
    });
  });

  it("finds what is missing in the midst, at the end and altogether", () => {
    expect(booked("a 1.e0.4", "d 1.e0.1 1.e0.3", "a 1.t0.1", "g 3")).toMatchObject({
      lost: 3,
      toldAsGap: 3,
      examples: ["1.e0.2", "1.e0.4", "1.t0.1"],
    });
  });

  it("keeps the cycles apart", () => {
    expect(booked("a 1.e0.1", "a 2.e0.1", "d 2.e0.1")).toMatchObject({ lost: 1, examples: ["1.e0.1"] });
  });

  it("tells twice from too late", () => {
    expect(booked("a 1.e0.3", "d 1.e0.1 1.e0.1 1.e0.3 1.e0.2")).toMatchObject({
      duplicates: 1,
      outOfOrder: 1,
      lost: 0,
    });
    expect(booked("o events 7", "x events 8")).toMatchObject({ outOfOrder: 1, changed: 1 });
  });
});

describe("records of the kill test", () => {
  it.each(["e0", "t0", "t1"])("are known by every byte: %s", (lane) => {
    const token = { cycle: 2, lane, n: 31 };
    const { content } = recordOf(token, { wallMs: 1, monoMs: 1, clock: "synced" }, true);
    expect(tokenOf(content)).toEqual(token);
    const text = content.kind === "samples" ? content.samples[0]?.value : Buffer.from(content.payload).toString();
    const changed = `${String(text).slice(0, -1)}?`;
    const other =
      content.kind === "samples"
        ? { ...content, samples: content.samples.map((sample) => ({ ...sample, value: changed })) }
        : { ...content, payload: Buffer.from(changed) };
    expect(tokenOf(other)).toBeUndefined();
  });

  it("have tokens that nothing else is taken for", () => {
    expect(parseToken("1.e0.5")).toEqual({ cycle: 1, lane: "e0", n: 5 });
    for (const text of ["", "1.e0", "1.x0.5", "1.e0.5 "]) expect(parseToken(text)).toBeUndefined();
  });
});

describe("the file system", () => {
  const MOUNTS = [
    "22 1 179:2 / / rw,noatime shared:1 - ext4 /dev/mmcblk0p2 rw,commit=600",
    "30 22 0:25 / /run rw,nosuid - tmpfs tmpfs rw,size=100k",
    "31 22 8:1 / /mnt/the\\040disk rw - vfat /dev/sda1 rw",
    "32 22 8:2 / /mnt/the\\040disk rw - ext4 /dev/sda2 rw,barrier=0",
    "",
  ].join("\n");

  it("is that of the longest mount point, the last one mounted there", () => {
    expect(findMount(MOUNTS, "/var/lib/millrace")).toEqual({
      type: "ext4",
      mountPoint: "/",
      source: "/dev/mmcblk0p2",
      options: ["rw", "noatime", "commit=600"],
    });
    expect(findMount(MOUNTS, "/run/millrace")?.type).toBe("tmpfs");
    expect(findMount(MOUNTS, "/running")?.type).toBe("ext4");
    expect(findMount(MOUNTS, "/mnt/the disk/data")).toMatchObject({ type: "ext4", source: "/dev/sda2" });
    expect(findMount("", "/")).toBeUndefined();
  });

  it.each([
    ["tmpfs", ["rw"], "in memory: nothing survives a power cut"],
    ["nfs4", ["rw"], "another machine"],
    ["cifs", ["rw"], "another machine"],
    ["vfat", ["rw"], "no journal"],
    ["overlay", ["rw"], "volume"],
    ["overlay", ["rw", "volatile"], "skips fsync"],
    ["ext4", ["rw", "nobarrier"], "without barriers"],
    ["ext4", ["rw", "barrier=0"], "without barriers"],
  ])("%s %j is warned of", (type, options, words) => {
    expect(warningsOf({ type, options }).join()).toContain(words);
  });

  it("is not warned of when it is an ordinary one", () => {
    expect(warningsOf({ type: "ext4", options: ["rw", "relatime"] })).toEqual([]);
  });

  it("has room for the queue, counting what that has already, or not", () => {
    const room = { freeBytes: 1000, usedBytes: 0, maxBytes: 900, minFree: 100 };
    expect(roomWarning(room)).toBeUndefined();
    expect(roomWarning({ ...room, freeBytes: 999, usedBytes: 1 })).toBeUndefined();
    expect(roomWarning({ ...room, freeBytes: 600 })).toContain("the queue holds only 500 B");
    expect(roomWarning({ ...room, freeBytes: 100 })).toContain("the queue takes nothing");
  });
});

describe("the verdict", () => {
  it("is good when nothing is lost and nobody waits long", () => {
    expect(judge(FOUND)).toEqual({ verdict: "good", reasons: [] });
  });

  it("is slow when an acknowledgement takes long, and says what that means", () => {
    const { verdict, reasons } = judge({ ...FOUND, fsync: { ...FSYNC, p99Ms: 80 } });
    expect(verdict).toBe("slow");
    expect(reasons).toEqual([
      "a PUBACK takes up to 80 ms (99 of 100): at most 12 captured messages/s for a publisher that waits for each; 64 publishers together 20,000/s",
    ]);
  });

  it.each([
    [{ lost: 2, toldAsGap: 1, examples: ["1.e0.7"] }, "lost 2 acknowledged records, 1 of them told as a gap (1.e0.7)"],
    [{ changed: 1 }, "1 records came back with other bytes"],
    [{ outOfOrder: 4 }, "4 records came back out of order"],
    [{ failure: "SIGABRT: bad" }, "the queue stopped in cycle 5: SIGABRT: bad"],
  ])("is bad with %j", (kills, reason) => {
    const found = { ...FOUND, fsync: { ...FSYNC, p99Ms: 80 }, kills: { ...ACCOUNT, ...kills } };
    expect(judge(found)).toEqual({ verdict: "bad", reasons: [reason] });
  });

  it("is bad when the disk refuses", () => {
    expect(judge({ disk: DISK, rates: [], failure: "EIO" }).verdict).toBe("bad");
  });

  it("warns of an fsync that is too quick to be true, and of one that stalls", () => {
    expect(warningsFrom({ disk: DISK, fsync: { ...FSYNC, p50Ms: 0.005 } }).join()).toContain("pulling the plug");
    expect(warningsFrom({ disk: { ...DISK, type: "tmpfs" }, fsync: { ...FSYNC, p50Ms: 0.005 } })).toEqual([]);
    expect(warningsFrom({ disk: DISK, fsync: { ...FSYNC, maxMs: 2300 } }).join()).toContain("one fsync took 2.3 s");
  });
});

describe("the life of a card", () => {
  it("is its endurance over what fsyncs, cursors and records write", () => {
    const load = { name: "l", recordsPerSecond: 10, bytesPerRecord: 250 };
    const bytes = (fsyncs: number) => 86_400 * (10 * 250 + fsyncs * 8500);
    expect(cardLife({ ...load, sync: 1000 }, 8500, 2.4e12)).toEqual({
      load: "l",
      bytesPerDay: bytes(2),
      years: 2.4e12 / bytes(2) / 365,
    });
    expect(cardLife({ ...load, sync: "always" }, 8500, 1).bytesPerDay).toBe(bytes(11));
    // An fsync that has nothing to write is not made.
    expect(cardLife({ ...load, recordsPerSecond: 0.5, sync: 1000 }, 8500, 1).bytesPerDay).toBe(
      86_400 * (0.5 * 250 + 8500),
    );
  });

  it("is given as data sheets do", () => {
    expect(parseEndurance("2.4TB")).toBe(2.4e12);
    expect(parseEndurance("1TiB")).toBe(1024 ** 4);
    expect(parseEndurance("500GB")).toBe(5e11);
    for (const text of ["", "10", "TB", "0TB", "-1TB"]) expect(parseEndurance(text)).toBeUndefined();
  });
});

describe("numbers", () => {
  it("are read off the sorted times", () => {
    const times = Array.from({ length: 200 }, (_, index) => 200 - index);
    expect(latencyOf(times)).toEqual({ count: 200, p50Ms: 101, p99Ms: 199, maxMs: 200 });
    expect(latencyOf([])).toEqual({ count: 0, p50Ms: 0, p99Ms: 0, maxMs: 0 });
  });

  it("are written for people", () => {
    expect([0.004, 0.5, 12.4, 2345].map(formatMs)).toEqual(["4 µs", "0.5 ms", "12 ms", "2.3 s"]);
    expect([12.4, 1234, 98_765].map(formatCount)).toEqual(["12", "1,230", "98,800"]);
  });

  it("stand in a report that can be read", () => {
    const life = [{ load: "10 scans/s, sync 1s", bytesPerDay: 1.7e9, years: 3.87 }];
    const report: Report = {
      ...FOUND,
      verdict: "good",
      reasons: [],
      warnings: ["it hums"],
      folder: "/data",
      enduranceBytes: 2.4e12,
      measured: true,
      bytesPerFsync: 8704,
      life,
      seconds: 30,
    };
    expect(describeReport(report)).toBe(
      [
        "disk    ext4 on / (/dev/sda1), 4 GiB free; rw",
        "fsync   p50 1 ms, p99 4 ms, max 9 ms  (200 bytes appended, 500 times)",
        "queue      1 at once      700 records/s   acknowledged p50 1 ms, p99 4 ms",
        "          64 at once   20,000 records/s   acknowledged p50 1 ms, p99 4 ms",
        "kills   5 kills (SIGKILL, seed 7), 1,000 records acknowledged",
        "        0 lost, 0 changed, 0 out of order, 3 delivered twice",
        "card    8.5 KiB reach the device per fsync (measured, what others wrote meanwhile included); made for 2.4 TB written",
        "        10 scans/s, sync 1s  1.7 GB a day: 3.9 years",
        "",
        "Warning: it hums",
        "",
        "Verdict: GOOD - use it, but mind the warning",
        "",
      ].join("\n"),
    );
    expect(describeReport({ ...report, disk: { ...DISK, type: "tmpfs" } })).toContain(
      "Verdict: GOOD - against a kill; it is no home for the data folder",
    );
  });
});
