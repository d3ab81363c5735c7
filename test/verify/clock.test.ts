import { describe, expect, it } from "vitest";
import { answer, describeVerdict } from "../../gateway/cli/verify/report.ts";
import { CompletenessTracker } from "../../gateway/cli/verify/tracker.ts";
import { type Message, record } from "./messages.ts";

function timed(seq: number, properties: Record<string, string>): Message {
  const message = record(seq, seq - 1);
  return { ...message, properties: { ...message.properties, ...properties } };
}
const unsynced = (seq: number, boot: string) => timed(seq, { clock: "unsynced", boot, mono: "12" });
const corrected = (seq: number) => timed(seq, { clock: "corrected", uncertainty: "50" });

function clockRecord(boot: string, more: Record<string, unknown> = {}): Message {
  const body = { type: "clock", gateway: "g1", boot, offset: 1.78e12, uncertainty: 50, source: "timesyncd", ...more };
  return { payload: Buffer.from(JSON.stringify(body)), properties: {} };
}

function heard(messages: readonly Message[], tracker = new CompletenessTracker()): CompletenessTracker {
  for (const { payload, properties } of messages) tracker.message(payload, properties, false);
  return tracker;
}

describe("clock records", () => {
  it("date what came without a time, and are no foreign messages", () => {
    const tracker = heard([unsynced(1, "b1"), unsynced(2, "b1"), unsynced(3, "b2"), clockRecord("b1"), corrected(4)]);
    const verdict = tracker.report();
    expect(verdict).toMatchObject({ complete: true, other: 0, malformed: 0, received: 4 });
    expect(verdict.clock).toEqual({ corrected: 1, unsynced: 3, covered: 2, clockRecords: 1 });
    const text = describeVerdict(verdict);
    expect(text).toContain("1 records with a corrected time");
    expect(text).toContain("3 records without a known time; 2 of them dated by 1 clock records");
    expect(answer(verdict)).toMatch(/^COMPLETE/);
  });

  it("count once, however often they come", () => {
    const tracker = heard([clockRecord("b1"), unsynced(1, "b1"), clockRecord("b1"), unsynced(1, "b1")]);
    expect(tracker.report().clock).toEqual({ corrected: 0, unsynced: 1, covered: 1, clockRecords: 1 });
  });

  it("do not make a record sent again with its corrected time a conflict", () => {
    const again = record(1, 0, { body: { ts: 1_780_000_000_000, values: { n: 1 } } });
    const later = { ...again, properties: { ...again.properties, clock: "corrected", uncertainty: "50" } };
    const verdict = heard([unsynced(1, "b1"), later]).report();
    expect(verdict).toMatchObject({ complete: true, conflicts: 0, duplicates: 1 });
  });

  it("are malformed without an offset", () => {
    expect(heard([clockRecord("b1", { offset: null })]).report()).toMatchObject({ malformed: 1, complete: false });
  });

  it("are remembered in the state", () => {
    const saved = heard([unsynced(1, "b1"), clockRecord("b1"), corrected(2)]).save();
    const next = new CompletenessTracker();
    next.restore(JSON.parse(JSON.stringify(saved)));
    heard([unsynced(3, "b1")], next);
    expect(next.report().clock).toEqual({ corrected: 1, unsynced: 2, covered: 2, clockRecords: 1 });
  });
});
