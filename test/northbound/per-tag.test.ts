import { afterEach, describe, expect, it } from "vitest";
import { CompletenessTracker } from "../../gateway/cli/verify/tracker.ts";
import type { Clock } from "../../gateway/core/clock.ts";
import { noMetrics } from "../../gateway/core/metrics.ts";
import type { Verdict } from "../../gateway/core/uplink.ts";
import { perTagEncoder } from "../../gateway/northbound/encoders/per-tag.ts";
import { Forwarder } from "../../gateway/northbound/forwarder.ts";
import { topicMapper } from "../../gateway/northbound/topics.ts";
import { FakeUpstream, type Sent } from "../fakes/fake-uplink.ts";
import { ListQueue } from "../fakes/list-queue.ts";
import { samplesOf } from "./encoders/records.ts";
import { recordingLogger } from "./mqtt/harness.ts";
import { until } from "./until.ts";

/** Records that are several messages: settled when all of them are acknowledged, whatever breaks in between. */

const clock: Clock = { bootId: "boot-1", now: () => ({ wallMs: 1_732_300_000_000, monoMs: 1, clock: "synced" }) };
const TAGS = 5;
const running: Forwarder[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((one) => one.stop()));
});

function setUp(records: number, envelope = false) {
  const queue = new ListQueue();
  const upstream = new FakeUpstream();
  upstream.limits = { inFlight: 8, properties: !envelope };
  for (let i = 1; i <= records; i++) {
    queue.addContents("telemetry", [
      samplesOf(Array.from({ length: TAGS }, (_, tag) => ({ tag: `t${tag}`, value: i * 10 + tag }))),
    ]);
  }
  const forwarder = new Forwarder({
    name: "cloud",
    queue,
    gatewayId: "gw",
    uplink: upstream.make,
    encoder: perTagEncoder,
    topics: topicMapper("acme/{device}/{tag}", "gw"),
    clock,
    log: recordingLogger().log,
    metrics: noMetrics,
    options: {
      backoff: { baseMs: 1, capMs: 5, stableMs: 30_000 },
      drainMs: 20,
      farewellMs: 20,
      retryBaseMs: 1,
      retryCapMs: 5,
      storagePauseMs: 1,
      gapHoldMs: 10,
    },
  });
  running.push(forwarder);
  return { queue, upstream, forwarder };
}

const isRecord = ({ message }: Sent) => message.topic.startsWith("acme/press 1/");
const control = (topic: string): Verdict | undefined =>
  topic.startsWith("acme/press 1/") ? undefined : { kind: "ack" };
/** What a receiver of all that was acknowledged upstream proves. */
function verified(heard: readonly Sent[]) {
  const tracker = new CompletenessTracker({ fromStart: true });
  for (const { message } of heard) tracker.message(message.payload, Object.fromEntries(message.properties), false);
  return tracker.report();
}

describe("a message per tag", () => {
  it("is one record: settled with the last acknowledgement, in any order", async () => {
    const { queue, upstream, forwarder } = setUp(1);
    upstream.auto = (message) => control(message.topic);
    forwarder.start();
    await until(() => expect(upstream.sent.filter(isRecord)).toHaveLength(TAGS));
    const sent = upstream.sent.filter(isRecord);
    for (const index of [4, 0, 2, 1]) sent[index]?.answer();
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(queue.settled("telemetry")).toEqual([]);
    sent[3]?.answer();
    await until(() => expect(queue.settled("telemetry")).toEqual([1]));
    expect(sent.map(({ message }) => message.topic)).toEqual([0, 1, 2, 3, 4].map((tag) => `acme/press 1/t${tag}`));
  });

  it.each([false, true])(
    "loses nothing over connections that break in the middle of records (envelope %s)",
    async (envelope) => {
      const { queue, upstream, forwarder } = setUp(30, envelope);
      const acked: Sent[] = [];
      let count = 0;
      upstream.auto = (message, text) => {
        count++;
        // What breaks the connection was not acknowledged, and neither was what is in flight with it.
        if (count % 41 === 0) {
          queueMicrotask(() => upstream.connection.break());
          return undefined;
        }
        // Not in step with the messages of a record, or one of them would be refused each time.
        if (count % 7 === 0) return { kind: "retry", reason: "busy" };
        acked.push({ message, text, answer: () => {} });
        return { kind: "ack" };
      };
      forwarder.start();
      await until(() => expect(queue.owed("telemetry")).toBe(0));
      expect(forwarder.status().connections).toBeGreaterThan(2);
      const report = verified(acked.filter(isRecord));
      expect(report).toMatchObject({ complete: true, received: 30, missingRanges: 0, conflicts: 0, malformed: 0 });
      const topics = new Set(acked.filter(isRecord).map(({ message }) => message.topic));
      expect(topics.size).toBe(TAGS);
    },
  );

  it("is given up as one, when one of its messages is refused for good", async () => {
    const { queue, upstream, forwarder } = setUp(2);
    upstream.auto = (message, text) =>
      message.topic.endsWith("/t2") && text.includes('"value":12') ? { kind: "reject", reason: "no" } : { kind: "ack" };
    forwarder.start();
    await until(() => expect(queue.settled("telemetry")).toEqual([1, 2]));
    expect(queue.rejected).toEqual([{ stream: "telemetry", seq: 1, reason: "no" }]);
  });

  it("counts for verify once all its parts are here, and once only", () => {
    const { upstream } = setUp(0);
    expect(upstream.sent).toEqual([]);
    const pairs = (part: string) => ({ id: "gw/telemetry/00000001/1", prev: "0", chain: "c", clock: "synced", part });
    const tracker = new CompletenessTracker({ fromStart: true });
    const hear = (part: string, body = part) => tracker.message(Buffer.from(body), pairs(part), false);
    hear("1/3");
    hear("3/3");
    hear("3/3");
    expect(tracker.report().received).toBe(0);
    const later = new CompletenessTracker({ fromStart: true });
    later.restore(JSON.parse(JSON.stringify(tracker.save())));
    later.message(Buffer.from("2/3"), pairs("2/3"), false);
    expect(later.report()).toMatchObject({ received: 1, duplicates: 0, conflicts: 0 });
    for (const part of ["1/3", "2/3", "3/3"]) hear(part);
    for (const part of ["1/3", "2/3", "3/3"]) hear(part, "other");
    expect(tracker.report()).toMatchObject({ received: 1, duplicates: 1, conflicts: 1 });
    for (const part of ["0/3", "4/3", "x", "1/0"]) hear(part);
    expect(tracker.report().malformed).toBe(4);
  });
});
