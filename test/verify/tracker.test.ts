import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CompletenessTracker, type TrackerOptions } from "../../gateway/cli/verify/tracker.ts";
import { enveloped, gap, type Message, record, refused, status } from "./messages.ts";

function tracked(messages: readonly Message[], options: TrackerOptions = {}): CompletenessTracker {
  const tracker = new CompletenessTracker(options);
  for (const { payload, properties } of messages) tracker.message(payload, properties, false);
  return tracker;
}

function only(messages: readonly Message[], options: TrackerOptions = {}) {
  const verdict = tracked(messages, options).report();
  const [chain] = verdict.chains;
  if (!chain || verdict.chains.length !== 1) throw new Error(`${verdict.chains.length} chains`);
  return { ...chain, complete: verdict.complete, caughtUp: verdict.caughtUp };
}

describe("completeness", () => {
  it("is given when every prev was received, whatever the seqs in between", () => {
    const seen = only([record(1, 0), record(2, 1), record(7, 2), record(30, 7)]);
    expect(seen).toMatchObject({ received: 4, base: 0, completeTo: 30, missing: [], complete: true });
  });

  it("names the range in which a prev was not received", () => {
    const seen = only([record(1, 0), record(2, 1), record(9, 7), record(10, 9)]);
    expect(seen).toMatchObject({ missing: [[3, 7]], completeTo: 2, complete: false });
  });

  it("is given whatever the order of arrival", () => {
    const chain = [record(2, 0), record(3, 2), record(8, 3), gap(9, 20, 8), record(21, 20), record(40, 21)];
    fc.assert(
      fc.property(fc.shuffledSubarray(chain, { minLength: chain.length }), (shuffled) => {
        expect(only(shuffled)).toMatchObject({ missing: [], completeTo: 40, received: 5, duplicates: 0 });
      }),
    );
  });

  it("finds any one record that is taken out of the middle", () => {
    const chain = [record(2, 0), record(3, 2), record(8, 3), gap(9, 20, 8), record(21, 20), record(40, 21)];
    for (let out = 1; out < chain.length - 1; out += 1) {
      const seen = only(chain.filter((_, index) => index !== out));
      expect(seen.missing, `without message ${out}`).toHaveLength(1);
    }
  });

  it("counts duplicates by id and nothing else", () => {
    const seen = only([record(1, 0), record(2, 1), record(1, 0), record(2, 1), record(2, 1), record(3, 2)]);
    expect(seen).toMatchObject({ received: 3, duplicates: 3, missing: [], conflicts: 0 });
  });

  it("starts where the receiver began", () => {
    expect(only([record(101, 100), record(102, 101)])).toMatchObject({ base: 100, completeTo: 102, missing: [] });
  });

  it("asks for the chain's first record with fromStart", () => {
    const seen = only([record(101, 100)], { fromStart: true });
    expect(seen).toMatchObject({ base: 0, completeTo: 0, missing: [[1, 100]] });
  });

  it("keeps streams, epochs, chains and gateways apart", () => {
    const tracker = tracked([
      record(1, 0),
      record(1, 0, { stream: "telemetry" }),
      record(1, 0, { epoch: "0000002b" }),
      record(1, 0, { chain: "cloud-2" }),
      record(1, 0, { gateway: "g2" }),
    ]);
    expect(tracker.report()).toMatchObject({ received: 5, duplicates: 0, complete: true });
    expect(tracker.report().chains).toHaveLength(5);
  });

  it("reads the envelope of MQTT 3.1.1 as well", () => {
    expect(only([enveloped(1, 0), enveloped(2, 1), enveloped(4, 3)])).toMatchObject({
      received: 3,
      missing: [[3, 3]],
    });
  });

  it("counts what arrives after a later one as out of order, per lane, and holds nothing against it", () => {
    const late = [record(1, 0), record(3, 2), record(2, 1)];
    expect(only(late)).toMatchObject({ outOfOrder: 1, complete: true });
    const history = [record(9, 8), record(7, 6, { historical: true }), record(8, 7, { historical: true })];
    expect(only(history)).toMatchObject({ outOfOrder: 0, complete: true });
  });

  it("finds an id that comes again with other content", () => {
    const seen = only([record(1, 0), record(1, 0, { body: { ts: 1, values: { n: 99 } } })]);
    expect(seen).toMatchObject({ conflicts: 1, complete: false });
  });

  it("does not hold an envelope's new prev or a corrected clock against a record sent again", () => {
    const again = record(5, 4, { body: { ts: 2, values: { n: 5 } } });
    const corrected = { ...again, properties: { ...again.properties, clock: "corrected" } };
    expect(only([record(5, 4), corrected])).toMatchObject({ conflicts: 0, duplicates: 1 });
    expect(only([enveloped(5, 4), enveloped(5, 3)])).toMatchObject({ conflicts: 0, duplicates: 1 });
  });

  it("holds no later time against a record that was first sent corrected", () => {
    const corrected = record(5, 4, { body: { ts: 2, values: { n: 5 } } });
    const first = { ...corrected, properties: { ...corrected.properties, clock: "corrected" } };
    expect(only([first, record(5, 4)])).toMatchObject({ conflicts: 0, duplicates: 1 });
  });

  it("refuses impossible ids and predecessors", () => {
    const broken = (properties: Record<string, string>) => ({ payload: Buffer.from("{}"), properties });
    const tracker = tracked([
      broken({ id: "no" }),
      broken({ id: "g1/events/0000002a/0", prev: "0" }),
      broken({ id: "g1/events/0000002a/5" }),
      broken({ id: "g1/events/0000002a/5", prev: "5" }),
      broken({ id: "g1/events/2a/5", prev: "4" }),
      gap(9, 5, 0),
      gap(5, 9, 5),
    ]);
    expect(tracker.report()).toMatchObject({ malformed: 7, received: 0, complete: false });
  });

  it("passes over what is not a gateway's", () => {
    const foreign = ["", "not json", "{", "[1]", '{"type":"status"}', '{"type":"gap"}', '{"_m":1}', "\xff\xfe"];
    const tracker = tracked(foreign.map((text) => ({ payload: Buffer.from(text, "latin1"), properties: {} })));
    expect(tracker.report()).toMatchObject({ other: foreign.length, malformed: 0, complete: true, chains: [] });
  });

  it("keeps hundreds of thousands of records as one range and a bounded number of ids", () => {
    const tracker = new CompletenessTracker({ recentIds: 1000 });
    const heard = tracker.message(record(1, 0).payload, record(1, 0).properties, false);
    if (heard.kind !== "record") throw new Error(heard.kind);
    for (let seq = 2; seq <= 300_000; seq += 1) {
      tracker.take({ ...heard, id: `g1/events/0000002a/${seq}`, seq, prev: seq - 1 });
    }
    expect(tracker.report().chains[0]).toMatchObject({ received: 300_000, completeTo: 300_000, missing: [] });
    expect(tracker.save().chains[0]?.covered).toEqual([[1, 300_000]]);
  });
});

describe("gaps", () => {
  it("cover what they tell, with reasons and counts", () => {
    const seen = only([
      record(1, 0),
      gap(2, 9, 1, { count: 4 }),
      record(10, 9),
      gap(11, 11, 10, { reason: "rejected" }),
      gap(12, 9999, 11, { reason: "power-loss", exact: false }),
      record(10_000, 9999),
    ]);
    expect(seen).toMatchObject({ complete: true, completeTo: 10_000 });
    expect(seen.gaps).toEqual([
      { reason: "dropped", gaps: 1, records: 4, exact: true },
      { reason: "rejected", gaps: 1, records: 1, exact: true },
      { reason: "power-loss", gaps: 1, records: 9988, exact: false },
    ]);
  });

  it("of refused records are shown, once each, and fill no hole", () => {
    const tracker = new CompletenessTracker();
    const told = [record(1, 0), refused(1, "0000000a", 5), refused(1, "0000000a", 5), refused(1, "0000000b", 2)];
    for (const { payload, properties } of told) tracker.message(payload, properties, false);
    const expected = { complete: true, exactLoss: 7, malformed: 0, chains: [{ missing: [], received: 1 }] };
    expect(tracker.report()).toMatchObject(expected);
    expect(tracker.report().chains[0]?.gaps).toEqual([{ reason: "refused", gaps: 2, records: 7, exact: true }]);
    const later = new CompletenessTracker();
    later.restore(JSON.parse(JSON.stringify(tracker.save())));
    expect(later.report()).toEqual(tracker.report());
    const next = record(3, 2);
    later.message(next.payload, next.properties, false);
    expect(later.report().chains[0]?.missing).toEqual([[2, 2]]);
  });

  it("cover a prev inside the hole", () => {
    expect(only([record(4, 0), gap(5, 100, 4), record(101, 50)])).toMatchObject({ missing: [], completeTo: 101 });
  });

  it("are counted once when told again, and by their last size when they grew", () => {
    const seen = only([record(1, 0), gap(2, 5, 1), gap(2, 5, 1), gap(2, 9, 1), record(10, 9)]);
    expect(seen.gaps).toEqual([{ reason: "dropped", gaps: 1, records: 8, exact: true }]);
  });

  it("do not stop a record they tell as lost from counting when it was received after all", () => {
    const seen = only([record(1, 0), record(2, 1), gap(3, 9, 2, { exact: false }), record(3, 2), record(10, 9)]);
    expect(seen).toMatchObject({ received: 4, duplicates: 0, complete: true });
  });

  it("sum up the loss that is exact", () => {
    const tracker = tracked([record(1, 0), gap(2, 3, 1), gap(4, 9, 3, { reason: "power-loss", exact: false })]);
    expect(tracker.report().exactLoss).toBe(2);
  });
});

describe("status", () => {
  it("says how far the gateway is", () => {
    const behind = only([record(1, 0), record(2, 1), status(9, 2)]);
    expect(behind).toMatchObject({ lastTaken: 9, lastAcked: 2, missing: [], complete: true, caughtUp: false });
    const there = only([record(1, 0), record(9, 1), status(9, 9)]);
    expect(there).toMatchObject({ completeTo: 9, caughtUp: true });
  });

  it("shows as missing what was acknowledged and never came", () => {
    expect(only([record(1, 0), status(9, 7)])).toMatchObject({ missing: [[2, 7]], complete: false });
  });

  it("gives a receiver that got nothing its place only when it came live", () => {
    const live = tracked([status(50, 50), status(60, 60)]);
    expect(live.report().chains[0]).toMatchObject({ base: 50, missing: [[51, 60]] });
    const kept = new CompletenessTracker();
    kept.message(status(50, 50).payload, {}, true);
    kept.message(record(56, 55).payload, record(56, 55).properties, false);
    expect(kept.report().chains[0]).toMatchObject({ base: 55, missing: [] });
  });

  it("shows what was lost between a live status and the first record", () => {
    expect(only([status(50, 50), record(61, 60)])).toMatchObject({ base: 50, missing: [[51, 60]] });
  });

  it("never goes back when an old one is delivered again", () => {
    expect(only([record(1, 0), record(9, 1), status(9, 9), status(5, 5)])).toMatchObject({ lastTaken: 9 });
  });
});

describe("save and restore", () => {
  it("goes on as if it had never stopped, at any point", () => {
    const all = [
      record(1, 0),
      record(2, 1),
      record(2, 1),
      gap(3, 9, 2),
      status(12, 9),
      record(10, 9),
      record(14, 13),
      record(1, 0, { stream: "telemetry" }),
      { payload: Buffer.from("?"), properties: {} },
    ];
    const whole = tracked(all).report();
    for (let cut = 0; cut <= all.length; cut += 1) {
      const first = tracked(all.slice(0, cut));
      const second = new CompletenessTracker();
      second.restore(JSON.parse(JSON.stringify(first.save())));
      for (const { payload, properties } of all.slice(cut)) second.message(payload, properties, false);
      expect(second.report()).toEqual(whole);
    }
  });
});
