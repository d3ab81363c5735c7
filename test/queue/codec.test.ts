import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Content, StoredSample } from "../../gateway/core/record.ts";
import type { Value } from "../../gateway/core/sample.ts";
import { ByteReader, ByteWriter, DamagedError } from "../../gateway/queue/bytes.ts";
import { sizeOf } from "../../gateway/queue/content.ts";
import { encodeRecord, RecordReader } from "../../gateway/queue/record.ts";
import { Sources } from "../../gateway/queue/sources.ts";

const TAGS = ["temperature", "Zähler", "x"];
const SOURCE = {
  link: "plc-1",
  device: "press-1",
  group: "1000ms",
  topic: "plant/press-1",
  tags: TAGS.map((name) => ({ name, type: "float32" })),
};

const text = fc.string({ unit: "grapheme", maxLength: 60 });
const bytes = fc.uint8Array({ maxLength: 400 }).map((array) => Buffer.from(array));
const value: fc.Arbitrary<Value> = fc.oneof(
  fc.boolean(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.maxSafeInteger(),
  fc.constantFrom(Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, 0, -0, -1, 63, 64, -64, -65),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }),
  fc.float({ noNaN: true, noDefaultInfinity: true }),
  text,
  bytes,
);
const offsetMs = fc.integer({ min: -(2 ** 31), max: 2 ** 31 });
const reason = fc.string({ minLength: 1, maxLength: 30 });
const sample: fc.Arbitrary<StoredSample> = fc.oneof(
  fc.record({ tag: fc.constantFrom(...TAGS), quality: fc.constant("good" as const), value, offsetMs }),
  fc.record({ tag: fc.constantFrom(...TAGS), quality: fc.constant("stale" as const), value, reason, offsetMs }),
  fc.record({ tag: fc.constantFrom(...TAGS), quality: fc.constant("bad" as const), reason, offsetMs }),
);
const content: fc.Arbitrary<Content> = fc.oneof(
  fc.array(sample, { maxLength: 20 }).map((samples) => ({ kind: "samples" as const, source: SOURCE, samples })),
  fc.record({
    kind: fc.constant("message" as const),
    topic: text,
    payload: bytes,
    qos: fc.constantFrom(0, 1, 2),
    retain: fc.boolean(),
  }),
);

describe("records", () => {
  it("come back as they were stored, whatever they hold", () => {
    const sources = new Sources();
    const known = sources.of(SOURCE);
    const out = new ByteWriter();
    const found = new RecordReader();
    fc.assert(
      fc.property(
        content,
        fc.integer({ min: 1, max: 2 ** 50 }),
        fc.double(),
        fc.boolean(),
        (made, seq, monoMs, synced) => {
          const clock = synced ? ("synced" as const) : ("unsynced" as const);
          const record = { taken: { wallMs: 1e12, monoMs, clock }, content: made };
          const source = made.kind === "samples" ? known : undefined;
          const stored = encodeRecord(out, 17, seq, record, source, [{ slot: 300, head: seq - 1 }]);
          found.open(17, seq, stored);
          expect(found.content((id) => (id === known.id ? SOURCE : undefined))).toEqual(made);
          expect([found.clock, found.monoMs, found.prevOf(300)]).toEqual([clock, monoMs, seq - 1]);
          expect(sizeOf(made, source)).toBeGreaterThanOrEqual(stored.length - 48);
        },
      ),
      { numRuns: 500 },
    );
  });

  it("that cannot be stored are refused before they get a seq", () => {
    const known = new Sources().of(SOURCE);
    const of = (tag: string, at: Value): Content => ({
      kind: "samples",
      source: SOURCE,
      samples: [{ tag, quality: "good", value: at, offsetMs: 0 }],
    });
    expect(() => sizeOf(of("nothing", 1), known)).toThrow(RangeError);
    expect(() => sizeOf(of("x", 2n ** 64n), known)).toThrow(RangeError);
    expect(() => sizeOf(of("x", -(2n ** 63n) - 1n), known)).toThrow(RangeError);
  });

  it("that end early or hold nonsense are damaged, never anything else", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (array) => {
        const reader = new ByteReader();
        for (const read of ["varint", "zigzag", "text", "u32", "f64", "i64"] as const) {
          reader.open(Buffer.from(array), 0);
          try {
            for (;;) reader[read]();
          } catch (error) {
            expect(error).toBeInstanceOf(DamagedError);
          }
        }
      }),
    );
  });
});

describe("sources", () => {
  it("share an id when they are equal, and only then", () => {
    const sources = new Sources();
    const { id } = sources.of(SOURCE);
    expect(sources.of({ ...SOURCE }).id).toBe(id);
    expect(sources.of({ ...SOURCE, group: "5000ms" }).id).not.toBe(id);
  });
});
