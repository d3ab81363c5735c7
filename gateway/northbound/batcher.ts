import { Buffer } from "node:buffer";
import type { Entry } from "../core/record.ts";
import type { Outgoing } from "../core/uplink.ts";

export interface BatchOptions {
  /** Records in one message at most. */
  readonly count: number;
  /** Bytes of its body at most; one record may be more. */
  readonly bytes: number;
  /** How long the first record of a message waits for company. */
  readonly lingerMs: number;
  /** Bodies compressed where that makes them smaller. */
  readonly gzip?: boolean;
}

export interface BatcherSettings extends BatchOptions {
  readonly joins: "json" | "lines";
  /** Records held back at most, over all topics: beyond, messages go before they are full. */
  readonly most: number;
}

/** One record of a message that covers several. */
export interface Batched {
  readonly entry: Entry;
  readonly body: Uint8Array;
}

interface Open {
  readonly message: Outgoing;
  readonly sinceMs: number;
  readonly items: Batched[];
  bytes: number;
}

/** Several records as one message: a JSON array of their bodies, or lines. The first one's topic and content type hold. */
export function joined(message: Outgoing, items: readonly Batched[], joins: "json" | "lines"): Outgoing {
  const parts: Uint8Array[] = [];
  for (const { body } of items) parts.push(Buffer.from(joins === "json" && parts.length > 0 ? "," : ""), body);
  if (joins === "json") return { ...message, payload: Buffer.concat([OPEN, ...parts, CLOSE]) };
  const lines = items.map(({ body }) => Buffer.from(body).toString("utf8").replace(/\n$/, ""));
  return { ...message, payload: Buffer.from(lines.join("\n")) };
}
const OPEN = Buffer.from("[");
const CLOSE = Buffer.from("]");

/**
 * Gathers records of one topic into messages, each in order of arrival. What it holds has left the queue's reading but stays
 * owed, so that nothing is lost with it.
 */
export class Batcher {
  readonly #settings: BatcherSettings;
  readonly #open = new Map<string, Open>();
  readonly #ready: Open[] = [];
  #size = 0;

  constructor(settings: BatcherSettings) {
    this.#settings = settings;
  }

  /** Records held back. */
  get size(): number {
    return this.#size;
  }
  get full(): boolean {
    return this.#size >= this.#settings.most;
  }

  add(entry: Entry, message: Outgoing, nowMs: number): void {
    const { count, bytes } = this.#settings;
    const key = `${message.topic}\0${message.contentType ?? ""}`;
    const length = message.payload.byteLength + 1;
    let open = this.#open.get(key);
    if (open !== undefined && open.bytes + length > bytes) {
      this.#close(key, open);
      open = undefined;
    }
    if (open === undefined) {
      open = { message, sinceMs: nowMs, items: [], bytes: 1 };
      this.#open.set(key, open);
    }
    open.items.push({ entry, body: message.payload });
    open.bytes += length;
    this.#size++;
    if (open.items.length >= count || open.bytes >= bytes) this.#close(key, open);
  }

  /** Whether `take` gives one. */
  ready(nowMs: number): boolean {
    return this.#ready.length > 0 || this.#due(nowMs) !== undefined;
  }

  /** The next message that is full or has waited long enough; when too much is held back, the largest. */
  take(nowMs: number): { readonly message: Outgoing; readonly items: readonly Batched[] } | undefined {
    let next = this.#ready.shift();
    if (next === undefined) {
      const key = this.#due(nowMs);
      if (key === undefined) return undefined;
      next = this.#open.get(key);
      this.#open.delete(key);
    }
    if (next === undefined) return undefined;
    this.#size -= next.items.length;
    return { message: joined(next.message, next.items, this.#settings.joins), items: next.items };
  }

  /** When a message will have waited long enough, on the clock of `add`; undefined when none waits. */
  get dueMs(): number | undefined {
    // In order of their first record.
    for (const { sinceMs } of this.#open.values()) return sinceMs + this.#settings.lingerMs;
    return undefined;
  }

  #close(key: string, open: Open): void {
    this.#open.delete(key);
    this.#ready.push(open);
  }

  #due(nowMs: number): string | undefined {
    const { lingerMs } = this.#settings;
    if (!this.full) {
      for (const [key, { sinceMs }] of this.#open) return nowMs - sinceMs >= lingerMs ? key : undefined;
      return undefined;
    }
    let most: string | undefined;
    let bytes = 0;
    for (const [key, open] of this.#open) {
      if (open.bytes <= bytes) continue;
      most = key;
      bytes = open.bytes;
    }
    return most;
  }
}

/** Of the greatest packet, what a body leaves to topic, properties and headers. */
const HEAD_BYTES = 512;

/** Batches that fit into packets of so many bytes. */
export function batchWithin(batch: BatchOptions | undefined, maxBytes: number | undefined): BatchOptions | undefined {
  if (batch === undefined || maxBytes === undefined) return batch;
  return { ...batch, bytes: Math.min(batch.bytes, Math.max(1, maxBytes - HEAD_BYTES)) };
}
