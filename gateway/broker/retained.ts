import { setImmediate as turn } from "node:timers/promises";
import { topicMatches } from "../core/selector.ts";

export const MAX_RETAINED = 10_000;
export const MAX_RETAINED_BYTES = 16 * 1024 * 1024;
const SCAN_PER_TURN = 500;

/** What is kept of a message. The payload is a copy of its own: one of the socket's would keep its whole chunk alive. */
export interface StoredMessage {
  readonly cmd: "publish";
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: number;
  readonly retain: boolean;
  readonly dup: boolean;
}

/** Retained messages, in memory, bounded in number and bytes: what is beyond is forwarded but not retained. */
export class RetainedStore {
  readonly #messages = new Map<string, StoredMessage>();
  #bytes = 0;

  get size(): number {
    return this.#messages.size;
  }
  get bytes(): number {
    return this.#bytes;
  }

  /** An empty payload removes [MQTT-3.3.1-10]. False when there is no room; then the old message is gone too. */
  set(topic: string, payload: Uint8Array, qos: number): boolean {
    const old = this.#messages.get(topic);
    if (old) {
      this.#messages.delete(topic);
      this.#bytes -= sizeOf(topic, old.payload);
    }
    if (payload.length === 0) return true;
    const size = sizeOf(topic, payload);
    if (this.#messages.size >= MAX_RETAINED || this.#bytes + size > MAX_RETAINED_BYTES) return false;
    this.#bytes += size;
    const message = { cmd: "publish", topic, payload: Buffer.from(payload), qos, retain: true, dup: false } as const;
    this.#messages.set(topic, message);
    return true;
  }

  /** What matches, filter by filter; gives other work its turn while it looks. */
  async *match(filters: readonly string[]): AsyncGenerator<StoredMessage> {
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

function sizeOf(topic: string, payload: Uint8Array): number {
  return topic.length + payload.length;
}
