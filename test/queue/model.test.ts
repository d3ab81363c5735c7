import { cp, rm } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { expect, it } from "vitest";
import { STREAMS, type StreamName } from "../../gateway/core/record.ts";
import { selectorOf } from "../../gateway/core/selector.ts";
import type { LevelQueue } from "../../gateway/queue/level-queue.ts";
import { message, reader, startedQueue, testFolder, textOf, want } from "./support.ts";

/** What the queue should be, as simply as it can be said. */
interface ModelUplink {
  readonly name: string;
  readonly select: readonly string[];
  /** Selected, neither settled nor rejected. */
  readonly owed: Map<number, { text: string; prev: number }>;
  readonly inFlight: Set<number>;
  head: number;
  rejected: number;
}
type Model = Record<StreamName, Map<string, ModelUplink>>;

const UPLINKS = [
  { name: "all", select: ["#"] },
  { name: "some", select: ["plant/b"] },
];

type Step =
  | { kind: "append"; stream: StreamName; topics: readonly string[]; large: boolean }
  | { kind: "read"; stream: StreamName; uplink: string; most: number }
  | Verdict
  | { kind: "rewind"; uplink: string }
  | { kind: "stop" }
  | { kind: "kill" };
interface Verdict {
  kind: "settle" | "reject";
  stream: StreamName;
  uplink: string;
  pick: number;
}

const stream = fc.constantFrom(...STREAMS);
const uplink = fc.constantFrom(...UPLINKS.map(({ name }) => name));
const topics = fc.array(fc.constantFrom("plant/a", "plant/b"), { minLength: 1, maxLength: 12 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("append"), stream, topics, large: fc.boolean() }) },
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant("read"), stream, uplink, most: fc.integer({ min: 1, max: 20 }) }),
  },
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant("settle"), stream, uplink, pick: fc.integer({ min: 1, max: 7 }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("reject"), stream, uplink, pick: fc.integer({ min: 1, max: 7 }) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("rewind"), uplink }) },
  { weight: 1, arbitrary: fc.constantFrom<Step>({ kind: "stop" }, { kind: "kill" }) },
);

class Run {
  readonly #folder: string;
  #queue: LevelQueue | undefined;
  #generation = 0;
  #made = 0;
  readonly #model: Model;

  constructor(folder: string) {
    this.#folder = folder;
    const row = () =>
      new Map(
        UPLINKS.map((of) => [of.name, { ...of, owed: new Map(), inFlight: new Set<number>(), head: 0, rejected: 0 }]),
      );
    this.#model = { events: row(), telemetry: row() };
  }

  get #open(): LevelQueue {
    return this.#queue ?? expect.fail("not open");
  }
  #uplink(at: StreamName, name: string): ModelUplink {
    return this.#model[at].get(name) ?? expect.fail("no such uplink");
  }

  async start(): Promise<void> {
    const queue = await startedQueue(join(this.#folder, `${this.#generation}`));
    for (const { name, select } of UPLINKS) await queue.open(name, reader(select));
    this.#queue = queue;
  }

  async step(of: Step): Promise<void> {
    if (of.kind === "append") await this.#append(of.stream, of.topics, of.large);
    else if (of.kind === "read") await this.#read(of.stream, of.uplink, of.most);
    else if (of.kind === "rewind") this.#rewind(of.uplink);
    else if (of.kind === "stop" || of.kind === "kill") await this.#restart(of.kind);
    else await this.#verdict(of);
    this.#compare();
  }

  async #append(at: StreamName, topicsOf: readonly string[], large: boolean): Promise<void> {
    let seq = this.#open.stats().streams[at].nextSeq;
    const records = topicsOf.map((topic) => {
      const text = `${++this.#made}`;
      for (const of of this.#model[at].values()) {
        if (!selectorOf(of.select).matches(topic)) continue;
        of.owed.set(seq, { text, prev: of.head });
        of.head = seq;
      }
      seq++;
      return message(text + " ".repeat(large ? 6000 : 0), topic);
    });
    await this.#open.append(at, records);
    expect(this.#open.stats().streams[at].nextSeq).toBe(seq);
  }

  async #read(at: StreamName, name: string, most: number): Promise<void> {
    const model = this.#uplink(at, name);
    const last = Math.max(0, ...model.inFlight);
    const due = [...model.owed].filter(([seq]) => seq > last);
    if (due.length === 0) return;
    const entries = await this.#open.read(name, want(at, most), AbortSignal.timeout(5000));
    const expected = due.slice(0, entries.length).map(([seq, { text, prev }]) => ({ seq, text, prev }));
    expect(entries.map((entry) => ({ seq: entry.seq, text: textOf(entry), prev: entry.prev }))).toEqual(expected);
    expect(entries.length).toBeGreaterThan(0);
    expect(entries.length).toBeLessThanOrEqual(most);
    for (const { seq } of entries) model.inFlight.add(seq);
  }

  async #verdict(of: Verdict): Promise<void> {
    const model = this.#uplink(of.stream, of.uplink);
    const seqs = [...model.inFlight].filter((seq) => (seq * 7) % 8 <= of.pick).reverse();
    for (const seq of seqs) {
      model.inFlight.delete(seq);
      model.owed.delete(seq);
    }
    if (of.kind === "settle") await this.#open.settle(of.uplink, of.stream, seqs);
    else {
      model.rejected += seqs.length;
      await this.#open.reject(of.uplink, of.stream, seqs, "no");
    }
  }

  #rewind(name: string): void {
    this.#open.rewind(name);
    for (const at of STREAMS) this.#uplink(at, name).inFlight.clear();
  }

  async #restart(how: "stop" | "kill"): Promise<void> {
    const before = this.#open.stats().streams;
    const [from, to] = [`${this.#generation}`, `${++this.#generation}`].map((name) => join(this.#folder, name));
    if (how === "stop") await this.#open.close();
    await cp(from ?? "", to ?? "", { recursive: true });
    await this.#open.close();
    await rm(from ?? "", { recursive: true });
    await this.start();
    for (const at of STREAMS) {
      const { nextSeq } = this.#open.stats().streams[at];
      if (how === "stop") expect(nextSeq).toBe(before[at].nextSeq);
      expect(nextSeq).toBeGreaterThanOrEqual(before[at].nextSeq);
      for (const of of this.#model[at].values()) {
        of.inFlight.clear();
        if (nextSeq > before[at].nextSeq) of.head = nextSeq - 1;
      }
    }
  }

  #compare(): void {
    const stats = this.#open.stats();
    for (const { name, streams } of stats.uplinks) {
      for (const at of STREAMS) {
        const { owed, rejected } = this.#uplink(at, name);
        expect(streams[at].depth).toBe(owed.size);
        const gaps = this.#open.gaps(name).filter((gap) => gap.stream === at && gap.reason !== "power-loss");
        expect(gaps.reduce((sum, { count }) => sum + count, 0)).toBe(rejected);
        expect(gaps.every(({ reason, exact }) => reason === "rejected" && exact)).toBe(true);
      }
    }
  }

  /** Everything that is owed comes, and nothing else. */
  async drain(): Promise<void> {
    for (const { name } of UPLINKS) {
      this.#rewind(name);
      for (const at of STREAMS) {
        const model = this.#uplink(at, name);
        while (model.owed.size > model.inFlight.size) await this.#read(at, name, 50);
        await this.#verdict({ kind: "settle", stream: at, uplink: name, pick: 7 });
        expect(model.owed.size).toBe(0);
      }
    }
    this.#compare();
    await this.#open.close();
  }
}

it("does what a list in memory would, whatever comes in whatever order", async () => {
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
    { numRuns: 15 },
  );
});
