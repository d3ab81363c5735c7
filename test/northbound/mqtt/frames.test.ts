import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FrameReader, MalformedError } from "../../../gateway/northbound/mqtt/frames.ts";
import { PacketReader } from "../../../gateway/northbound/mqtt/wire.ts";

function frame(payload: number): Buffer {
  const length: number[] = [];
  let rest = payload;
  do {
    const byte = rest % 128;
    rest = Math.floor(rest / 128);
    length.push(rest > 0 ? byte | 128 : byte);
  } while (rest > 0);
  return Buffer.concat([Buffer.from([0x40, ...length]), Buffer.alloc(payload, payload % 251)]);
}

describe("FrameReader", () => {
  it("finds the same packets however the stream is cut", () => {
    const sizes = fc.array(fc.integer({ min: 0, max: 400 }), { maxLength: 30 });
    fc.assert(
      fc.property(sizes, fc.infiniteStream(fc.integer({ min: 1, max: 97 })), (all, cuts) => {
        const frames = all.map(frame);
        const bytes = Buffer.concat(frames);
        const got: Buffer[] = [];
        const reader = new FrameReader(1000, (one) => got.push(Buffer.from(one)));
        for (let at = 0; at < bytes.length; ) {
          const cut = cuts.next().value ?? 1;
          reader.push(bytes.subarray(at, at + cut));
          at += cut;
        }
        expect(got).toEqual(frames);
      }),
    );
  });

  it("refuses a packet that is larger than announced before it is here", () => {
    const reader = new FrameReader(100, () => {});
    expect(() => reader.push(Buffer.from([0x30, 0x80, 0x80, 0x01]))).toThrow(MalformedError);
  });

  it("refuses a length of five bytes", () => {
    const reader = new FrameReader(1e9, () => {});
    expect(() => reader.push(Buffer.from([0x30, 0x80, 0x80, 0x80, 0x80, 0x01]))).toThrow(MalformedError);
  });
});

describe("PacketReader", () => {
  it("throws one kind of error for whatever bytes a server sends, and reads on after it", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.integer({ min: 0, max: 255 }), (body, head) => {
        const reader = new PacketReader(5);
        try {
          reader.read(Buffer.concat([Buffer.from([head, body.length]), body]));
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedError);
        }
      }),
      { numRuns: 3000 },
    );
  });
});
