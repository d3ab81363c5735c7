import fc from "fast-check";
import { generate } from "mqtt-packet";
import { describe, expect, it } from "vitest";
import { FrameFault, FrameReader } from "../../gateway/broker/frames.ts";
import { connectPacket, publishPacket } from "./support.ts";

const CONNECT = generate(connectPacket());

function read(chunks: readonly Buffer[], maxPacket = 1000): { bytes: Buffer; types: number[] } {
  const reader = new FrameReader(maxPacket);
  const types: number[] = [];
  const out: Buffer[] = [];
  for (const chunk of chunks) {
    reader.feed(chunk);
    for (let frame = reader.next(); frame; frame = reader.next()) {
      types.push(frame.type);
      reader.accept();
    }
    out.push(...reader.drain());
  }
  return { bytes: Buffer.concat(out), types };
}

function faultOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof FrameFault) return error.reason;
    throw error;
  }
  return "none";
}

function cut(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const chunks: Buffer[] = [];
  let at = 0;
  for (let index = 0; at < bytes.length; index += 1) {
    const size = sizes[index % sizes.length] ?? 1;
    chunks.push(bytes.subarray(at, at + size));
    at += size;
  }
  return chunks;
}

describe("FrameReader", () => {
  it("hands out the same packets however the bytes are cut", () => {
    const packet = fc.record({
      payload: fc.string({ maxLength: 300 }),
      qos: fc.constantFrom(0 as const, 1 as const, 2 as const),
    });
    fc.assert(
      fc.property(
        fc.array(packet, { maxLength: 12 }),
        fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 8 }),
        (packets, sizes) => {
          const published = packets.map(({ payload, qos }) => generate(publishPacket("a/b", payload, qos, 7)));
          const bytes = Buffer.concat([CONNECT, ...published, generate({ cmd: "pingreq" })]);
          const got = read(cut(bytes, sizes), 2000);
          expect(got.bytes.equals(bytes)).toBe(true);
          expect(got.types).toEqual([1, ...packets.map(() => 3), 12]);
        },
      ),
      { numRuns: 300, seed: 7 },
    );
  });

  it("keeps back what is not whole", () => {
    const publish = generate(publishPacket("a", "payload", 0));
    const got = read([CONNECT, publish.subarray(0, publish.length - 1)]);
    expect(got.bytes.equals(CONNECT)).toBe(true);
  });

  it("keeps a packet that was not accepted, whatever is fed behind it", () => {
    const first = generate(publishPacket("a", "1", 1, 1));
    const second = generate(publishPacket("a", "2", 1, 2));
    const third = generate(publishPacket("a", "3", 1, 3));
    for (const at of [0, 1, 4]) {
      const reader = new FrameReader(1000);
      const stream = Buffer.concat([first, second, third]);
      reader.feed(CONNECT);
      reader.next();
      reader.accept();
      reader.feed(stream.subarray(0, at));
      reader.next();
      reader.feed(stream.subarray(at, first.length + 2));
      expect(reader.next()?.size).toBe(first.length);
      reader.feed(stream.subarray(first.length + 2));
      const out: Buffer[] = [...reader.drain()];
      for (let frame = reader.next(); frame; frame = reader.next()) {
        reader.accept();
        out.push(...reader.drain());
      }
      expect(Buffer.concat(out).equals(Buffer.concat([CONNECT, stream]))).toBe(true);
    }
  });

  it.each([
    ["a first packet that is not CONNECT", [0x30], "not-connect"],
    ["a TLS hello", [0x16, 3, 1], "not-connect"],
    ["a second CONNECT", [...CONNECT, 0x10], "unexpected-packet"],
    ["a packet only servers send", [...CONNECT, 0x20, 2], "unexpected-packet"],
    ["a reserved packet type", [...CONNECT, 0xf0], "unexpected-packet"],
    ["five bytes of remaining length", [0x10, 0xff, 0xff, 0xff, 0xff, 1], "malformed"],
    ["256 MB", [0x10, 0xff, 0xff, 0xff, 0x7f], "too-large"],
    ["one byte over the limit", [0x10, 0xe6, 0x07], "too-large"],
    ["reserved bits", [...CONNECT, 0x80, 6], "malformed"],
    ["QoS 3", [...CONNECT, 0x36, 9], "malformed"],
    ["a ping with a body", [...CONNECT, 0xc0, 1], "malformed"],
    ["an acknowledgement of three bytes", [...CONNECT, 0x40, 3], "malformed"],
    ["a topic longer than its packet", [...CONNECT, 0x30, 3, 0, 9, 65], "malformed"],
    ["no room for the packet identifier", [...CONNECT, 0x32, 4, 0, 1, 65, 0], "malformed"],
    ["packet identifier 0 in PUBLISH", [...CONNECT, 0x32, 5, 0, 1, 65, 0, 0], "malformed"],
    ["packet identifier 0 in SUBSCRIBE", [...CONNECT, 0x82, 6, 0, 0, 0, 1, 65, 0], "malformed"],
  ])("refuses %s, in one chunk and byte by byte", (_what, bytes, reason) => {
    const whole = Buffer.from(bytes);
    expect(faultOf(() => read([whole]))).toBe(reason);
    expect(faultOf(() => read(cut(whole, [1])))).toBe(reason);
  });

  it("takes a packet of exactly the limit", () => {
    const publish = generate(publishPacket("a", "x".repeat(992), 0));
    expect(publish.length).toBe(998);
    expect(read([CONNECT, publish], 998).types).toEqual([1, 3]);
    expect(faultOf(() => read([CONNECT, publish], 997))).toBe("too-large");
  });
});
