import { describe, expect, it, vi } from "vitest";
import { LevelSegments } from "../../gateway/queue/level-segments.ts";
import { FaultyStore } from "./faulty-store.ts";
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

async function watched(options: NonNullable<QueueChanges["options"]>) {
  const engine = new FaultyStore(new LevelSegments(64 * 1024));
  const queue = await startedQueue(await testFolder(), { engine, options });
  await queue.open("up", reader());
  return { engine, queue };
}

describe("a commit", () => {
  it("of events is always fsynced", async () => {
    const { engine, queue } = await watched({ sync: 60_000 });
    await queue.append("events", [message("1")]);
    expect(engine.log).toEqual(["records sync"]);
  });

  it("of telemetry is written at once, and fsynced within the time given", async () => {
    const { engine, queue } = await watched({ sync: 30 });
    await queue.append("telemetry", [message("1")]);
    await queue.append("telemetry", [message("2")]);
    expect(engine.log.slice(0, 2)).toEqual(["records", "records"]);
    await vi.waitFor(() => expect(engine.log).toEqual(["records", "records", "S sync"]));
  });

  it("of a durable record is fsynced before it is promised, and takes with it what waits", async () => {
    const { engine, queue } = await watched({ sync: 60_000 });
    await queue.append("telemetry", [message("1")]);
    await queue.append("telemetry", [message("2", "plant/a", { durable: true })]);
    expect(engine.log).toEqual(["records", "records sync"]);
    await queue.close();
    // There was nothing left to sync.
    expect(engine.log).toEqual(["records", "records sync"]);
  });

  it("of everything is fsynced where that is asked for", async () => {
    const { engine, queue } = await watched({ sync: "always" });
    await queue.append("telemetry", [message("1")]);
    expect(engine.log).toEqual(["records sync"]);
  });

  it("is fsynced when the queue is closed, and before a segment is sealed", async () => {
    const { engine, queue } = await watched({ sync: 60_000 });
    await queue.append("telemetry", [message("1")]);
    await queue.append("telemetry", messages(10, 2, "plant/a", 7000));
    await queue.append("telemetry", [message("12")]);
    expect(engine.log).toEqual(["records", "records", "S sync", "records"]);
    await queue.close();
    expect(engine.log).toEqual(["records", "records", "S sync", "records", "S sync"]);
  });

  it("is shared by what came while the last one was under way", async () => {
    const { engine, queue } = await watched({});
    await Promise.all(messages(500).map((record) => queue.append("events", [record])));
    expect(engine.log.length).toBeLessThan(10);
    expect((await readMany(queue, "up", "events", 500)).map(textOf)).toEqual(messages(500).map((_, i) => `${i + 1}`));
  });

  it("of more than is reserved, or than fits into one segment, is taken as a whole", async () => {
    const { queue } = await watched({});
    await queue.append("telemetry", messages(25_000));
    await queue.append("telemetry", messages(1, 25_001));
    const entries = await readMany(queue, "up", "telemetry", 25_001);
    expect(seqsOf(entries).at(-1)).toBe(25_001);
    expect(entries.every((entry) => textOf(entry) === `${entry.seq}`)).toBe(true);
  });

  it("that cannot be stored is refused alone", async () => {
    const { queue } = await watched({});
    const source = { link: "l", device: "d", group: "g", topic: "t", tags: [] };
    const samples = [{ tag: "nothing", quality: "good" as const, value: 1, offsetMs: 0 }];
    const bad = { ...message("x"), content: { kind: "samples" as const, source, samples } };
    await expect(queue.append("events", [message("1"), bad])).rejects.toThrow(RangeError);
    await queue.append("events", [message("2")]);
    expect((await readMany(queue, "up", "events", 1)).map(({ seq, prev }) => [seq, prev])).toEqual([[1, 0]]);
  });
});

it("an uplink that is opened in the midst of appends is owed each record once, on a chain that closes", async () => {
  const { queue } = await watched({});
  const appending = (async () => {
    for (let n = 1; n <= 400; n += 4) await queue.append("telemetry", messages(4, n));
  })();
  const burst = Promise.all(messages(400).map((record) => queue.append("telemetry", [record])));
  for (let n = 1; n <= 5; n++) await queue.open(`late-${n}`, reader());
  await Promise.all([appending, burst]);
  for (let n = 1; n <= 5; n++) {
    const entries = await readMany(queue, `late-${n}`, "telemetry", 800);
    expect(seqsOf(entries)).toEqual(Array.from({ length: 800 }, (_, i) => i + 1));
    const own = entries.filter(({ chain }) => !chain.endsWith("-h"));
    expect(own[0]?.prev ?? 0).toBe(0);
    for (const [index, { prev }] of own.entries()) if (index > 0) expect(prev).toBe(own[index - 1]?.seq);
  }
});
