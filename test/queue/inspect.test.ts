import { chownSync, mkdtempSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { userInfo } from "node:os";
import { dirname, join } from "node:path";
import { ClassicLevel } from "classic-level";
import { describe, expect, it } from "vitest";
import type { Damage, Inspector, RecordQuery, StoredEntry } from "../../gateway/core/inspect.ts";
import { exportLines } from "../../gateway/core/inspect.ts";
import { lockHolder, resetQueue, restoreQueue, StoppedInspector, writeBackup } from "../../gateway/queue/inspect.ts";
import type { LevelQueue } from "../../gateway/queue/level-queue.ts";
import { messages, reader, readMany, seqsOf, startedQueue, testFolder, textOf, want } from "./support.ts";

const never = new AbortController().signal;

async function found(inspector: Inspector, query: RecordQuery = {}, signal = never) {
  const entries: StoredEntry[] = [];
  const damage: Damage[] = [];
  for await (const chunk of inspector.records(query, signal)) {
    for (const item of chunk) {
      if (item.kind === "record") entries.push(item.entry);
      else damage.push(item.damage);
    }
  }
  return { entries, damage, seqs: entries.map(({ seq }) => seq) };
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}

function stopped(dataDir: string, configured: readonly string[] = []): Promise<StoppedInspector> {
  return StoppedInspector.open({ dataDir, configured, maxBytes: 0 });
}

/** 1,000 records over several segments; "cloud" has acknowledged the first 300, and "old" nothing. */
async function filled(dataDir: string): Promise<LevelQueue> {
  const queue = await startedQueue(dataDir);
  await queue.open("cloud", reader());
  await queue.open("old", reader(["plant/a"]));
  for (let first = 1; first <= 1000; first += 50) await queue.append("telemetry", messages(50, first, "plant/a", 200));
  const entries = await readMany(queue, "cloud", "telemetry", 300);
  await queue.settle("cloud", "telemetry", seqsOf(entries));
  return queue;
}

/** Every file of the store with its size and time; the lock apart. */
function filesOf(dataDir: string): string[] {
  return readdirSync(dataDir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path) => `${path} ${statSync(path).size} ${statSync(path).mtimeMs}`)
    .sort();
}

function logsOf(dataDir: string, stream = "telemetry"): string[] {
  const folder = join(dataDir, "queue", stream);
  return readdirSync(folder)
    .sort()
    .flatMap((segment) =>
      readdirSync(join(folder, segment))
        .filter((name) => name.endsWith(".log"))
        .map((name) => join(folder, segment, name)),
    );
}

describe("a look into a running queue", () => {
  it("gives every record once, of sealed segments and of the one being written, and disturbs no reader", async () => {
    const queue = await filled(await testFolder());
    const all = await found(queue.inspector());
    expect(all.seqs).toEqual(range(1, 1000));
    expect(all.damage).toEqual([]);
    const next = await queue.read("cloud", want("telemetry", 5), never);
    expect(seqsOf(next)).toEqual([301, 302, 303, 304, 305]);
  });

  it("gives what an uplink is still owed, also what is in flight", async () => {
    const queue = await filled(await testFolder());
    await queue.read("cloud", want("telemetry", 100), never);
    expect((await found(queue.inspector(), { uplink: "cloud" })).seqs).toEqual(range(301, 1000));
    expect((await found(queue.inspector(), { uplink: "old" })).seqs).toEqual(range(1, 1000));
    expect(queue.inspector().count({ uplink: "cloud" })).toBe(700);
  });

  it("takes a range, a limit and a stream", async () => {
    const queue = await filled(await testFolder());
    await queue.append("events", messages(3));
    const look = queue.inspector();
    expect((await found(look, { stream: "telemetry", from: 990, to: 995 })).seqs).toEqual(range(990, 995));
    expect((await found(look, { stream: "events" })).seqs).toEqual([1, 2, 3]);
    expect((await found(look, { limit: 4 })).entries.map(({ stream }) => stream)).toEqual([
      "events",
      "events",
      "events",
      "telemetry",
    ]);
  });

  it("leaves out what an uplink does not select", async () => {
    const queue = await startedQueue(await testFolder());
    await queue.open("cloud", reader(["plant/a"]));
    await queue.append("telemetry", [...messages(2, 1, "plant/b"), ...messages(2, 3, "plant/a")]);
    expect((await found(queue.inspector(), { uplink: "cloud" })).seqs).toEqual([3, 4]);
  });

  it("knows no other uplinks", async () => {
    const queue = await filled(await testFolder());
    expect(() => queue.inspector().count({ uplink: "clod" })).toThrow(/no uplink "clod": the queue knows cloud, old/);
  });

  it("skips a segment that was delivered and removed while it looked", async () => {
    const queue = await startedQueue(await testFolder());
    await queue.open("cloud", reader());
    for (let first = 1; first <= 2000; first += 50)
      await queue.append("telemetry", messages(50, first, "plant/a", 200));
    const look = queue.inspector().records({}, never)[Symbol.asyncIterator]();
    await look.next();
    await queue.settle("cloud", "telemetry", seqsOf(await readMany(queue, "cloud", "telemetry", 2000)));
    await expect.poll(() => queue.stats().streams.telemetry.segments).toBe(1);
    for (let chunk = await look.next(); !chunk.done; chunk = await look.next()) {
      expect(chunk.value.filter(({ kind }) => kind === "damage")).toEqual([]);
    }
  });

  it("rejects with the signal's reason", async () => {
    const queue = await filled(await testFolder());
    await expect(found(queue.inspector(), {}, AbortSignal.abort(new Error("enough")))).rejects.toThrow("enough");
  });

  it("rejects once the queue is closed", async () => {
    const queue = await filled(await testFolder());
    await queue.close();
    expect(() => queue.inspector()).toThrow(/closed/);
  });
});

describe("a look into a stopped queue", () => {
  it("says the same as the running one did, and changes nothing", async () => {
    const dataDir = await testFolder();
    const queue = await filled(dataDir);
    const before = queue.stats();
    await queue.close();
    const files = filesOf(dataDir);
    const look = await stopped(dataDir, ["cloud"]);
    const stats = await look.stats();
    expect(stats.uplinks.map(({ name, configured }) => [name, configured])).toEqual([
      ["cloud", true],
      ["old", false],
    ]);
    for (const [index, uplink] of stats.uplinks.entries()) {
      expect(uplink.streams).toEqual(before.uplinks[index]?.streams);
    }
    expect(stats).toMatchObject({ running: false, unclean: false });
    expect(stats.streams.telemetry.nextSeq).toBe(1001);
    expect((await found(look)).seqs).toEqual(range(1, 1000));
    expect((await found(look, { uplink: "cloud" })).seqs).toEqual(range(301, 1000));
    expect(filesOf(dataDir)).toEqual(files);
  });

  it("reads segments of version 0.1.0, which hold LevelDB's tables, without changing them", async () => {
    const dataDir = await testFolder();
    await (await filled(dataDir)).close();
    const folder = dirname(logsOf(dataDir)[0] ?? "");
    const level = new ClassicLevel(folder, { createIfMissing: false });
    await level.open();
    await level.close();
    expect(readdirSync(folder).some((name) => name.endsWith(".ldb"))).toBe(true);
    const files = filesOf(dataDir);
    expect((await found(await stopped(dataDir))).seqs).toEqual(range(1, 1000));
    expect(filesOf(dataDir)).toEqual(files);
    expect(readdirSync(join(dataDir, "queue", "trash"))).toEqual([]);
  });

  it("tells damage and gives the rest", async () => {
    const dataDir = await testFolder();
    await (await filled(dataDir)).close();
    const log = logsOf(dataDir)[1] ?? "";
    const bytes = readFileSync(log);
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 0x40;
    writeFileSync(log, bytes);
    const { seqs, damage } = await found(await stopped(dataDir));
    expect(damage.length).toBeGreaterThan(0);
    const lost = damage.flatMap(({ from, to }) => range(from, to));
    expect([...seqs, ...lost].sort((a, b) => a - b)).toEqual(range(1, 1000));
    expect(lost.length).toBeLessThan(250);
  });

  it("tells what an uplink is owed and is on no disk", async () => {
    const dataDir = await testFolder();
    await (await filled(dataDir)).close();
    const [, second] = readdirSync(join(dataDir, "queue", "telemetry")).sort();
    await rm(join(dataDir, "queue", "telemetry", second ?? ""), { recursive: true });
    const { seqs, damage } = await found(await stopped(dataDir), { uplink: "old" });
    expect(damage).toHaveLength(1);
    expect(damage[0]?.reason).toBe("not on disk");
    expect([...seqs, ...range(damage[0]?.from ?? 0, damage[0]?.to ?? 0)].sort((a, b) => a - b)).toEqual(range(1, 1000));
  });

  it("refuses a folder without a queue", async () => {
    await expect(stopped(await testFolder())).rejects.toThrow(/no queue in/);
  });

  it("owes everything where the cursor was lost", async () => {
    const dataDir = await testFolder();
    await (await filled(dataDir)).close();
    await rm(join(dataDir, "state", "cursor-cloud"));
    expect((await found(await stopped(dataDir), { uplink: "cloud" })).seqs).toEqual(range(1, 1000));
  });
});

describe("the lock", () => {
  it("names the process that has the folder, and nobody afterwards", async () => {
    const dataDir = await testFolder();
    const queue = await filled(dataDir);
    expect(await lockHolder(dataDir)).toBe(process.pid);
    await queue.close();
    expect(await lockHolder(dataDir)).toBeUndefined();
    expect(await lockHolder("/nowhere")).toBeUndefined();
  });
});

describe("forget", () => {
  it("frees what an uplink held that nobody has opened, while the gateway runs", async () => {
    const dataDir = await testFolder();
    await (await filled(dataDir)).close();
    const queue = await startedQueue(dataDir);
    await queue.open("cloud", reader());
    await queue.settle("cloud", "telemetry", seqsOf(await readMany(queue, "cloud", "telemetry", 700)));
    await queue.append("telemetry", messages(1, 1001));
    expect(queue.stats().bytes).toBeGreaterThan(200_000);
    const done = await queue.inspector().forget("old", false);
    expect(done).toMatchObject({ uplink: "old", records: 1000, told: false });
    await expect.poll(() => queue.stats().bytes).toBeLessThan(100_000);
    expect(queue.stats().uplinks.map(({ name }) => name)).toEqual(["cloud"]);
    expect(readdirSync(join(dataDir, "state"))).not.toContain("cursor-old");
    await queue.close();
    expect((await (await stopped(dataDir)).stats()).uplinks.map(({ name }) => name)).toEqual(["cloud"]);
  });

  it("refuses an uplink that is open; with the option its backlog becomes a gap", async () => {
    const queue = await filled(await testFolder());
    await expect(queue.inspector().forget("cloud", false)).rejects.toThrow(/is in the configuration/);
    const [inFlight] = await queue.read("cloud", want("telemetry", 1), never);
    const done = await queue.inspector().forget("cloud", true);
    expect(done).toMatchObject({ records: 700, told: true });
    expect(queue.gaps("cloud")).toMatchObject([{ from: 302, to: 1000, count: 699, reason: "dropped", exact: true }]);
    expect(queue.stats().uplinks.find(({ name }) => name === "cloud")).toMatchObject({ lost: 699 });
    await queue.settle("cloud", "telemetry", [inFlight?.seq ?? 0]);
    await queue.append("telemetry", messages(1, 1001));
    expect(seqsOf(await queue.read("cloud", want("telemetry"), never))).toEqual([1001]);
  });

  it("does the same in a stopped queue", async () => {
    const dataDir = await testFolder();
    await (await filled(dataDir)).close();
    await expect((await stopped(dataDir, ["cloud"])).forget("cloud", false)).rejects.toThrow(/is in the configuration/);
    expect(await (await stopped(dataDir, ["cloud"])).forget("cloud", true)).toMatchObject({ records: 700, told: true });
    expect(await (await stopped(dataDir, ["cloud"])).forget("old", false)).toMatchObject({
      records: 1000,
      told: false,
    });
    const queue = await startedQueue(dataDir);
    await queue.open("cloud", reader());
    expect(queue.gaps("cloud")).toMatchObject([{ from: 301, to: 1000, count: 700, reason: "dropped", exact: true }]);
    await queue.append("telemetry", messages(1, 1001));
    expect(seqsOf(await queue.read("cloud", want("telemetry"), never))).toEqual([1001]);
    await expect.poll(() => queue.stats().streams.telemetry.segments).toBe(1);
  });

  it.runIf(userInfo().uid === 0)("makes no file in a folder of another user, also not as root", async () => {
    const dataDir = await testFolder();
    await (await filled(dataDir)).close();
    chownSync(dataDir, 65_534, 65_534);
    const files = filesOf(dataDir);
    await expect((await stopped(dataDir)).forget("old", false)).rejects.toThrow(/sudo -u '#65534' millrace queue/);
    await expect(resetQueue(dataDir)).rejects.toThrow(/run it as its owner/);
    expect((await found(await stopped(dataDir))).seqs).toEqual(range(1, 1000));
    expect(filesOf(dataDir)).toEqual(files);
  });

  it("does not touch a store that a gateway has open", async () => {
    const dataDir = await testFolder();
    await filled(dataDir);
    await expect((await stopped(dataDir)).forget("old", false)).rejects.toThrow(/another process uses/);
  });
});

describe("backup and restore", () => {
  const options = { replace: false, onProgress: () => {}, signal: never };

  async function backedUp(queue: LevelQueue): Promise<string> {
    const dir = join(await testFolder(), "backup");
    const snapshot = await queue.inspector().snapshot();
    await writeBackup(snapshot, dir, () => {}, never);
    await snapshot.close();
    return dir;
  }

  it("takes all that was accepted while records come in, and delivers it in a new epoch of another folder", async () => {
    const queue = await filled(await testFolder());
    const epoch = queue.stats().streams.telemetry.epoch;
    let appended = 1000;
    const stop = new AbortController();
    const load = (async () => {
      while (!stop.signal.aborted) {
        await queue.append("telemetry", messages(10, appended + 1));
        appended += 10;
      }
    })();
    const accepted = appended;
    const dir = await backedUp(queue);
    stop.abort();
    await load;
    await queue.close();

    const dataDir = await testFolder();
    const { manifest } = await restoreQueue(dataDir, dir, options);
    expect(manifest.streams.telemetry.records).toBeGreaterThanOrEqual(accepted);
    const again = await startedQueue(dataDir);
    await again.open("cloud", reader());
    expect(again.stats().streams.telemetry.epoch).not.toBe(epoch);
    await again.append("telemetry", messages(1, 9999));
    const last = manifest.streams.telemetry.to;
    const entries = await readMany(again, "cloud", "telemetry", last - 300 + 1);
    expect(entries.map(textOf)).toEqual([...range(301, last).map(String), "9999"]);
    expect(new Set(entries.slice(0, -1).map((entry) => entry.epoch))).toEqual(new Set([epoch]));
    expect(entries.at(-1)).toMatchObject({ seq: last + 1, prev: 0, epoch: again.stats().streams.telemetry.epoch });
    expect(again.gaps("cloud")).toEqual([]);
  });

  it("leaves nothing of the snapshot behind", async () => {
    const dataDir = await testFolder();
    const queue = await filled(dataDir);
    await backedUp(queue);
    expect(readdirSync(join(dataDir, "queue", "trash"))).toEqual([]);
  });

  it("refuses a folder that is not empty, and leaves nothing when it is stopped", async () => {
    const queue = await filled(await testFolder());
    const snapshot = await queue.inspector().snapshot();
    const dir = mkdtempSync(join(await testFolder(), "backup-"));
    await expect(writeBackup(snapshot, dir, () => {}, AbortSignal.abort(new Error("enough")))).rejects.toThrow(
      "enough",
    );
    expect(readdirSync(dir)).toEqual([]);
    writeFileSync(join(dir, "mine"), "");
    await expect(writeBackup(snapshot, dir, () => {}, never)).rejects.toThrow(/is not empty/);
    expect(readdirSync(dir)).toEqual(["mine"]);
  });

  it("refuses a backup that is damaged or not whole, and changes nothing", async () => {
    const dataDir = await testFolder();
    const queue = await filled(dataDir);
    const dir = await backedUp(queue);
    await queue.close();
    const files = filesOf(dataDir).filter((line) => !line.includes("/lock/"));
    const log = logsOf(dir)[0] ?? "";
    // The link shares its bytes with the queue: damage another file in its place.
    const bytes = readFileSync(log);
    bytes[100] = (bytes[100] ?? 0) ^ 1;
    await rename(log, `${log}.moved`);
    writeFileSync(log, bytes);
    await expect(restoreQueue(dataDir, dir, { ...options, replace: true })).rejects.toThrow(/fails its checksum/);
    await rm(log);
    await expect(restoreQueue(dataDir, dir, { ...options, replace: true })).rejects.toThrow(/is missing/);
    await rm(join(dir, "manifest.json"));
    await expect(restoreQueue(dataDir, dir, { ...options, replace: true })).rejects.toThrow(/not finished/);
    expect(filesOf(dataDir).filter((line) => !line.includes("/lock/"))).toEqual(files);
  });

  it("refuses to replace records that are owed, unless told", async () => {
    const dataDir = await testFolder();
    const queue = await filled(dataDir);
    const dir = await backedUp(queue);
    await queue.append("telemetry", messages(5, 1001));
    await queue.close();
    await expect(restoreQueue(dataDir, dir, options)).rejects.toThrow(/still owes records \(cloud 705, old 1,005\)/);
    await restoreQueue(dataDir, dir, { ...options, replace: true });
    expect((await found(await stopped(dataDir))).seqs).toEqual(range(1, 1000));
  });

  it("takes a manifest that leads out of its folder for none", async () => {
    const queue = await filled(await testFolder());
    const dir = await backedUp(queue);
    const text = readFileSync(join(dir, "manifest.json"), "utf8");
    writeFileSync(join(dir, "manifest.json"), text.replace("state/store.json", "state/../../store.json"));
    await expect(restoreQueue(await testFolder(), dir, options)).rejects.toThrow(/not what it should be/);
  });

  it("resets to a new epoch and an empty queue, and keeps the clock", async () => {
    const dataDir = await testFolder();
    const queue = await filled(dataDir);
    const { epoch } = queue.stats().streams.telemetry;
    await expect(resetQueue(dataDir)).rejects.toThrow(/another process uses/);
    await queue.close();
    const { owed } = await resetQueue(dataDir);
    expect(owed).toEqual([
      { name: "cloud", owed: 700 },
      { name: "old", owed: 1000 },
    ]);
    expect(readdirSync(join(dataDir, "state")).sort()).toEqual(["boots", "lock"]);
    const again = await startedQueue(dataDir);
    expect(again.stats()).toMatchObject({ bytes: 0, uplinks: [] });
    expect(again.stats().streams.telemetry.epoch).not.toBe(epoch);
    expect(again.stats().streams.telemetry.nextSeq).toBe(1);
  });
});

describe("an export", () => {
  it("begins with the total and ends with what it was", async () => {
    const queue = await filled(await testFolder());
    let text = "";
    for await (const part of exportLines(
      queue.inspector(),
      { uplink: "cloud" },
      ({ seq }) => `{"seq":${seq}}`,
      never,
    )) {
      text += part;
    }
    const lines = text.trim().split("\n");
    expect(lines[0]).toBe('{"total":700}');
    expect(lines.slice(1, -1)).toEqual(range(301, 1000).map((seq) => `{"seq":${seq}}`));
    expect(lines.at(-1)).toBe('{"end":{"records":700,"damaged":0}}');
  });
});
