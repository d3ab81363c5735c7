import { describe, expect, it } from "vitest";
import { Ring } from "../../gateway/recorder/ring.ts";

const numbered = (n: number) => Buffer.from(String(n).padStart(68, "x"));

describe("the ring", () => {
  it("gives back what was written, in order", () => {
    const ring = new Ring(1 << 20, 60_000);
    ring.write(2, Buffer.from("ask"), 0, 7, 10, 1000);
    ring.write(3, Buffer.from("answer"), 3, 7, 20, 1010);
    const { first, entries } = ring.since(0, 20);
    expect(first).toBe(0);
    expect(entries.map((entry) => ({ ...entry, bytes: entry.bytes.toString() }))).toEqual([
      { kind: 2, peer: 0, connection: 7, monoMs: 10, wallMs: 1000, bytes: "ask" },
      { kind: 3, peer: 3, connection: 7, monoMs: 20, wallMs: 1010, bytes: "answer" },
    ]);
    expect(ring.since(1, 20).entries).toHaveLength(1);
    expect(ring.since(2, 20)).toEqual({ first: 2, entries: [] });
  });

  it("never takes more memory than it was given, and keeps what came last", () => {
    const ring = new Ring(128 * 1024, 60_000);
    for (let n = 0; n < 10_000; n++) ring.write(3, numbered(n), 0, 1, n, n);
    expect(ring.memory).toBe(128 * 1024);
    const { first, entries } = ring.since(0, 10_000);
    expect(first).toBe(10_000 - entries.length);
    expect(entries.length).toBeGreaterThan(900);
    expect(entries.map(({ bytes }) => bytes.toString())).toEqual(
      Array.from({ length: entries.length }, (_, at) => numbered(first + at).toString()),
    );
  });

  it("drops what is too old, and then takes no new memory", () => {
    const ring = new Ring(1 << 20, 1_000);
    for (let n = 0; n < 10_000; n++) ring.write(3, numbered(n), 0, 1, n * 10, 0);
    expect(ring.memory).toBeLessThan(128 * 1024);
    expect(ring.since(0, 99_990).entries).toHaveLength(101);
    expect(ring.since(0, 200_000).entries).toHaveLength(0);
  });

  it("gives copies: what is written afterwards does not change them", () => {
    const ring = new Ring(64 * 1024, 60_000);
    ring.write(3, Buffer.from("first"), 0, 1, 0, 0);
    const { entries } = ring.since(0, 0);
    for (let n = 0; n < 5_000; n++) ring.write(3, numbered(n), 0, 1, n, n);
    expect(entries[0]?.bytes.toString()).toBe("first");
  });

  it("divides what is too long for one entry", () => {
    const ring = new Ring(1 << 20, 60_000);
    const long = Buffer.from(Array.from({ length: 100_000 }, (_, at) => at & 255));
    ring.write(3, long, 0, 1, 0, 0);
    const { entries } = ring.since(0, 0);
    expect(entries.length).toBe(4);
    expect(Buffer.concat(entries.map(({ bytes }) => bytes)).equals(long)).toBe(true);
  });
});
