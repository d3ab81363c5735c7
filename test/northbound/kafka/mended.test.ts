import { createRequire } from "node:module";
import { describe, expect, it } from "vitest";
import { mendLibrary } from "../../../gateway/northbound/kafka/mended.ts";

interface Encoder {
  readonly buffer: Buffer;
  writeVarInt(value: number): Encoder;
  writeVarLong(value: number): Encoder;
}
interface EncoderClass {
  new (): Encoder;
  sizeOfVarLong(value: number): number;
  readonly prototype: object;
}
type Encode = (options: object) => Encoder;

const inside = createRequire(import.meta.resolve("../../../gateway/northbound/kafka/mended.ts"));
const EncoderOf = inside("kafkajs/src/protocol/encoder") as EncoderClass;
const record = inside("kafkajs/src/protocol/recordBatch/record/v0") as Encode;

const NUMBERS = [0, 1, -1, 63, 64, -64, -65, 127, 128, 8191, 8192, 2 ** 20, -(2 ** 20), 2 ** 31 - 1, -(2 ** 31)];

/** Bytes of numbers and of records of several sizes. */
function written(): string[] {
  const numbers = NUMBERS.map((value) => new EncoderOf().writeVarInt(value).writeVarLong(value).buffer.toString("hex"));
  const sizes = NUMBERS.map((value) => String(EncoderOf.sizeOfVarLong(value)));
  const records = [0, 1, 40, 60, 64, 70, 200, 511, 512, 5000, 70_000].map((bytes) => {
    const headers = { id: "gw/events/1/2", wide: "ä".repeat(bytes % 300), raw: Buffer.alloc(bytes % 100, 7) };
    return record({
      offsetDelta: bytes,
      key: "plant/line-1",
      value: Buffer.alloc(bytes, "x"),
      headers,
    }).buffer.toString("hex");
  });
  return [...numbers, ...sizes, ...records];
}

describe("the library as it is mended", () => {
  it("writes the same bytes", () => {
    const { writeUVarInt } = EncoderOf.prototype as Record<string, unknown>;
    const before = written();
    mendLibrary();
    expect((EncoderOf.prototype as Record<string, unknown>)["writeUVarInt"]).not.toBe(writeUVarInt);
    expect(written()).toEqual(before);
  });
});
