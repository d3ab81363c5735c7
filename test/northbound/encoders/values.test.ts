import { describe, expect, it } from "vitest";
import { readMessage } from "../../../gateway/cli/verify/wire.ts";
import type { Content, Entry, MessageContent, StoredSample } from "../../../gateway/core/record.ts";
import type { Outgoing } from "../../../gateway/core/uplink.ts";
import { valuesEncoder } from "../../../gateway/northbound/encoders/values.ts";
import { topicMapper } from "../../../gateway/northbound/topics.ts";

const topics = topicMapper("acme/{gateway}/{topic}", "gw");

function entry(content: Content, over: Partial<Entry> = {}): Entry {
  return {
    stream: "telemetry",
    seq: 42,
    epoch: 0x1a2b3c,
    prev: 41,
    chain: "c7",
    bootId: "boot-1",
    monoMs: 5000.4,
    wallMs: 1_732_300_000_123,
    clock: "synced",
    content,
    bytes: 100,
    ...over,
  };
}

function samples(...list: Partial<StoredSample>[]): Content {
  return {
    kind: "samples",
    source: { link: "plc", device: "press", group: "1000ms", topic: "plant/press", tags: [] },
    samples: list.map((one, i) => ({ tag: `t${i}`, quality: "good", offsetMs: 0, ...one })),
  };
}

function captured(payload: string | Uint8Array, over: Partial<MessageContent> = {}): Content {
  return { kind: "message", topic: "plant/scan", payload: Buffer.from(payload), qos: 0, retain: false, ...over };
}

function encode(one: Entry, envelope = false): Outgoing & { readonly text: string } {
  const [message, ...more] = valuesEncoder.encode(one, { gatewayId: "gw", topics, envelope, historical: false });
  if (message === undefined) throw new Error("no message");
  expect(more).toEqual([]);
  return { ...message, text: Buffer.from(message.payload).toString("utf8") };
}

describe("values encoder: samples", () => {
  it("writes the body of the wire format", () => {
    const message = encode(
      entry(samples({ tag: "temperature", value: 21.4 }, { tag: "pressure", quality: "bad", reason: "timeout" })),
    );
    expect(message.text).toBe('{"ts":1732300000123,"values":{"temperature":21.4},"errors":{"pressure":"timeout"}}');
    expect(message).toMatchObject({ topic: "acme/gw/plant/press", qos: 1, retain: false });
    expect(message.properties).toEqual([
      ["id", "gw/telemetry/001a2b3c/42"],
      ["prev", "41"],
      ["chain", "c7"],
      ["clock", "synced"],
      ["quality", "bad"],
    ]);
  });

  it("names gateway, stream, epoch and seq of each record, whatever came before", () => {
    const ids = [
      encode(entry(samples({ value: 1 }), { seq: 1 })),
      encode(entry(samples({ value: 1 }), { seq: 2, stream: "events" })),
      encode(entry(samples({ value: 1 }), { seq: 3, epoch: 7 })),
      encode(entry(samples({ value: 1 }), { seq: 4, epoch: 0xffffffff })),
    ].map((one) => one.properties[0]?.[1]);
    expect(ids).toEqual([
      "gw/telemetry/001a2b3c/1",
      "gw/events/001a2b3c/2",
      "gw/telemetry/00000007/3",
      "gw/telemetry/ffffffff/4",
    ]);
  });

  it("leaves errors out where there are none", () => {
    expect(encode(entry(samples({ value: true }))).text).toBe('{"ts":1732300000123,"values":{"t0":true}}');
  });

  it("writes each kind of value so that JSON gives it back", () => {
    const values = [true, false, -0, 1.5e300, 5e-324, 'a"\n\u2028ä', 9007199254740991n, 2n ** 63n, -(2n ** 60n)];
    const bytes = Uint8Array.from([0, 255, 7]).subarray(1);
    const message = encode(entry(samples(...[...values, bytes].map((value) => ({ value })))));
    expect(Object.values(JSON.parse(message.text).values)).toEqual([
      true,
      false,
      0,
      1.5e300,
      5e-324,
      'a"\n\u2028ä',
      9007199254740991,
      "9223372036854775808",
      "-1152921504606846976",
      "/wc=",
    ]);
  });

  it("turns what JSON has no word for into an error", () => {
    const message = encode(entry(samples({ value: Number.NaN }, { value: Number.NEGATIVE_INFINITY })));
    expect(JSON.parse(message.text)).toMatchObject({ values: {}, errors: { t0: "not a number", t1: "not a number" } });
  });

  it("gives a stale tag's reason, not its old value, and the worst quality", () => {
    const message = encode(entry(samples({ value: 1 }, { quality: "stale", value: 7, reason: "no answer" })));
    expect(JSON.parse(message.text)).toMatchObject({ values: { t0: 1 }, errors: { t1: "no answer" } });
    expect(message.properties).toContainEqual(["quality", "stale"]);
  });

  it("tells a corrected time with its uncertainty", () => {
    const corrected = { clock: "corrected", uncertaintyMs: 51, wallMs: 1_780_000_000_000.6 } as const;
    const message = encode(entry(samples({ value: 1 }), corrected));
    expect(message.properties).toContainEqual(["clock", "corrected"]);
    expect(message.properties).toContainEqual(["uncertainty", "51"]);
    expect(message.properties.map(([name]) => name)).not.toContain("boot");
    expect(JSON.parse(message.text)["ts"]).toBe(1_780_000_000_001);
    const enveloped = JSON.parse(encode(entry(samples({ value: 1 }), corrected), true).text);
    expect(enveloped).toMatchObject({ _m: { clock: "corrected", uncertainty: 51 }, ts: 1_780_000_000_001 });
    expect(enveloped["_m"]).not.toHaveProperty("ts");
  });

  it("tells the corrected time of a captured message beside its body", () => {
    const corrected = { clock: "corrected", uncertaintyMs: 51, wallMs: 1_780_000_000_000.6 } as const;
    const message = encode(entry(captured("x"), corrected));
    expect(message.text).toBe("x");
    expect(message.properties).toContainEqual(["ts", "1780000000001"]);
    const enveloped = JSON.parse(encode(entry(captured("x"), corrected), true).text);
    expect(enveloped["_m"]).toMatchObject({ clock: "corrected", uncertainty: 51, ts: 1_780_000_000_001 });
  });

  it("tells boot and monotonic time only while the clock is unsynced", () => {
    const message = encode(entry(samples({ value: 1 }), { clock: "unsynced" }));
    expect(message.properties.slice(3)).toEqual([
      ["clock", "unsynced"],
      ["quality", "good"],
      ["boot", "boot-1"],
      ["mono", "5000"],
    ]);
  });

  it("puts the envelope first in the body and no properties beside it", () => {
    const message = encode(entry(samples({ value: 1 }), { clock: "unsynced" }), true);
    expect(message.properties).toEqual([]);
    expect(Object.keys(JSON.parse(message.text))).toEqual(["_m", "ts", "values"]);
    expect(JSON.parse(message.text)["_m"]).toEqual({
      id: "gw/telemetry/001a2b3c/42",
      prev: 41,
      chain: "c7",
      clock: "unsynced",
      quality: "good",
      boot: "boot-1",
      mono: 5000,
    });
  });
});

describe("values encoder: records from the past", () => {
  const past = (envelope: boolean) => {
    const context = { gatewayId: "gw", topics, envelope, historical: true };
    const [message] = valuesEncoder.encode(entry(samples({ value: 1 })), context);
    return message ?? expect.fail("no message");
  };

  it("say so, as a property or in the envelope, in the way verify reads it", () => {
    const plain = past(false);
    expect(plain.properties).toContainEqual(["historical", "1"]);
    expect(readMessage(plain.payload, Object.fromEntries(plain.properties))).toMatchObject({ historical: true });
    expect(readMessage(past(true).payload, {})).toMatchObject({ historical: true, prev: 41 });
  });
});

describe("values encoder: captured messages", () => {
  it("passes payload, retain and content type on, with QoS 1 and no quality", () => {
    const bytes = Uint8Array.from([0, 1, 254, 255]);
    const message = encode(entry(captured(bytes, { retain: true, contentType: "image/png" })));
    expect(Buffer.from(message.payload)).toEqual(Buffer.from(bytes));
    expect(message).toMatchObject({ topic: "acme/gw/plant/scan", qos: 1, retain: true, contentType: "image/png" });
    expect(message.properties.map(([name]) => name)).toEqual(["id", "prev", "chain", "clock"]);
  });

  it.each([
    ["JSON as it stands", '{"n": 12345678901234567890}', '"payload":{"n": 12345678901234567890}'],
    ["a bare JSON number", "42", '"payload":42'],
    ["text", 'say "hi"', '"text":"say \\"hi\\""'],
    ["nothing", "", '"text":""'],
    ["bytes", Uint8Array.from([255, 0]), '"base64":"/wA="'],
  ])("wraps %s", (_, payload, expected) => {
    const { text } = encode(entry(captured(payload)), true);
    expect(text.endsWith(`,${expected}}`)).toBe(true);
    expect(JSON.parse(text)["_m"]).toEqual({ id: "gw/telemetry/001a2b3c/42", prev: 41, chain: "c7", clock: "synced" });
  });
});
