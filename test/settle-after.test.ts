import { expect, it } from "vitest";
import { settleAfter } from "../gateway/settle-after.ts";
import { MemoryQueue } from "./fakes/memory-queue.ts";

it("lets no event leave the queue before its time, and telemetry at once", async () => {
  const queue = new MemoryQueue();
  await queue.start();
  await queue.open("cloud", { selector: { text: "#", matches: () => true }, from: "oldest", required: true });
  const record = (topic: string) => ({
    taken: { wallMs: 0, monoMs: 0, clock: "synced" as const },
    content: { kind: "message" as const, topic, payload: Buffer.from("x"), qos: 1 as const, retain: false },
  });
  await queue.append("events", [record("a"), record("b")]);
  await queue.append("telemetry", [record("t")]);
  let open = () => {};
  const ready = new Promise<void>((resolve) => {
    open = resolve;
  });
  let told = 0;
  const gated = settleAfter(
    queue,
    () => ready,
    (records) => {
      told += records;
    },
  );
  const owed = () => {
    const streams = gated.stats().uplinks[0]?.streams;
    return [streams?.events.depth, streams?.telemetry.depth];
  };
  for (const stream of ["events", "telemetry"] as const)
    await gated.read("cloud", { stream, lane: "fifo", maxRecords: 9, maxBytes: 999 }, AbortSignal.timeout(1000));
  const settled = gated.settle("cloud", "events", [1]);
  const rejected = gated.reject("cloud", "events", [2], "too large");
  await gated.settle("cloud", "telemetry", [1]);
  expect(owed()).toEqual([2, 0]);
  open();
  await Promise.all([settled, rejected]);
  expect(owed()).toEqual([0, 0]);
  expect(told).toBe(2);
});
