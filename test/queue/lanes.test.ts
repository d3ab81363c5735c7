import { cp, rm } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Entry, Gap, NewRecord } from "../../gateway/core/record.ts";
import type { LevelQueue } from "../../gateway/queue/level-queue.ts";
import { LevelSegments } from "../../gateway/queue/level-segments.ts";
import type { SegmentStore } from "../../gateway/queue/segment-store.ts";
import { message, messages, reader, seqsOf, startedQueue, testFolder, textOf } from "./support.ts";

type Two = "live" | "backfill";

function read(queue: LevelQueue, lane: Two, maxRecords = 1000): Promise<Entry[]> {
  const want = { stream: "telemetry", lane, maxRecords, maxBytes: 2 ** 20 } as const;
  return queue.read("up", want, AbortSignal.timeout(10_000));
}

async function readAll(queue: LevelQueue, lane: Two, count = Number.POSITIVE_INFINITY): Promise<Entry[]> {
  const all: Entry[] = [];
  while (all.length < count) {
    const entries = await read(queue, lane, Math.min(1000, count - all.length));
    if (entries.length === 0) break;
    all.push(...entries);
  }
  return all;
}

const upTo = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, i) => first + i);

describe("two lanes over many segments", () => {
  it("go on where they stood after a restart, with what is owed and nothing else", async () => {
    const folder = await testFolder();
    const queue = await startedQueue(folder);
    await queue.open("up", reader());
    await queue.append("telemetry", messages(2000, 1, "plant/a", 200));
    const backfill = await readAll(queue, "backfill", 500);
    await queue.append("telemetry", messages(2000, 2001, "plant/a", 200));
    const live = await readAll(queue, "live", 1500);
    expect(seqsOf(backfill)).toEqual(upTo(1, 500));
    expect(seqsOf(live)).toEqual(upTo(2001, 3500));
    expect(live[0]?.prev).toBe(2000);
    await queue.settle("up", "telemetry", seqsOf(live));
    await queue.settle("up", "telemetry", seqsOf(backfill));
    const { segments } = queue.stats().streams.telemetry;
    await queue.close();

    const next = await startedQueue(folder);
    await next.open("up", reader());
    expect(next.stats().uplinks[0]?.streams.telemetry).toMatchObject({ depth: 2000, lastAcked: 500 });
    // The segments in the midst that owe nothing go once one is sealed.
    expect(next.stats().streams.telemetry.segments).toBeLessThanOrEqual(segments);
    expect(seqsOf(await readAll(next, "backfill"))).toEqual([...upTo(501, 2000), ...upTo(3501, 4000)]);
  });

  it("tells how deep the backfill is", async () => {
    const queue = await startedQueue(await testFolder());
    await queue.open("up", reader());
    await queue.append("telemetry", messages(600, 1, "plant/a", 300));
    const owed = () => queue.stats().uplinks[0]?.streams.telemetry;
    expect(owed()).not.toHaveProperty("backfill");
    const some = await readAll(queue, "backfill", 100);
    await queue.append("telemetry", messages(400, 601, "plant/a", 300));
    expect(owed()).toMatchObject({ depth: 1000, backfill: 600 });
    await queue.settle("up", "telemetry", seqsOf(some));
    const live = await readAll(queue, "live", 300);
    await queue.settle("up", "telemetry", seqsOf(live));
    expect(owed()).toMatchObject({ depth: 600, backfill: 500 });
  });

  it("drops the segment where they meet without losing count of either", async () => {
    const queue = await startedQueue(await testFolder(), { options: { maxBytes: 512 * 1024, segment: 64 * 1024 } });
    await queue.open("up", reader());
    await queue.append("telemetry", messages(100, 1, "plant/a", 300));
    const backfill = await readAll(queue, "backfill", 10);
    await queue.append("telemetry", messages(20, 101, "plant/a", 300));
    const live = await readAll(queue, "live", 20);
    const gaps: Gap[] = [];
    for (let made = 120; gaps.length === 0; made += 50) {
      await queue.append("telemetry", messages(50, made + 1, "plant/a", 300));
      gaps.push(...queue.gaps("up"));
    }
    // The first segment went with records of both lanes in flight: 11 to 100 and what of it came after 120 are told.
    const [gap] = gaps;
    expect(gap).toMatchObject({ from: 11, prev: 10, reason: "dropped", exact: true });
    expect(gap?.count).toBe((gap?.to ?? 0) - 10 - live.length);
    await queue.settle("up", "telemetry", seqsOf(backfill));
    await queue.settle("up", "telemetry", seqsOf(live));
    queue.rewind("up");
    const { nextSeq } = queue.stats().streams.telemetry;
    const rest = seqsOf(await readAll(queue, "backfill"));
    const told = queue.gaps("up").reduce((sum, { count }) => sum + count, 0);
    expect(told + rest.length + backfill.length + live.length).toBe(nextSeq - 1);
  });
});

describe("a record that cannot be read where the lanes meet", () => {
  /** An engine in which these records are gone. */
  function without(...seqs: readonly number[]): SegmentStore {
    const engine = new LevelSegments(64 * 1024);
    return {
      create: async (folder, header) => {
        const open = await engine.create(folder, header);
        const { read } = open;
        open.read = async (...args) => (await read.apply(open, args)).filter(({ seq }) => !seqs.includes(seq));
        return open;
      },
      open: (folder, base) => engine.open(folder, base),
      header: (folder) => engine.header(folder),
    };
  }

  it.each([
    { lane: "live", lost: 101, prev: 100 },
    { lane: "backfill", lost: 100, prev: 99 },
  ])("is a gap of its own in the lane $lane, after the record before it", async ({ lost, prev }) => {
    const queue = await startedQueue(await testFolder(), { engine: without(lost) });
    await queue.open("up", reader());
    await queue.append("telemetry", messages(100));
    const backfill = await readAll(queue, "backfill", 50);
    await queue.append("telemetry", messages(20, 101));
    const live = await readAll(queue, "live", lost === 101 ? 19 : 20);
    backfill.push(...(await readAll(queue, "backfill")));
    expect([...seqsOf(backfill), ...seqsOf(live)]).toEqual(upTo(1, 120).filter((seq) => seq !== lost));
    expect(queue.gaps("up")).toMatchObject([{ from: lost, to: lost, prev, count: 1, reason: "damaged", exact: true }]);
  });

  it("is none where the last records before it are of others", async () => {
    const queue = await startedQueue(await testFolder(), { engine: without(99, 100) });
    await queue.open("up", reader(["plant/#"]));
    await queue.append("telemetry", [...messages(98), ...messages(2, 99, "office/b")]);
    const some = await readAll(queue, "backfill", 50);
    await queue.append("telemetry", messages(20, 101));
    some.push(...(await readAll(queue, "backfill")));
    const live = await readAll(queue, "live", 20);
    expect([...seqsOf(some), ...seqsOf(live)]).toEqual([...upTo(1, 98), ...upTo(101, 120)]);
    expect(live[0]?.prev).toBe(98);
    expect(queue.gaps("up")).toEqual([]);
  });
});

type Step =
  | { kind: "append"; topics: readonly string[]; large: boolean }
  | { kind: "read"; lane: Two; most: number }
  | { kind: "settle" | "reject"; pick: number }
  | { kind: "rewind" | "kill" | "stop" };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("append"),
      topics: fc.array(fc.constantFrom("plant/a", "office/b"), { minLength: 1, maxLength: 12 }),
      large: fc.boolean(),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("read"),
      lane: fc.constantFrom<Two>("live", "backfill"),
      most: fc.integer({ min: 1, max: 20 }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("settle"), pick: fc.integer({ min: 1, max: 7 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("reject"), pick: fc.integer({ min: 1, max: 7 }) }) },
  { weight: 2, arbitrary: fc.constantFrom<Step>({ kind: "rewind" }, { kind: "kill" }, { kind: "stop" }) },
);

/** One uplink that reads one stream in lanes, beside the simplest thing that does the same. */
class Run {
  readonly #folder: string;
  #generation = 0;
  #open: LevelQueue | undefined;
  #made = 0;
  #head = 0;
  #rejected = 0;
  #meet: number | undefined;
  readonly #owed = new Map<number, { text: string; prev: number }>();
  readonly #out = new Set<number>();
  readonly #at = { live: 0, backfill: 0 };

  constructor(folder: string) {
    this.#folder = folder;
  }

  get #queue(): LevelQueue {
    return this.#open ?? expect.fail("not open");
  }
  get #nextSeq(): number {
    return this.#queue.stats().streams.telemetry.nextSeq;
  }

  async start(): Promise<void> {
    this.#open = await startedQueue(join(this.#folder, `${this.#generation}`));
    await this.#queue.open("up", reader(["plant/#"]));
    this.#rewound();
  }

  async step(of: Step): Promise<void> {
    if (of.kind === "append") await this.#append(of.topics, of.large);
    else if (of.kind === "read") await this.read(of.lane, of.most);
    else if (of.kind === "settle" || of.kind === "reject") await this.#verdict(of.kind, of.pick);
    else if (of.kind === "rewind") {
      this.#queue.rewind("up");
      this.#rewound();
    } else await this.#restart(of.kind);
    expect(this.#queue.stats().uplinks[0]?.streams.telemetry.depth).toBe(this.#owed.size);
    const gaps = this.#queue.gaps("up").filter(({ reason }) => reason !== "power-loss");
    expect(gaps.reduce((sum, { count }) => sum + count, 0)).toBe(this.#rejected);
  }

  async #append(topics: readonly string[], large: boolean): Promise<void> {
    let seq = this.#nextSeq;
    const records = topics.map((topic): NewRecord => {
      const text = `${++this.#made}`;
      if (topic === "plant/a") {
        this.#owed.set(seq, { text, prev: this.#head });
        this.#head = seq;
      }
      seq++;
      return message(text + " ".repeat(large ? 6000 : 0), topic);
    });
    await this.#queue.append("telemetry", records);
  }

  async read(lane: Two, most: number): Promise<void> {
    const meet = this.#meet ?? this.#nextSeq;
    const inLane = (seq: number) => (lane === "live" ? seq >= meet : seq < meet);
    const due = [...this.#owed].filter(([seq]) => inLane(seq) && seq > this.#at[lane]);
    if (due.length === 0 && lane === "live") return;
    this.#meet = meet;
    const entries = await read(this.#queue, lane, most);
    const expected = due.slice(0, entries.length).map(([seq, { text, prev }]) => ({ seq, text, prev }));
    expect(entries.map((entry) => ({ seq: entry.seq, text: textOf(entry), prev: entry.prev }))).toEqual(expected);
    expect(entries.length).toBeLessThanOrEqual(most);
    if (due.length > 0) expect(entries.length).toBeGreaterThan(0);
    for (const { seq } of entries) this.#out.add(seq);
    this.#at[lane] = entries.at(-1)?.seq ?? this.#at[lane];
  }

  async #verdict(kind: "settle" | "reject", pick: number): Promise<void> {
    const seqs = [...this.#out].filter((seq) => (seq * 7) % 8 <= pick).reverse();
    for (const seq of seqs) {
      this.#out.delete(seq);
      this.#owed.delete(seq);
    }
    if (kind === "settle") return await this.#queue.settle("up", "telemetry", seqs);
    this.#rejected += seqs.length;
    await this.#queue.reject("up", "telemetry", seqs, "no");
  }

  #rewound(): void {
    this.#out.clear();
    this.#at.live = 0;
    this.#at.backfill = 0;
    this.#meet = undefined;
  }

  async #restart(how: "stop" | "kill"): Promise<void> {
    const before = this.#nextSeq;
    const [from, to] = [`${this.#generation}`, `${++this.#generation}`].map((name) => join(this.#folder, name));
    if (how === "stop") await this.#queue.close();
    await cp(from ?? "", to ?? "", { recursive: true });
    await this.#queue.close();
    await rm(from ?? "", { recursive: true });
    await this.start();
    if (this.#nextSeq > before) this.#head = this.#nextSeq - 1;
  }

  /** Everything that is owed comes, and nothing else. */
  async drain(): Promise<void> {
    await this.step({ kind: "rewind" });
    while (this.#owed.size > this.#out.size) await this.read("backfill", 50);
    await this.step({ kind: "settle", pick: 7 });
    expect(this.#owed.size).toBe(0);
    expect(await read(this.#queue, "backfill")).toEqual([]);
    await this.#queue.close();
  }
}

it("two lanes do what a list in memory would, whatever comes in whatever order", async () => {
  const folder = await testFolder();
  let run = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
      const at = new Run(join(folder, `${++run}`));
      await at.start();
      for (const of of steps) await at.step(of);
      await at.drain();
      await rm(join(folder, `${run}`), { recursive: true });
    }),
    { numRuns: 20 },
  );
});
