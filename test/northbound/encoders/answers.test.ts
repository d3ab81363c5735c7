import { expect, it } from "vitest";
import type { Content } from "../../../gateway/core/record.ts";
import { withAnswers } from "../../../gateway/northbound/encoders/answers.ts";
import { valuesEncoder } from "../../../gateway/northbound/encoders/values.ts";
import { topicMapper } from "../../../gateway/northbound/topics.ts";

const correlation = Buffer.from("q");
const encoder = withAnswers(valuesEncoder, (topic) =>
  topic === "cmd/press/result" ? { topic: "planner/answers", correlation } : undefined,
);

const encode = (topic: string, envelope: boolean) => encoder.encode(...argumentsOf(topic, envelope));

it("sends a result to who asked for it as well: the plain body, on the topic as it stands, and refusable", () => {
  for (const envelope of [false, true]) {
    const messages = encode("cmd/press/result", envelope);
    expect(messages.map(({ topic }) => topic)).toEqual(["up/cmd/press/result", "planner/answers"]);
    expect(messages[1]).toMatchObject({ correlation, optional: true, retain: false });
    expect(Buffer.from(messages[1]?.payload ?? []).toString()).toBe('{"id":"a"}');
    expect(messages[1]?.properties).toEqual([]);
  }
});

it("leaves everything else alone", () => {
  expect(encode("plant/scan", false)).toEqual(valuesEncoder.encode(...argumentsOf("plant/scan", false)));
});

function argumentsOf(topic: string, envelope: boolean): Parameters<typeof valuesEncoder.encode> {
  const content: Content = { kind: "message", topic, payload: Buffer.from('{"id":"a"}'), qos: 1, retain: false };
  const place = { stream: "events" as const, seq: 2, epoch: 1, prev: 1, chain: "c", bootId: "b", bytes: 1 };
  const context = { gatewayId: "gw", topics: topicMapper("up/{topic}", "gw"), envelope, historical: false };
  return [{ ...place, monoMs: 0, wallMs: 0, clock: "synced", content }, context];
}
