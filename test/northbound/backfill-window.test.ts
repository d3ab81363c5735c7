import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BackfillWindow } from "../../gateway/northbound/backfill-window.ts";

const MESSAGE = 320;
const MOST = 1024 * 1024;

interface Flight {
  readonly sentMs: number;
  readonly backMs: number;
}

/** A link in numbers: messages one after the other at its rate, acknowledged a round trip after they left. */
class Link {
  bytesPerMs: number;
  roundTripMs: number;
  nowMs = 0;
  delivered = 0;
  /** Time each message spent waiting for the link. */
  waits: number[] = [];
  readonly window: BackfillWindow;
  readonly #flights: Flight[] = [];
  #freeMs = 0;

  constructor(bitsPerSecond: number, roundTripMs: number) {
    this.bytesPerMs = bitsPerSecond / 8000;
    this.roundTripMs = roundTripMs;
    this.window = new BackfillWindow(MOST, 0);
  }

  /** Sends whatever the window allows, beside `liveBytesPerMs` that ask nobody. */
  run(forMs: number, liveBytesPerMs = 0): void {
    this.delivered = 0;
    this.waits = [];
    let live = 0;
    for (const end = this.nowMs + forMs; this.nowMs < end; this.nowMs++) {
      for (let flight = this.#flights[0]; flight && flight.backMs <= this.nowMs; flight = this.#flights[0]) {
        this.#flights.shift();
        this.window.acknowledged(flight.sentMs, MESSAGE, this.nowMs);
        this.delivered += MESSAGE;
      }
      for (live += liveBytesPerMs; live >= MESSAGE; live -= MESSAGE) this.#send();
      while (this.#flights.length * MESSAGE < this.window.bytes) this.#send();
      this.window.full();
    }
  }

  /** What the last run delivered, as the time the link needed for it. */
  get use(): number {
    return this.delivered / this.bytesPerMs;
  }
  wait(part: number): number {
    const sorted = this.waits.toSorted((a, b) => a - b);
    return sorted[Math.floor((sorted.length - 1) * part)] ?? 0;
  }

  #send(): void {
    this.#freeMs = Math.max(this.#freeMs, this.nowMs) + MESSAGE / this.bytesPerMs;
    this.waits.push(this.#freeMs - this.nowMs);
    this.#flights.push({ sentMs: this.nowMs, backMs: this.#freeMs + this.roundTripMs });
  }
}

describe("the backfill window", () => {
  it.each([
    { bits: 2_000_000, roundTrip: 100 },
    { bits: 200_000, roundTrip: 300 },
    { bits: 10_000_000, roundTrip: 20 },
    { bits: 1_000_000, roundTrip: 600 },
  ])("fills a link of $bits bit/s and $roundTrip ms and leaves no queue in it", ({ bits, roundTrip }) => {
    const link = new Link(bits, roundTrip);
    link.run(40 * roundTrip);
    link.run(20_000);
    expect(link.use / 20_000).toBeGreaterThan(0.93);
    expect(link.wait(0.95)).toBeLessThan(Math.max(10, 0.35 * roundTrip) + MESSAGE / link.bytesPerMs);
    expect(link.window.bytes).toBeLessThan(1.5 * link.bytesPerMs * roundTrip + 8 * MESSAGE);
  });

  it("gives way to what is live: the link stays full, and the queue short", () => {
    const link = new Link(2_000_000, 100);
    link.run(5000);
    link.run(20_000, 0.4 * link.bytesPerMs);
    expect(link.use / 20_000).toBeGreaterThan(0.93);
    expect(link.wait(0.95)).toBeLessThan(35);
  });

  it("follows the link when it becomes quicker, and when it becomes slower", () => {
    const link = new Link(1_000_000, 100);
    link.run(10_000);
    link.bytesPerMs *= 4;
    link.run(10_000);
    link.run(10_000);
    expect(link.use / 10_000).toBeGreaterThan(0.9);
    link.bytesPerMs /= 8;
    link.run(5000);
    link.run(10_000);
    expect(link.use / 10_000).toBeGreaterThan(0.9);
    expect(link.wait(0.95)).toBeLessThan(60);
  });

  it("learns in the end that the way has become longer", () => {
    const link = new Link(2_000_000, 50);
    link.run(10_000);
    link.roundTripMs = 200;
    link.run(400_000);
    expect(link.window.baseMs).toBeGreaterThan(199);
    link.run(20_000);
    expect(link.use / 20_000).toBeGreaterThan(0.9);
  });

  it("halves when messages are refused, once a round trip", () => {
    const link = new Link(2_000_000, 100);
    link.run(10_000);
    const before = link.window.bytes;
    link.window.refused(link.nowMs);
    link.window.refused(link.nowMs);
    link.run(150);
    expect(link.window.bytes).toBeLessThan(0.7 * before);
    expect(link.window.bytes).toBeGreaterThan(0.4 * before);
  });

  it("halves when acknowledgements are late, again and again, down to a few messages", () => {
    const window = new BackfillWindow(MOST, 0);
    for (let now = 0; now < 2000; now += 50) {
      window.full();
      window.acknowledged(now, MESSAGE, now + 50);
    }
    const before = window.bytes;
    expect(before).toBeGreaterThan(100_000);
    window.acknowledged(2010, MESSAGE, 2400);
    expect(window.bytes).toBe(before / 2);
    for (let now = 2400; now < 60_000; now += 400) window.acknowledged(now, MESSAGE, now + 400);
    expect(window.bytes).toBeLessThan(4096);
    expect(window.bytes).toBeGreaterThan(0);
  });

  it("does not grow while nobody waits for it", () => {
    const window = new BackfillWindow(MOST, 0);
    const first = window.bytes;
    for (let now = 0; now < 5000; now += 50) window.acknowledged(now, MESSAGE, now + 50);
    expect(window.bytes).toBe(first);
  });

  it("stays within its bounds, whatever comes", () => {
    const event = fc.record({
      what: fc.constantFrom("ack", "refused", "full"),
      passMs: fc.double({ min: 0, max: 5000, noNaN: true }),
      tookMs: fc.double({ min: 0, max: 5000, noNaN: true }),
      bytes: fc.integer({ min: 0, max: 1_000_000 }),
    });
    fc.assert(
      fc.property(fc.array(event, { maxLength: 200 }), (events) => {
        const window = new BackfillWindow(MOST, 0);
        let now = 0;
        for (const { what, passMs, tookMs, bytes } of events) {
          now += passMs;
          if (what === "ack") window.acknowledged(now - tookMs, bytes, now);
          else if (what === "refused") window.refused(now);
          else window.full();
          expect(window.bytes).toBeGreaterThanOrEqual(1024);
          expect(window.bytes).toBeLessThanOrEqual(MOST);
          expect(window.bytesPerSecond).not.toBeNaN();
        }
      }),
    );
  });
});
