import { cp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ConfigError } from "../../gateway/core/errors.ts";
import type { Entry } from "../../gateway/core/record.ts";
import type { LevelQueue } from "../../gateway/queue/level-queue.ts";
import {
  levelQueue,
  message,
  messages,
  reader,
  readMany,
  seqsOf,
  startedQueue,
  testFolder,
  textOf,
} from "./support.ts";

/** A copy of the folder while the queue runs: what a killed process leaves behind. */
async function killed(folder: string, name = "killed"): Promise<string> {
  const copy = join(folder, name);
  await cp(join(folder, "data"), copy, { recursive: true });
  return copy;
}

async function running(): Promise<{ folder: string; queue: LevelQueue }> {
  const folder = await testFolder();
  const queue = await startedQueue(join(folder, "data"));
  await queue.open("up", reader());
  return { folder, queue };
}

function chainOf(entries: readonly Entry[]): (readonly [number, number])[] {
  return entries.map(({ seq, prev }) => [seq, prev]);
}

describe("after a clean stop", () => {
  it("seqs, chains and cursors go on where they were", async () => {
    const { folder, queue } = await running();
    await queue.append("events", messages(5));
    await queue.append("telemetry", messages(2));
    const entries = await readMany(queue, "up", "events", 4);
    await queue.settle("up", "events", [1, 2, 4]);
    const { chain } = entries[0] ?? {};
    await queue.close();
    const again = await startedQueue(join(folder, "data"));
    await again.open("up", reader());
    await again.append("events", [message("6")]);
    const rest = await readMany(again, "up", "events", 3);
    expect(chainOf(rest)).toEqual([
      [3, 2],
      [5, 4],
      [6, 5],
    ]);
    expect(rest.every((entry) => entry.chain === chain)).toBe(true);
    expect(again.gaps("up")).toEqual([]);
    expect(again.stats().uplinks[0]?.streams.events).toMatchObject({ depth: 3, lastTaken: 6, lastAcked: 2 });
  });

  it("nothing is scanned or opened that nobody reads", async () => {
    const { folder, queue } = await running();
    for (let n = 0; n < 20; n++) await queue.append("telemetry", messages(100, n * 100 + 1, "plant/a", 100));
    expect(queue.stats().streams.telemetry.segments).toBeGreaterThan(3);
    await queue.close();
    const again = await startedQueue(join(folder, "data"));
    await again.open("up", reader());
    expect(again.stats().uplinks[0]?.streams.telemetry).toMatchObject({ depth: 2000, lastTaken: 2000 });
    const logs = await readdir(join(folder, "data", "queue", "telemetry"), { recursive: true });
    // Opening turns a log into a table.
    expect(logs.filter((name) => name.endsWith(".ldb"))).toEqual([]);
    expect((await readMany(again, "up", "telemetry", 2000)).map(textOf)).toEqual(
      Array.from({ length: 2000 }, (_, i) => `${i + 1}`),
    );
  });

  it("an uplink that is not opened again keeps what it is owed, and is sent no more", async () => {
    const { folder, queue } = await running();
    await queue.append("events", messages(2));
    await queue.close();
    const without = await startedQueue(join(folder, "data"));
    await without.open("other", reader(["#"], { from: "now" }));
    await without.append("events", messages(2, 3));
    await without.settle("other", "events", seqsOf(await readMany(without, "other", "events", 2)));
    await without.close();
    const again = await startedQueue(join(folder, "data"));
    await again.open("up", reader());
    await again.append("events", [message("5")]);
    const entries = await readMany(again, "up", "events", 3);
    expect(entries.map(textOf)).toEqual(["1", "2", "5"]);
    expect(chainOf(entries)).toEqual([
      [1, 0],
      [2, 1],
      [5, 2],
    ]);
  });

  it("gaps that were not told are still there", async () => {
    const { folder, queue } = await running();
    await queue.append("events", messages(3));
    await readMany(queue, "up", "events", 3);
    await queue.reject("up", "events", [2], "no");
    const gaps = queue.gaps("up");
    expect(gaps).toHaveLength(1);
    await queue.close();
    const again = await startedQueue(join(folder, "data"));
    await again.open("up", reader());
    expect(again.gaps("up")).toEqual(gaps);
    expect(seqsOf(await readMany(again, "up", "events", 2))).toEqual([1, 3]);
  });
});

describe("after a kill", () => {
  it("everything written is there, the jump of seqs is a gap, and the chain closes over it", async () => {
    const { folder, queue } = await running();
    await queue.append("telemetry", messages(3));
    const again = await startedQueue(await killed(folder));
    await again.open("up", reader());
    await again.append("telemetry", messages(2, 4));
    const entries = await readMany(again, "up", "telemetry", 5);
    expect(entries.map(textOf)).toEqual(["1", "2", "3", "4", "5"]);
    expect(chainOf(entries)).toEqual([
      [1, 0],
      [2, 1],
      [3, 2],
      [10_001, 10_000],
      [10_002, 10_001],
    ]);
    expect(again.gaps("up")).toMatchObject([
      { stream: "telemetry", from: 4, to: 10_000, prev: 3, count: 9997, reason: "power-loss", exact: false },
    ]);
  });

  it("a second one before anything was written makes no difference", async () => {
    const { folder, queue } = await running();
    await queue.append("events", messages(3));
    const first = await startedQueue(await killed(folder));
    await first.open("up", reader());
    await cp(join(folder, "killed"), join(folder, "twice"), { recursive: true });
    const again = await startedQueue(join(folder, "twice"));
    await again.open("up", reader());
    await again.append("events", [message("4")]);
    expect(chainOf(await readMany(again, "up", "events", 4)).at(-1)).toEqual([10_001, 10_000]);
    expect(again.gaps("up")).toMatchObject([{ from: 4, to: 10_000, prev: 3 }]);
  });

  it("a stop in between without a record changes nothing", async () => {
    const { folder, queue } = await running();
    await queue.append("events", messages(3));
    const data = await killed(folder);
    const between = await startedQueue(data);
    await between.open("up", reader());
    await between.close();
    const again = await startedQueue(data);
    await again.open("up", reader());
    await again.append("events", [message("4")]);
    expect(chainOf(await readMany(again, "up", "events", 4)).at(-1)).toEqual([10_001, 10_000]);
    expect(again.gaps("up")).toHaveLength(1);
  });

  it("what was settled is not sent again", async () => {
    const { folder, queue } = await running();
    await queue.append("events", messages(10));
    await readMany(queue, "up", "events", 10);
    await queue.settle("up", "events", [9, 3, 1, 2]);
    const again = await startedQueue(await killed(folder));
    await again.open("up", reader());
    expect(seqsOf(await readMany(again, "up", "events", 6))).toEqual([4, 5, 6, 7, 8, 10]);
    expect(again.stats().uplinks[0]?.streams.events.depth).toBe(6);
  });

  it("in the midst of making a segment nothing is set aside", async () => {
    const { folder, queue } = await running();
    await queue.append("events", messages(3));
    const data = await killed(folder);
    const half = join(data, "queue", "events", "0000000000000004-0");
    await mkdir(half);
    await writeFile(join(half, "MANIFEST-000001"), "");
    const again = await startedQueue(data);
    await again.open("up", reader());
    expect(textOf((await readMany(again, "up", "events", 3))[2] ?? expect.fail())).toBe("3");
    expect(again.stats().quarantined).toBe(0);
    expect(again.gaps("up")).toMatchObject([{ from: 4, to: 10_000, reason: "power-loss" }]);
  });

  it("a stream that was not used jumps nowhere", async () => {
    const { folder, queue } = await running();
    await queue.append("events", messages(1));
    const again = await startedQueue(await killed(folder));
    await again.open("up", reader());
    expect(again.gaps("up").map(({ stream }) => stream)).toEqual(["events"]);
    expect(again.stats().streams.telemetry.nextSeq).toBe(1);
  });
});

describe("of two segments that begin with the same seq", () => {
  async function twice(): Promise<{ data: string; newer: string }> {
    const { folder, queue } = await running();
    await queue.append("events", messages(3));
    const data = await killed(folder);
    return { data, newer: join(data, "queue", "events", "0000000000000001-1") };
  }

  it.each(["sealed", "unsealed"])("the one of the higher generation counts (%s)", async (how) => {
    const { data, newer } = await twice();
    if (how === "sealed") await (await startedQueue(data)).close();
    await cp(join(data, "queue", "events", "0000000000000001-0"), newer, { recursive: true });
    const again = await startedQueue(data);
    await again.open("up", reader());
    expect(again.stats().uplinks[0]?.streams.events.depth).toBe(3);
    expect(seqsOf(await readMany(again, "up", "events", 3))).toEqual([1, 2, 3]);
    expect(await readdir(join(data, "queue", "events"))).toEqual(["0000000000000001-1"]);
  });

  it("the other counts where that one holds nothing", async () => {
    const { data, newer } = await twice();
    await mkdir(newer);
    const again = await startedQueue(data);
    await again.open("up", reader());
    expect(seqsOf(await readMany(again, "up", "events", 3))).toEqual([1, 2, 3]);
    expect(await readdir(join(data, "queue", "events"))).toEqual(["0000000000000001-0"]);
  });
});

describe("a store that lost", () => {
  async function without(folder: string, name: string, ...lost: string[]): Promise<LevelQueue> {
    const copy = await killed(folder, name);
    for (const file of lost) await writeFile(join(copy, "state", file), Buffer.alloc(32 * 1024, 0x5a));
    const again = await startedQueue(copy);
    await again.open("up", reader());
    return again;
  }

  it("its cursor sends everything again, with the same ids", async () => {
    const { folder, queue } = await running();
    await queue.append("events", messages(4));
    await queue.settle("up", "events", seqsOf(await readMany(queue, "up", "events", 3)));
    const again = await without(folder, "a", "cursor-up");
    expect(chainOf(await readMany(again, "up", "events", 4))).toEqual([
      [1, 0],
      [2, 1],
      [3, 2],
      [4, 3],
    ]);
    expect(again.gaps("up")).toMatchObject([{ from: 5, to: 10_000, reason: "power-loss" }]);
  });

  it("its cursor and a whole segment tells of what was in it", async () => {
    const { folder, queue } = await running();
    await queue.append("events", messages(4));
    const copy = await killed(folder, "lost-both");
    const row = join(copy, "queue", "events");
    for (const name of await readdir(row)) {
      const log = (await readdir(join(row, name))).find((file) => file.endsWith(".log")) ?? expect.fail();
      await rm(join(row, name, log));
      await mkdir(join(row, name, log));
      await writeFile(join(row, name, log, "not-a-log"), "x");
    }
    await writeFile(join(copy, "state", "cursor-up"), Buffer.alloc(32 * 1024, 0x5a));
    const again = await startedQueue(copy);
    await again.open("up", reader());
    expect(again.gaps("up")[0]).toMatchObject({ from: 1, exact: false });
    expect(again.gaps("up").at(-1)).toMatchObject({ to: 10_000, exact: false });
  });

  it("its cursor and every segment of a stream tells of what may have been in them", async () => {
    const { folder, queue } = await running();
    await queue.append("telemetry", messages(4));
    const copy = await killed(folder, "lost-all");
    await rm(join(copy, "queue", "telemetry"), { recursive: true });
    await writeFile(join(copy, "state", "cursor-up"), Buffer.alloc(32 * 1024, 0x5a));
    const again = await startedQueue(copy);
    await again.open("up", reader());
    expect(again.gaps("up")).toMatchObject([{ stream: "telemetry", from: 1, to: 10_000, reason: "power-loss" }]);
  });

  it("its list of uplinks still delivers everything, and gives no slot twice", async () => {
    const { folder, queue } = await running();
    await queue.append("events", messages(4));
    const chain = queue.stats().uplinks[0]?.chain;
    const again = await without(folder, "b", "uplinks");
    await again.append("events", [message("5")]);
    const entries = await readMany(again, "up", "events", 5);
    expect(entries.map(textOf)).toEqual(["1", "2", "3", "4", "5"]);
    expect(entries.every((entry) => entry.chain !== chain)).toBe(true);
    expect(entries.at(-1)?.prev).toBe(0);
  });

  it("its counter never gives a seq again", async () => {
    const { folder, queue } = await running();
    await queue.append("events", messages(4));
    const again = await without(folder, "c", "seq");
    await again.append("events", [message("5")]);
    const entries = await readMany(again, "up", "events", 5);
    expect(entries.at(-1)?.seq).toBeGreaterThan(1_000_000);
    expect(again.gaps("up")).toMatchObject([{ from: 5, reason: "power-loss", exact: false }]);
  });

  it("its identity finds it in a segment", async () => {
    const { folder, queue } = await running();
    await queue.append("events", messages(4));
    const { epoch } = queue.stats().streams.events;
    const again = await without(folder, "d", "store.json");
    const entries = await readMany(again, "up", "events", 4);
    expect(entries.map((entry) => entry.epoch)).toEqual([epoch, epoch, epoch, epoch]);
  });

  it("everything begins a new epoch", async () => {
    const { folder, queue } = await running();
    await queue.append("events", messages(4));
    const { epoch } = queue.stats().streams.events;
    await queue.close();
    const bare = join(folder, "bare");
    await mkdir(join(bare, "state"), { recursive: true });
    await cp(join(folder, "data", "state", "store.json"), join(bare, "state", "store.json"));
    const again = await startedQueue(bare);
    expect(again.stats().streams.events).toMatchObject({ nextSeq: 1 });
    expect(again.stats().streams.events.epoch).not.toBe(epoch);
  });
});

describe("the data folder", () => {
  it("belongs to one process", async () => {
    const { folder } = await running();
    const other = levelQueue(join(folder, "data"));
    await expect(other.start()).rejects.toThrow(ConfigError);
    await expect(other.start()).rejects.toThrow(/another process uses the data folder .*data/);
  });

  it("of a newer version is refused, and not touched", async () => {
    const folder = await testFolder();
    await mkdir(join(folder, "state"));
    const store = JSON.stringify({ format: 2, store: "ff", epoch: 1 });
    await writeFile(join(folder, "state", "store.json"), store);
    await expect(levelQueue(folder).start()).rejects.toThrow(/newer version/);
    expect(await readdir(folder, { recursive: true })).toEqual(["state", join("state", "store.json")]);
    expect(await readFile(join(folder, "state", "store.json"), "utf8")).toBe(store);
  });

  it("that is a file is refused", async () => {
    const folder = await testFolder();
    await writeFile(join(folder, "data"), "");
    await expect(levelQueue(join(folder, "data")).start()).rejects.toThrow(ConfigError);
  });

  it("can be tried again after it was refused", async () => {
    const { folder, queue } = await running();
    const other = levelQueue(join(folder, "data"));
    await expect(other.start()).rejects.toThrow(ConfigError);
    await queue.close();
    await other.start();
    expect(other.stats().uplinks.map(({ name }) => name)).toEqual(["up"]);
  });

  it("of another machine begins a new epoch, and old records keep theirs", async () => {
    const { folder, queue } = await running();
    await queue.append("events", messages(2));
    await queue.close();
    const again = await startedQueue(join(folder, "data"), { machineId: "machine-2" });
    await again.open("up", reader());
    await again.append("events", [message("3")]);
    const entries = await readMany(again, "up", "events", 3);
    expect(entries.map(textOf)).toEqual(["1", "2", "3"]);
    expect(entries[1]?.epoch).toBe(entries[0]?.epoch);
    expect(entries[2]?.epoch).not.toBe(entries[0]?.epoch);
    expect(entries[2]).toMatchObject({ prev: 0 });
    await again.close();
    const third = await startedQueue(join(folder, "data"), { machineId: "machine-2" });
    expect(third.stats().streams.events.epoch).toBe(entries[2]?.epoch);
  });
});
