import { setImmediate as turn } from "node:timers/promises";
import { topicMatches } from "../core/selector.ts";

const SCAN_PER_TURN = 500;

/** A retained message as the broker gave it. The payload is nobody else's. */
export interface Retained {
  readonly topic: string;
  readonly payload: Buffer | string;
  readonly qos: number;
}

export interface RetainedBounds {
  readonly maxMessages: number;
  readonly maxBytes: number;
}

/** Retained messages, in memory, bounded in number and bytes: what is beyond is forwarded but not retained. */
export class RetainedStore<T extends Retained> {
  readonly #bounds: RetainedBounds;
  readonly #messages = new Map<string, T>();
  #bytes = 0;

  constructor(bounds: RetainedBounds) {
    this.#bounds = bounds;
  }

  get size(): number {
    return this.#messages.size;
  }
  get bytes(): number {
    return this.#bytes;
  }

  /** An empty payload removes [MQTT-3.3.1-10]. False when there is no room; then the old message is gone too. */
  set(message: T): boolean {
    const { topic, payload } = message;
    const old = this.#messages.get(topic);
    if (old) {
      this.#messages.delete(topic);
      this.#bytes -= sizeOf(old);
    }
    if (payload.length === 0) return true;
    const size = sizeOf(message);
    const { maxMessages, maxBytes } = this.#bounds;
    if (this.#messages.size >= maxMessages || this.#bytes + size > maxBytes) return false;
    this.#bytes += size;
    this.#messages.set(topic, message);
    return true;
  }

  all(): IterableIterator<T> {
    return this.#messages.values();
  }

  /** What matches, filter by filter; gives other work its turn while it looks. */
  async *match(filters: readonly string[]): AsyncGenerator<T> {
    for (const filter of filters) {
      if (!/[+#]/.test(filter)) {
        const message = this.#messages.get(filter);
        if (message) yield message;
        continue;
      }
      let looked = 0;
      for (const [topic, message] of this.#messages) {
        looked += 1;
        if (looked % SCAN_PER_TURN === 0) await turn();
        if (topicMatches(filter, topic)) yield message;
      }
    }
  }
}

function sizeOf({ topic, payload }: Retained): number {
  return topic.length + payload.length;
}
