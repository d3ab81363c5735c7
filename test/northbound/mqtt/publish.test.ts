import fc from "fast-check";
import { type IPublishPacket, parser } from "mqtt-packet";
import { describe, expect, it } from "vitest";
import type { Outgoing } from "../../../gateway/core/uplink.ts";
import { PublishWriter } from "../../../gateway/northbound/mqtt/publish.ts";

const settings = { version: 5, properties: true, maxBytes: 268_435_460, retain: true } as const;

function outgoing(over: Partial<Outgoing> = {}): Outgoing {
  return { topic: "plant/a", payload: Buffer.from("x"), qos: 1, retain: false, properties: [], ...over };
}

function read(bytes: Buffer, version: 4 | 5): IPublishPacket[] {
  const packets: IPublishPacket[] = [];
  const reader = parser({ protocolVersion: version });
  reader.on("packet", (packet) => {
    if (packet.cmd === "publish") packets.push(packet);
  });
  reader.on("error", (error: unknown) => {
    throw error;
  });
  expect(reader.parse(Buffer.from(bytes))).toBe(0);
  return packets;
}

describe("PublishWriter", () => {
  it("writes what an independent reader reads, whatever the sizes", () => {
    const text = fc.string({ unit: "grapheme", maxLength: 60 });
    const topic = fc.stringMatching(/^[a-z/äß水]{1,200}$/);
    const made = fc.record({
      topic,
      payload: fc.uint8Array({ maxLength: 300 }),
      retain: fc.boolean(),
      properties: fc.uniqueArray(fc.tuple(text, text), { selector: ([name]) => name, maxLength: 8 }),
    });
    fc.assert(
      fc.property(
        fc.array(made, { minLength: 1, maxLength: 20 }),
        fc.constantFrom(4 as const, 5 as const),
        (all, version) => {
          const writer = new PublishWriter({ ...settings, version });
          for (const [i, one] of all.entries()) expect(writer.append(outgoing(one), i + 1)).toBeUndefined();
          const packets = read(writer.take(), version);
          expect(writer.size).toBe(0);
          expect(packets.map((one) => one.messageId)).toEqual(all.map((_, i) => i + 1));
          for (const [i, packet] of packets.entries()) {
            const want = all[i];
            expect(packet).toMatchObject({ topic: want?.topic, qos: 1, dup: false, retain: want?.retain });
            expect(Buffer.compare(Buffer.from(packet.payload), Buffer.from(want?.payload ?? []))).toBe(0);
            const user = Object.entries(packet.properties?.userProperties ?? {});
            const expected = version === 5 ? (want?.properties ?? []) : [];
            expect(user.sort()).toEqual([...expected].map(([k, v]) => [k, v]).sort());
          }
        },
      ),
    );
  });

  it.each([0, 100, 127, 128, 16_000, 16_383, 16_384, 70_000, 2_100_000])("writes a payload of %i bytes", (size) => {
    const writer = new PublishWriter(settings);
    const payload = Buffer.alloc(size, 7);
    for (const id of [1, 2, 3]) expect(writer.append(outgoing({ payload }), id)).toBeUndefined();
    const packets = read(writer.take(), 5);
    expect(packets.map((one) => Buffer.compare(Buffer.from(one.payload), payload))).toEqual([0, 0, 0]);
  });

  it("names a topic once and then by its number, as many as the server takes; one that was not sent is not known", () => {
    const writer = new PublishWriter({ ...settings, maxBytes: 60, aliases: 2, expiryS: 3600 });
    expect(writer.append(outgoing({ topic: "a", payload: Buffer.alloc(100) }), 1)).toMatch(/server takes 60/);
    for (const topic of ["a", "b", "c", "a", "b", "c"]) writer.append(outgoing({ topic }), 2);
    const packets = read(writer.take(), 5);
    expect(packets.map(({ topic, properties }) => [topic, properties?.topicAlias])).toEqual([
      ["a", 1],
      ["b", 2],
      ["c", undefined],
      ["", 1],
      ["", 2],
      ["c", undefined],
    ]);
    expect(packets.every(({ properties }) => properties?.messageExpiryInterval === 3600)).toBe(true);
  });

  it("has neither in MQTT 3.1.1", () => {
    const writer = new PublishWriter({ ...settings, version: 4, aliases: 2, expiryS: 3600 });
    for (const topic of ["a", "a"]) writer.append(outgoing({ topic }), 2);
    expect(read(writer.take(), 4).map(({ topic }) => topic)).toEqual(["a", "a"]);
  });

  it("keeps what was taken while more is written", () => {
    const writer = new PublishWriter(settings);
    const taken: Buffer[] = [];
    for (let i = 0; i < 500; i++) {
      writer.append(outgoing({ payload: Buffer.from(`${i} `.repeat(100)) }), 1 + (i % 100));
      if (i % 7 === 0) taken.push(writer.take());
    }
    taken.push(writer.take());
    const numbers = read(Buffer.concat(taken), 5).map((one) => Number.parseInt(one.payload.toString(), 10));
    expect(numbers).toEqual(Array.from({ length: 500 }, (_, i) => i));
  });

  it("refuses what is over the limit to the byte, and writes the next", () => {
    const one = new PublishWriter(settings);
    one.append(outgoing({ payload: Buffer.alloc(150) }), 1);
    const size = one.take().length;
    const exact = new PublishWriter({ ...settings, maxBytes: size });
    expect(exact.append(outgoing({ payload: Buffer.alloc(151) }), 1)).toMatch(`${size + 1} bytes`);
    expect(exact.size).toBe(0);
    expect(exact.append(outgoing({ payload: Buffer.alloc(150) }), 1)).toBeUndefined();
    expect(read(exact.take(), 5)).toHaveLength(1);
  });

  it.each([
    ["a wildcard", "plant/+/a"],
    ["a NUL", "plant/\0"],
    ["nothing", ""],
    ["too many bytes", "ä".repeat(33_000)],
  ])("refuses a topic with %s", (_, topic) => {
    const writer = new PublishWriter(settings);
    expect(writer.append(outgoing({ topic }), 1)).toEqual(expect.any(String));
    expect(writer.append(outgoing({ topic }), 1)).toEqual(expect.any(String));
    expect(writer.size).toBe(0);
  });

  it("refuses a property that has no place", () => {
    const writer = new PublishWriter(settings);
    expect(writer.append(outgoing({ properties: [["k", "v".repeat(65_536)]] }), 1)).toMatch("65535");
    expect(writer.size).toBe(0);
  });

  it("carries the content type in MQTT 5 and the retain flag only where allowed", () => {
    const writer = new PublishWriter({ ...settings, retain: false, properties: false });
    writer.append(outgoing({ contentType: "text/plain", retain: true, properties: [["id", "1"]] }), 9);
    const [packet] = read(writer.take(), 5);
    expect(packet?.properties).toEqual({ contentType: "text/plain" });
    expect(packet?.retain).toBe(false);
  });
});
