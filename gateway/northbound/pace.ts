import type { Outgoing } from "../core/uplink.ts";
import { BackfillWindow } from "./backfill-window.ts";
import { TokenBucket } from "./bucket.ts";
import type { Part } from "./job.ts";
import type { MaxRate } from "./options.ts";
import { monotonicMs } from "./pause.ts";

/** What of a capped rate backfill leaves in the bucket, for live data that comes. */
const RESERVE = 0.5;
const METER_MS = 1000;

export interface PaceSettings {
  readonly maxRate: MaxRate;
  /** Whether there is a backfill lane that has to give way. */
  readonly backfill: boolean;
  /** Bytes in flight at most. */
  readonly maxBytes: number;
}

/** How quickly backfill goes at present. */
export interface BackfillPace {
  /** What is acknowledged of it, as of the last second. */
  readonly messagesPerSecond: number;
  readonly bytesPerSecond: number;
  /** Bytes in flight, live ones too, at which it waits. */
  readonly windowBytes: number;
  /** The least round trip seen, and the last one; 0 while unknown. */
  readonly baseRoundTripMs: number;
  readonly roundTripMs: number;
}

/** Says when something may be sent: under the configured rate, and backfill only as far as the link takes it. */
export class Pace {
  readonly #buckets: { readonly bucket: TokenBucket; readonly amount: (part: Part) => number }[] = [];
  readonly #window: BackfillWindow | undefined;
  readonly #wake: () => void;
  #timer: NodeJS.Timeout | undefined;
  #flyingBytes = 0;
  #meter = { sinceMs: 0, messages: 0, bytes: 0 };
  #measured = { messages: 0, bytes: 0 };

  /** @param wake called when something may be sent again. */
  constructor({ maxRate, backfill, maxBytes }: PaceSettings, wake: () => void) {
    const nowMs = monotonicMs();
    const { messages, bytes } = maxRate;
    if (messages !== undefined) this.#buckets.push({ bucket: new TokenBucket(messages, nowMs), amount: () => 1 });
    if (bytes !== undefined)
      this.#buckets.push({ bucket: new TokenBucket(bytes, nowMs), amount: (part) => part.bytes });
    if (backfill) this.#window = new BackfillWindow(maxBytes, nowMs);
    this.#meter.sinceMs = nowMs;
    this.#wake = wake;
  }

  /** Whether anything may be sent now; `wake` is called when not. */
  get open(): boolean {
    return this.#buckets.length === 0 || this.#within(0);
  }

  /** Whether backfill may be sent now, beside what is in flight. */
  get backfillOpen(): boolean {
    const window = this.#window;
    if (!window) return false;
    if (this.#flyingBytes >= window.bytes) {
      window.full();
      return false;
    }
    return this.#buckets.length === 0 || this.#within(RESERVE);
  }

  /** Undefined without a backfill lane. */
  get backfill(): BackfillPace | undefined {
    const window = this.#window;
    if (!window) return undefined;
    this.#measure(monotonicMs());
    return {
      messagesPerSecond: this.#measured.messages,
      bytesPerSecond: this.#measured.bytes,
      windowBytes: window.bytes,
      baseRoundTripMs: window.baseMs,
      roundTripMs: window.roundTripMs,
    };
  }

  sent(part: Part): void {
    if (!this.#window && this.#buckets.length === 0) return;
    const nowMs = monotonicMs();
    part.sentMs = nowMs;
    if (part.bytes === 0) part.bytes = wireBytes(part.message);
    this.#flyingBytes += part.bytes;
    for (const { bucket, amount } of this.#buckets) bucket.take(amount(part), nowMs);
  }

  /** @param how `over`: without an answer, because the connection is gone. */
  answered(part: Part, how: "acknowledged" | "refused" | "over"): void {
    this.#flyingBytes -= part.bytes;
    if (!this.#window || how === "over") return;
    const nowMs = monotonicMs();
    if (how === "refused") this.#window.refused(nowMs);
    else this.#window.acknowledged(part.sentMs, part.bytes, nowMs);
    if (how === "refused" || !part.job.backfill) return;
    this.#measure(nowMs);
    this.#meter.messages++;
    this.#meter.bytes += part.bytes;
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #measure(nowMs: number): void {
    const { sinceMs, messages, bytes } = this.#meter;
    const seconds = (nowMs - sinceMs) / 1000;
    if (seconds * 1000 < METER_MS) return;
    this.#measured = { messages: messages / seconds, bytes: bytes / seconds };
    this.#meter = { sinceMs: nowMs, messages: 0, bytes: 0 };
  }

  #within(reserve: number): boolean {
    const nowMs = monotonicMs();
    const waitMs = Math.max(...this.#buckets.map(({ bucket }) => bucket.waitMs(nowMs, reserve)));
    if (waitMs === 0) return true;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#wake, Math.max(1, Math.ceil(waitMs)));
    return false;
  }
}

/** About what the message takes on the wire. */
export function wireBytes({ topic, payload, properties }: Outgoing): number {
  let bytes = payload.byteLength + topic.length + 10;
  for (const [name, value] of properties) bytes += name.length + value.length + 5;
  return bytes;
}
