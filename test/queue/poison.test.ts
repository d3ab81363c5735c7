import { cp } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { StorageError } from "../../gateway/core/errors.ts";
import { LevelSegments } from "../../gateway/queue/level-segments.ts";
import { type Fault, FaultyStore } from "./faulty-store.ts";
import {
  message,
  messages,
  type QueueChanges,
  reader,
  readMany,
  seqsOf,
  startedQueue,
  testFolder,
  textOf,
} from "./support.ts";

async function faulty(changes: QueueChanges = {}) {
  const folder = await testFolder();
  const engine = new FaultyStore(new LevelSegments(64 * 1024));
  const queue = await startedQueue(join(folder, "data"), { engine, ...changes });
  await queue.open("up", reader());
  return { folder, engine, queue };
}

describe.each<Fault>(["lost", "written"])("a write that fails (%s)", (kind) => {
  it.each([1, 2, 3, 7])("at number %i costs nothing", async (at) => {
    const { folder, engine, queue } = await faulty();
    engine.fault = (write) => (write === at ? kind : undefined);
    for (let n = 1; n <= 10; n++) await queue.append("events", [message(`${n}`)]);
    expect(engine.faults).toBe(1);
    expect(engine.writtenAfterFault).toBe(0);
    const entries = await readMany(queue, "up", "events", 10);
    expect(entries.map(textOf)).toEqual(Array.from({ length: 10 }, (_, i) => `${i + 1}`));
    expect(entries.map(({ seq, prev }) => [seq, prev])).toEqual(Array.from({ length: 10 }, (_, i) => [i + 1, i]));
    expect(queue.gaps("up")).toEqual([]);
    expect(queue.stats().uplinks[0]?.streams.events.depth).toBe(10);
    // As a kill would leave it.
    await cp(join(folder, "data"), join(folder, "killed"), { recursive: true });
    const again = await startedQueue(join(folder, "killed"));
    await again.open("up", reader());
    expect((await readMany(again, "up", "events", 10)).map(textOf)).toEqual(entries.map(textOf));
  });

  it("writes telemetry again that was not fsynced yet", async () => {
    const { engine, queue } = await faulty({ options: { sync: 60_000 } });
    engine.fault = (write) => (write === 5 ? kind : undefined);
    for (let n = 1; n <= 8; n++) await queue.append("telemetry", [message(`${n}`)]);
    expect(queue.stats().streams.telemetry.segments).toBe(1);
    const entries = await readMany(queue, "up", "telemetry", 8);
    expect(entries.map(textOf)).toEqual(["1", "2", "3", "4", "5", "6", "7", "8"]);
    await queue.settle("up", "telemetry", seqsOf(entries));
    expect(queue.stats().uplinks[0]?.streams.telemetry.depth).toBe(0);
  });

  it("keeps what is on disk in the old segment and goes on in a new one", async () => {
    const { engine, queue } = await faulty();
    engine.fault = (write) => (write === 4 ? kind : undefined);
    for (let n = 1; n <= 6; n++) await queue.append("events", [message(`${n}`)]);
    expect(queue.stats().streams.events.segments).toBe(2);
    expect((await readMany(queue, "up", "events", 6)).map(textOf)).toEqual(["1", "2", "3", "4", "5", "6"]);
  });
});

describe("while the disk refuses", () => {
  it("callers wait, and get their answer when it takes writes again", async () => {
    const { engine, queue } = await faulty();
    await queue.append("events", [message("1")]);
    engine.fault = () => "lost";
    let resolved = 0;
    const calls = [2, 3, 4].map((n) => queue.append("events", [message(`${n}`)]).then(() => resolved++));
    await vi.waitFor(() => expect(engine.faults).toBeGreaterThan(2));
    expect(resolved).toBe(0);
    expect(queue.stats().healthy).toBe(false);
    engine.fault = () => undefined;
    await Promise.all(calls);
    expect(queue.stats().healthy).toBe(true);
    const entries = await readMany(queue, "up", "events", 4);
    expect(entries.map(({ seq, prev }) => [seq, prev])).toEqual([
      [1, 0],
      [2, 1],
      [3, 2],
      [4, 3],
    ]);
  });

  it("gives nothing to readers that is not written", async () => {
    const { engine, queue } = await faulty();
    engine.fault = (write) => (write >= 2 ? "written" : undefined);
    await queue.append("events", [message("1")]);
    const waiting = queue.append("events", [message("2")]);
    expect((await readMany(queue, "up", "events", 1)).map(textOf)).toEqual(["1"]);
    const early = readMany(queue, "up", "events", 1);
    let given = false;
    const watched = early.then(() => {
      given = true;
    });
    await vi.waitFor(() => expect(engine.faults).toBeGreaterThan(1));
    expect(given).toBe(false);
    engine.fault = () => undefined;
    await Promise.all([waiting, watched]);
    expect((await early).map(textOf)).toEqual(["2"]);
  });

  it("takes nothing that was read for lost when the connection goes meanwhile", async () => {
    const { engine, queue } = await faulty({ options: { sync: 60_000 } });
    await queue.append("telemetry", messages(3));
    await readMany(queue, "up", "telemetry", 3);
    engine.fault = () => "lost";
    const call = queue.append("telemetry", [message("4")]);
    await vi.waitFor(() => expect(engine.faults).toBeGreaterThan(1));
    queue.rewind("up");
    engine.fault = () => undefined;
    await call;
    expect((await readMany(queue, "up", "telemetry", 4)).map(textOf)).toEqual(["1", "2", "3", "4"]);
    expect(queue.gaps("up")).toEqual([]);
  });

  it("keeps what was not fsynced where it is, although nothing else there is owed any more", async () => {
    const { folder, engine, queue } = await faulty({ options: { sync: 60_000 } });
    await queue.append("telemetry", [
      { ...message("1"), durable: true },
      { ...message("2"), durable: true },
    ]);
    await queue.append("telemetry", [message("3")]);
    const entries = await readMany(queue, "up", "telemetry", 3);
    engine.fault = () => "lost";
    const call = queue.append("telemetry", [message("4")]);
    await vi.waitFor(() => expect(engine.faults).toBeGreaterThan(1));
    await queue.settle("up", "telemetry", seqsOf(entries).slice(0, 2));
    await vi.waitFor(() => expect(engine.faults).toBeGreaterThan(4));
    // As a kill would leave it.
    await cp(join(folder, "data"), join(folder, "killed"), { recursive: true });
    const again = await startedQueue(join(folder, "killed"));
    await again.open("up", reader());
    expect((await readMany(again, "up", "telemetry", 1)).map(textOf)).toEqual(["3"]);
    engine.fault = () => undefined;
    await call;
    await queue.settle("up", "telemetry", [3]);
    expect((await readMany(queue, "up", "telemetry", 1)).map(textOf)).toEqual(["4"]);
    expect(queue.gaps("up")).toEqual([]);
    // Now it is done with.
    await vi.waitFor(() => expect(queue.stats().streams.telemetry.segments).toBe(1));
  });

  it("takes only so much into memory", async () => {
    const { engine, queue } = await faulty();
    engine.fault = () => "lost";
    const payload = " ".repeat(1_000_000);
    const first = queue.append("events", [message(payload)]);
    await vi.waitFor(() => expect(queue.stats().healthy).toBe(false));
    let refused = 0;
    const calls = Array.from({ length: 6 }, () =>
      queue.append("events", [message(payload)]).catch((error: unknown) => {
        expect(error).toBeInstanceOf(StorageError);
        refused++;
      }),
    );
    await vi.waitFor(() => expect(refused).toBe(3));
    engine.fault = () => undefined;
    await Promise.all([first, ...calls]);
    expect(refused).toBe(3);
    expect((await readMany(queue, "up", "events", 4, 1)).map(({ seq }) => seq)).toEqual([1, 2, 3, 4]);
  });

  it("closes, and tells the callers that nothing was taken", async () => {
    const { folder, engine, queue } = await faulty();
    await queue.append("events", messages(3));
    engine.fault = () => "written";
    const call = queue.append("events", [message("4")]).catch((error: unknown) => error);
    await vi.waitFor(() => expect(engine.faults).toBeGreaterThan(0));
    await queue.close();
    expect(await call).toBeInstanceOf(StorageError);
    const again = await startedQueue(join(folder, "data"));
    await again.open("up", reader());
    await again.append("events", [message("5")]);
    const entries = await readMany(again, "up", "events", 4);
    // The fourth may be there, but its id is never used for another.
    expect(entries.map(textOf).slice(0, 3)).toEqual(["1", "2", "3"]);
    expect(entries.filter(({ seq }) => seq === 4).every((entry) => textOf(entry) === "4")).toBe(true);
    expect(again.gaps("up")).toMatchObject([{ reason: "power-loss", exact: false }]);
  });

  it("goes on where no segment can be made, until one can", async () => {
    const { engine, queue } = await faulty();
    engine.noCreate = true;
    const call = queue.append("events", [message("1")]);
    await vi.waitFor(() => expect(queue.stats().healthy).toBe(false));
    engine.noCreate = false;
    await call;
    expect((await readMany(queue, "up", "events", 1)).map(textOf)).toEqual(["1"]);
  });
});
