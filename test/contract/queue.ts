import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ConfigError, StorageError } from "../../gateway/core/errors.ts";
import type { Queue, QueueReader } from "../../gateway/core/queue.ts";
import type { Content, Entry, NewRecord, StreamName } from "../../gateway/core/record.ts";
import { selectorOf } from "../../gateway/core/selector.ts";

/** A queue that is not started, and a place of its own for it. */
export interface QueueBench {
  readonly queue: Queue;
  /** Called after every case; the queue was closed by then. */
  stop(): Promise<void>;
}

const SAMPLES: Content = {
  kind: "samples",
  source: {
    link: "plc-1",
    device: "press-1",
    group: "1000ms",
    topic: "plant/press-1",
    tags: [
      { name: "temperature", type: "float32", unit: "°C" },
      { name: "count", type: "uint64" },
    ],
  },
  samples: [
    { tag: "temperature", quality: "good", value: 21.5, offsetMs: 0 },
    { tag: "count", quality: "bad", reason: "timeout", offsetMs: -3 },
  ],
};

const DONE = AbortSignal.abort(new Error("no longer wanted"));

function within(): AbortSignal {
  return AbortSignal.timeout(10_000);
}

function reader(select = ["#"], more: Partial<QueueReader> = {}): QueueReader {
  return { selector: selectorOf(select), from: "oldest", required: true, ...more };
}

function message(text: string, topic = "plant/a", more: Partial<NewRecord> = {}): NewRecord {
  const content: Content = { kind: "message", topic, payload: Buffer.from(text), qos: 1, retain: false };
  return { taken: { wallMs: 1_732_300_000_000, monoMs: 12.5, clock: "synced" }, content, ...more };
}

function texts(entries: readonly Entry[]): string[] {
  return entries.map(({ content }) => (content.kind === "message" ? Buffer.from(content.payload).toString() : ""));
}

function want(stream: StreamName, maxRecords = 100, maxBytes = 1_000_000) {
  return { stream, lane: "fifo", maxRecords, maxBytes } as const;
}

const GAP = {
  stream: "events",
  epoch: 1,
  chain: "c",
  from: 1,
  to: 1,
  prev: 0,
  count: 1,
  bytes: 1,
  reason: "rejected",
  exact: true,
} as const;

/** Each method of a queue that is not open. */
const METHODS: Readonly<Record<string, (queue: Queue) => unknown>> = {
  open: (queue) => queue.open("up", reader()),
  append: (queue) => queue.append("events", [message("1")]),
  read: (queue) => queue.read("up", want("events"), within()),
  "read, aborted": (queue) => queue.read("up", want("events"), DONE),
  settle: (queue) => queue.settle("up", "events", [1]),
  reject: (queue) => queue.reject("up", "events", [1], "no"),
  rewind: (queue) => queue.rewind("up"),
  gaps: (queue) => queue.gaps("up"),
  onGap: (queue) => queue.onGap("up", () => {}),
  settleGap: (queue) => queue.settleGap("up", GAP),
  stats: (queue) => queue.stats(),
};

const REFUSED = {
  taken: { wallMs: 1_732_300_000_000, monoMs: 12.5, clock: "synced" },
  topic: "plant/a",
  bytes: 7,
} as const;

async function outcome(call: () => unknown): Promise<unknown> {
  try {
    return await call();
  } catch (error) {
    return error;
  }
}

/** What every queue promises: each method before start, after close, aborted, and the order of things between. */
export function queueContract(name: string, open: () => Promise<QueueBench>): void {
  describe(`${name} keeps the queue contract`, () => {
    let bench: QueueBench;
    let queue: Queue;

    beforeEach(async () => {
      bench = await open();
      queue = bench.queue;
    });
    afterEach(async () => {
      await queue.close();
      await bench.stop();
    });

    /** Reads until so many are there: one read may give fewer. */
    async function read(count: number, uplink = "up", stream: StreamName = "events"): Promise<Entry[]> {
      const entries: Entry[] = [];
      while (entries.length < count) {
        entries.push(...(await queue.read(uplink, want(stream, count - entries.length), within())));
      }
      return entries;
    }

    it("takes note of what was refused at any time without an error", async () => {
      queue.refused("events", REFUSED);
      await queue.close();
      queue.refused("events", REFUSED);
    });

    describe.each(Object.entries(METHODS))("%s", (_, call) => {
      it("fails with StorageError before start", async () => {
        expect(await outcome(() => call(queue))).toBeInstanceOf(StorageError);
      });
      it("fails with StorageError after close", async () => {
        await queue.start();
        await queue.open("up", reader());
        await queue.close();
        expect(await outcome(() => call(queue))).toBeInstanceOf(StorageError);
      });
    });

    it("closes before start, and twice", async () => {
      await queue.close();
      await queue.close();
      expect(await outcome(() => queue.start())).toBeInstanceOf(StorageError);
    });

    it("ends a read that waits when it is closed", async () => {
      await queue.start();
      await queue.open("up", reader());
      const waiting = outcome(() => queue.read("up", want("events"), within()));
      await queue.close();
      expect(await waiting).toBeInstanceOf(StorageError);
    });

    describe("open", () => {
      beforeEach(async () => {
        await queue.start();
      });

      it("knows no uplink that was not opened", async () => {
        expect(await outcome(() => queue.read("nobody", want("events"), within()))).toBeInstanceOf(ConfigError);
        expect(await outcome(() => queue.settle("nobody", "events", [1]))).toBeInstanceOf(ConfigError);
        expect(await outcome(() => queue.gaps("nobody"))).toBeInstanceOf(ConfigError);
      });

      it("gives records back as they came, in order, each naming the one before", async () => {
        await queue.open("up", reader());
        const records = [message("1"), { ...message("2"), content: SAMPLES, durable: true }, message("3")];
        await queue.append("events", records);
        const entries = await read(3);
        expect(entries.map(({ seq, prev, stream }) => ({ seq, prev, stream }))).toEqual([
          { seq: 1, prev: 0, stream: "events" },
          { seq: 2, prev: 1, stream: "events" },
          { seq: 3, prev: 2, stream: "events" },
        ]);
        expect(entries[1]?.content).toEqual(SAMPLES);
        expect(texts(entries)).toEqual(["1", "", "3"]);
        expect(entries[0]).toMatchObject({ wallMs: 1_732_300_000_000, monoMs: 12.5, clock: "synced" });
        expect(new Set(entries.map(({ chain, epoch }) => `${chain} ${epoch}`)).size).toBe(1);
      });

      it("counts each stream for itself", async () => {
        await queue.open("up", reader());
        await queue.append("events", [message("1"), message("2")]);
        await queue.append("telemetry", [message("3")]);
        expect((await read(1, "up", "telemetry")).map(({ seq, prev }) => [seq, prev])).toEqual([[1, 0]]);
        expect((await read(2)).map(({ seq }) => seq)).toEqual([1, 2]);
      });

      it("takes nothing for an empty append", async () => {
        await queue.open("up", reader());
        await queue.append("events", []);
        expect(queue.stats().streams.events.nextSeq).toBe(1);
      });

      it("keeps appends that were made at once whole and in the order of the calls", async () => {
        await queue.open("up", reader());
        const calls = Array.from({ length: 200 }, (_, i) =>
          queue.append("events", [message(`${i}a`), message(`${i}b`)]),
        );
        await Promise.all(calls);
        expect(texts(await read(400))).toEqual(Array.from({ length: 200 }, (_, i) => [`${i}a`, `${i}b`]).flat());
      });

      it("gives at most what is asked for, and at least one", async () => {
        await queue.open("up", reader());
        await queue.append("events", [message("1"), message("2"), message("3"), message("4")]);
        expect(texts(await queue.read("up", want("events", 2), within()))).toEqual(["1", "2"]);
        expect(texts(await queue.read("up", want("events", 100, 1), within()))).toEqual(["3"]);
        expect(texts(await queue.read("up", want("events"), within()))).toEqual(["4"]);
      });

      it("waits until there is something", async () => {
        await queue.open("up", reader(["plant/#"]));
        const waiting = read(1);
        await queue.append("events", [message("other", "office/x")]);
        await queue.append("events", [message("mine")]);
        expect(texts(await waiting)).toEqual(["mine"]);
      });

      it("rejects an aborted read with its reason, and gives the next read what it would have given", async () => {
        await queue.open("up", reader());
        const abort = new AbortController();
        const reason = new Error("enough");
        const waiting = outcome(() => queue.read("up", want("events"), abort.signal));
        abort.abort(reason);
        expect(await waiting).toBe(reason);
        await queue.append("events", [message("1")]);
        expect(await outcome(() => queue.read("up", want("events"), AbortSignal.abort(reason)))).toBe(reason);
        expect(texts(await read(1))).toEqual(["1"]);
      });

      it("reads again after rewind what has no verdict, oldest first", async () => {
        await queue.open("up", reader());
        await queue.append(
          "events",
          ["1", "2", "3", "4", "5"].map((text) => message(text)),
        );
        await read(5);
        await queue.settle("up", "events", [4, 2]);
        queue.rewind("up");
        const again = await read(3);
        expect(again.map(({ seq, prev }) => [seq, prev])).toEqual([
          [1, 0],
          [3, 2],
          [5, 4],
        ]);
      });

      it("leaves alone what is settled without having been read", async () => {
        await queue.open("up", reader());
        await queue.append("events", [message("1"), message("2")]);
        await queue.settle("up", "events", [1, 2, 3]);
        expect(texts(await read(2))).toEqual(["1", "2"]);
      });

      it("makes a gap of what is rejected, one for neighbours, and forgets it when it was told", async () => {
        await queue.open("up", reader());
        let woken = 0;
        const off = queue.onGap("up", () => woken++);
        await queue.append(
          "events",
          ["1", "2", "3", "4"].map((text) => message(text)),
        );
        await read(4);
        await queue.reject("up", "events", [2], "too large");
        await queue.reject("up", "events", [3], "too large");
        expect(woken).toBe(2);
        off();
        const [gap, ...more] = queue.gaps("up");
        expect(more).toEqual([]);
        expect(gap).toMatchObject({
          stream: "events",
          from: 2,
          to: 3,
          prev: 1,
          count: 2,
          reason: "rejected",
          exact: true,
        });
        queue.rewind("up");
        expect(texts(await read(2))).toEqual(["1", "4"]);
        if (gap) await queue.settleGap("up", gap);
        expect(queue.gaps("up")).toEqual([]);
        expect(woken).toBe(2);
      });

      it("tells what was refused to whoever selects it, as a gap without seqs", async () => {
        await queue.open("up", reader(["plant/#"]));
        await queue.open("other", reader(["office/#"]));
        await queue.append("events", [message("1")]);
        for (let n = 0; n < 3; n++) queue.refused("events", REFUSED);
        await vi.waitFor(() => expect(queue.gaps("up")).toHaveLength(1), 8000);
        const [gap] = queue.gaps("up");
        const { wallMs: tFrom } = REFUSED.taken;
        const told = { stream: "events", reason: "refused", from: 2, to: 1, count: 3, bytes: 21, tFrom, tTo: tFrom };
        expect(gap).toMatchObject(told);
        expect(gap?.refusal).toMatch(/^[0-9a-f]{8}$/);
        expect(queue.gaps("other")).toEqual([]);
        expect(queue.stats().uplinks[0]?.streams.events).toMatchObject({ depth: 1, lastTaken: 1 });
        await read(1);
        await queue.settle("up", "events", [1]);
        expect(queue.stats().uplinks[0]?.streams.events).toMatchObject({ depth: 0, lastAcked: 1 });
        if (gap) await queue.settleGap("up", gap);
        expect(queue.gaps("up")).toEqual([]);
      });

      it("gives each uplink what it selects, on a chain of its own", async () => {
        await queue.open("all", reader());
        await queue.open("some", reader(["plant/b", "office/+"]));
        const topics = ["plant/a", "plant/b", "plant/a", "office/x", "plant/b"];
        await queue.append(
          "events",
          topics.map((topic, i) => message(`${i + 1}`, topic)),
        );
        expect((await read(5, "all")).map(({ prev }) => prev)).toEqual([0, 1, 2, 3, 4]);
        expect((await read(3, "some")).map(({ seq, prev }) => [seq, prev])).toEqual([
          [2, 0],
          [4, 2],
          [5, 4],
        ]);
      });

      it("gives a record with addressees to them alone, whatever they select", async () => {
        await queue.open("one", reader(["plant/#"]));
        await queue.open("two", reader(["plant/#"]));
        await queue.append("events", [message("for two", "elsewhere", { to: ["two"] }), message("for both")]);
        expect(texts(await read(1, "one"))).toEqual(["for both"]);
        expect(texts(await read(2, "two"))).toEqual(["for two", "for both"]);
      });

      it("begins a new uplink at the oldest, or now", async () => {
        await queue.open("first", reader());
        await queue.append("events", [message("1"), message("2", "office/x")]);
        await queue.open("oldest", reader(["plant/#"]));
        await queue.open("now", reader(["#"], { from: "now" }));
        await queue.append("events", [message("3")]);
        expect(texts(await read(1, "now"))).toEqual(["3"]);
        const entries = await read(2, "oldest");
        expect(texts(entries)).toEqual(["1", "3"]);
        expect(entries.map(({ prev }) => prev)).toEqual([0, 0]);
        expect(entries[0]?.chain).toBe(`${entries[1]?.chain}-h`);
      });

      it("begins a new chain when the selection changes, and still gives what the old one is owed", async () => {
        await queue.open("up", reader(["plant/a"]));
        await queue.append("events", [message("1"), message("2", "plant/b")]);
        await queue.open("up", reader(["plant/b"]));
        await queue.append("events", [message("3"), message("4", "plant/b"), message("5", "plant/b")]);
        const entries = await read(3);
        expect(texts(entries)).toEqual(["1", "4", "5"]);
        expect(entries.map(({ prev }) => prev)).toEqual([0, 0, 4]);
        expect(entries[0]?.chain).not.toBe(entries[1]?.chain);
        expect(entries[1]?.chain).toBe(entries[2]?.chain);
      });

      it("keeps the place of an uplink that is opened again as it was", async () => {
        await queue.open("up", reader());
        await queue.append("events", [message("1"), message("2")]);
        await read(1);
        await queue.settle("up", "events", [1]);
        await queue.open("up", reader());
        await queue.append("events", [message("3")]);
        const entries = await read(2);
        expect(entries.map(({ seq, prev }) => [seq, prev])).toEqual([
          [2, 1],
          [3, 2],
        ]);
      });

      it("says what is owed", async () => {
        await queue.open("up", reader(["plant/#"]));
        await queue.append("events", [message("1"), message("2"), message("x", "office"), message("3")]);
        const owed = () => queue.stats().uplinks.find(({ name: uplink }) => uplink === "up")?.streams.events;
        expect(owed()).toMatchObject({ depth: 3, lastTaken: 4, lastAcked: 0 });
        await read(3);
        await queue.settle("up", "events", [1]);
        expect(owed()).toMatchObject({ depth: 2, lastTaken: 4, lastAcked: 1 });
        await queue.settle("up", "events", [2, 4]);
        expect(owed()).toMatchObject({ depth: 0, bytes: 0, lastTaken: 4, lastAcked: 4 });
        expect(queue.stats().streams.events).toMatchObject({ nextSeq: 5, appended: 4 });
      });
    });

    describe("lanes", () => {
      beforeEach(async () => {
        await queue.start();
        await queue.open("up", reader(["plant/#"]));
      });

      const append = (...all: string[]) =>
        queue.append(
          "events",
          all.map((text) => message(text, text.startsWith("x") ? "office/x" : "plant/a")),
        );
      const lane = (name: "live" | "backfill" | "fifo", maxRecords = 100) =>
        queue.read("up", { ...want("events", maxRecords), lane: name }, within());

      it("meet at the head as it was when the first of them was read", async () => {
        await append("1", "2");
        expect(texts(await lane("backfill", 1))).toEqual(["1"]);
        await append("3");
        expect(texts(await lane("live"))).toEqual(["3"]);
        await append("4", "5");
        expect(texts(await lane("backfill"))).toEqual(["2"]);
        expect(texts(await lane("live"))).toEqual(["4", "5"]);
      });

      it("name the record before, also where it is in the other lane", async () => {
        await append("1", "2", "x3");
        const waiting = lane("live");
        await append("x4", "5", "6");
        expect((await waiting).map(({ seq, prev }) => [seq, prev])).toEqual([
          [5, 2],
          [6, 5],
        ]);
        expect((await lane("backfill")).map(({ seq, prev }) => [seq, prev])).toEqual([
          [1, 0],
          [2, 1],
        ]);
      });

      it("become one when the backfill is over", async () => {
        await append("1", "x2");
        expect(texts(await lane("backfill"))).toEqual(["1"]);
        expect(await lane("backfill")).toEqual([]);
        await append("3");
        expect(await lane("backfill")).toEqual([]);
        expect(texts(await lane("live"))).toEqual(["3"]);
      });

      it("are over at once where nothing is owed", async () => {
        expect(await lane("backfill")).toEqual([]);
        await append("1");
        expect(texts(await lane("live"))).toEqual(["1"]);
      });

      it("are each settled for themselves, and what is owed after a rewind is all that was not", async () => {
        await append("1", "2", "3");
        expect(texts(await lane("backfill", 2))).toEqual(["1", "2"]);
        await append("4", "5", "6");
        expect(texts(await lane("live", 2))).toEqual(["4", "5"]);
        await queue.settle("up", "events", [5, 1]);
        expect(queue.stats().uplinks[0]?.streams.events).toMatchObject({ depth: 4, lastTaken: 6, lastAcked: 1 });
        queue.rewind("up");
        const again = await lane("backfill");
        expect(again.map(({ seq, prev }) => [seq, prev])).toEqual([
          [2, 1],
          [3, 2],
          [4, 3],
          [6, 5],
        ]);
        expect(await lane("backfill")).toEqual([]);
        await append("7");
        expect((await lane("live")).map(({ seq, prev }) => [seq, prev])).toEqual([[7, 6]]);
      });

      it("give way to one row after a rewind, and not before", async () => {
        await append("1", "2");
        await lane("backfill", 1);
        expect(await outcome(() => lane("fifo"))).toBeInstanceOf(ConfigError);
        queue.rewind("up");
        expect(texts(await lane("fifo"))).toEqual(["1", "2"]);
        expect(await outcome(() => lane("live"))).toBeInstanceOf(ConfigError);
      });

      it("turn a rejected record into a gap wherever it was", async () => {
        await append("1", "2");
        const live = lane("live");
        await append("3", "4");
        await live;
        await lane("backfill");
        await queue.reject("up", "events", [3, 1], "no");
        await queue.settle("up", "events", [4, 2]);
        expect(queue.gaps("up").map(({ from, to, prev, count }) => ({ from, to, prev, count }))).toEqual([
          { from: 1, to: 1, prev: 0, count: 1 },
          { from: 3, to: 3, prev: 2, count: 1 },
        ]);
        expect(queue.stats().uplinks[0]?.streams.events.depth).toBe(0);
      });

      it("reject an aborted read with its reason", async () => {
        const reason = new Error("enough");
        expect(
          await outcome(() => queue.read("up", { ...want("events"), lane: "live" }, AbortSignal.abort(reason))),
        ).toBe(reason);
        const abort = new AbortController();
        const waiting = outcome(() => queue.read("up", { ...want("events"), lane: "live" }, abort.signal));
        abort.abort(reason);
        expect(await waiting).toBe(reason);
        await append("1");
        expect(texts(await lane("live"))).toEqual(["1"]);
      });
    });
  });
}
