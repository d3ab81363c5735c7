import type { Stored } from "./capture-lane.ts";

/** QoS 2 messages one client may have stored without releasing them. */
export const MAX_UNRELEASED = 100;
const MAX_CLIENTS = 2000;

interface Entry {
  stored: boolean;
  readonly waiters: Stored[];
}

/**
 * Remembers by (client, packet identifier) which QoS 2 messages are stored, from their first PUBLISH until PUBREL
 * [MQTT-4.3.3-2], over reconnections of the session. Lives in memory: across a restart it is at least once.
 */
export class OnceStore {
  readonly #clients = new Map<string, Map<number, Entry>>();

  /**
   * Calls `store` unless this message is stored or about to be; `done` learns the outcome either way. False when the
   * client has too many that it did not release: nothing was called.
   */
  store(clientId: string, packetId: number, store: (done: Stored) => void, done: Stored): boolean {
    const entries = this.#entriesOf(clientId);
    const known = entries.get(packetId);
    if (known) {
      if (known.stored) done();
      else known.waiters.push(done);
      return true;
    }
    if (entries.size >= MAX_UNRELEASED) return false;
    const entry: Entry = { stored: false, waiters: [done] };
    entries.set(packetId, entry);
    store((error) => {
      if (error) {
        if (entries.get(packetId) === entry) entries.delete(packetId);
      } else {
        entry.stored = true;
      }
      for (const waiter of entry.waiters.splice(0)) waiter(error);
    });
    return true;
  }

  /** PUBREL: the packet identifier may be used for another message. */
  release(clientId: string, packetId: number): void {
    const entries = this.#clients.get(clientId);
    entries?.delete(packetId);
    if (entries?.size === 0) this.#clients.delete(clientId);
  }

  /** The session is over. */
  forget(clientId: string): void {
    this.#clients.delete(clientId);
  }

  #entriesOf(clientId: string): Map<number, Entry> {
    const known = this.#clients.get(clientId);
    if (known) return known;
    if (this.#clients.size >= MAX_CLIENTS) {
      const oldest = this.#clients.keys().next();
      if (!oldest.done) this.#clients.delete(oldest.value);
    }
    const entries = new Map<number, Entry>();
    this.#clients.set(clientId, entries);
    return entries;
  }
}
