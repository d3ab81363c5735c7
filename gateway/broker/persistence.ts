import { Readable } from "node:stream";
import { FilterTree } from "./filter-tree.ts";
import { RetainedStore } from "./retained.ts";
import { MAX_OFFLINE_BYTES, Session, type StoredPacket, type Tally } from "./session.ts";
import { filterFault, isSharedFilter } from "./topic-rules.ts";

export const MAX_SESSIONS = 1000;
/** Topic filters one client may hold. */
export const MAX_FILTERS = 500;
const MAX_ALL_OFFLINE_BYTES = 64 * MAX_OFFLINE_BYTES;

interface ClientRef {
  readonly id: string;
}
interface SubscriptionRef {
  readonly topic: string;
  readonly qos: number;
}
interface BrokerRef {
  readonly id: string;
  /** By client id; without a prototype. */
  readonly clients: Readonly<Record<string, unknown>>;
}
interface WillPacket {
  brokerId?: string;
  clientId?: string;
}

export interface PersistenceEvents {
  /** PUBREL was received. */
  onReleased(clientId: string, packetId: number): void;
  /** The session of a client is over. */
  onForgotten(clientId: string): void;
  onDropped(kind: "offline" | "retained" | "session", clientId: string | undefined): void;
}

/**
 * Sessions and retained messages in memory, every part of it bounded: what aedes keeps through its persistence port.
 * What a session has no room for is not kept for it, but still sent while its client is connected.
 */
export class MemoryPersistence {
  readonly #events: PersistenceEvents;
  readonly #sessions = new Map<string, Session>();
  readonly #tree = new FilterTree();
  readonly #wills = new Map<string, WillPacket>();
  readonly #kept = new WeakSet<readonly SubscriptionRef[]>();
  readonly #offline: Tally = { bytes: 0 };
  readonly retained = new RetainedStore();
  #broker: BrokerRef | undefined;

  constructor(events: PersistenceEvents) {
    this.#events = events;
  }

  get sessions(): number {
    return this.#sessions.size;
  }

  /** aedes insists on an async function here. */
  async setup(broker: BrokerRef): Promise<void> {
    this.#broker = broker;
    await Promise.resolve();
  }

  storeRetained(packet: StoredPacket): Promise<void> {
    const { topic = "", qos = 0 } = packet;
    const payload = packet.payload ?? "";
    const bytes = typeof payload === "string" ? Buffer.from(payload) : payload;
    if (!this.retained.set(topic, bytes, qos)) this.#events.onDropped("retained", undefined);
    return Promise.resolve();
  }

  createRetainedStreamCombi(filters: readonly string[]): Readable {
    return Readable.from(this.retained.match(filters.filter((filter) => isKeepable(filter))));
  }

  /** Called by aedes once per filter of a SUBSCRIBE, each time with all of them, denied ones too. */
  addSubscriptions(client: ClientRef, subscriptions: readonly SubscriptionRef[]): Promise<void> {
    if (this.#kept.has(subscriptions)) return Promise.resolve();
    this.#kept.add(subscriptions);
    const session = this.#open(client.id);
    for (const { topic, qos } of subscriptions) {
      const known = session.subscriptions.has(topic);
      if (!isKeepable(topic) || (!known && session.subscriptions.size >= MAX_FILTERS)) continue;
      session.subscriptions.set(topic, qos);
      if (qos > 0) this.#tree.add(topic, client.id);
      else this.#tree.remove(topic, client.id);
    }
    return Promise.resolve();
  }

  removeSubscriptions(client: ClientRef, filters: readonly string[]): Promise<void> {
    const session = this.#sessions.get(client.id);
    for (const filter of filters) {
      if (session?.subscriptions.delete(filter)) this.#tree.remove(filter, client.id);
    }
    return Promise.resolve();
  }

  subscriptionsByClient(client: ClientRef): Promise<SubscriptionRef[]> {
    const session = this.#open(client.id);
    this.#sessions.delete(client.id);
    this.#sessions.set(client.id, session);
    return Promise.resolve([...session.subscriptions].map(([topic, qos]) => ({ topic, qos })));
  }

  subscriptionsByTopic(topic: string): Promise<{ clientId: string; topic: string }[]> {
    return Promise.resolve([...this.#tree.match(topic)].map((clientId) => ({ clientId, topic })));
  }

  /** A clean session begins: whatever there was of an old one is gone [MQTT-3.1.2-6]. */
  cleanSubscriptions(client: ClientRef): Promise<void> {
    this.#end(client.id);
    return Promise.resolve();
  }

  outgoingEnqueue(subscription: { readonly clientId: string }, packet: StoredPacket): Promise<void> {
    return this.outgoingEnqueueCombi([subscription], packet);
  }

  outgoingEnqueueCombi(subscriptions: readonly { readonly clientId: string }[], packet: StoredPacket): Promise<void> {
    if (subscriptions.length === 0) return Promise.resolve();
    const payload = Buffer.from(packet.payload ?? "");
    for (const { clientId } of subscriptions) {
      const session = this.#sessions.get(clientId);
      if (!session) continue;
      const hasRoom = this.#offline.bytes < MAX_ALL_OFFLINE_BYTES;
      // [MQTT-3.3.1-9]: it is a live message for this subscription, whenever it arrives.
      if (!hasRoom || !session.enqueue({ ...packet, payload, retain: false }))
        this.#events.onDropped("offline", clientId);
    }
    return Promise.resolve();
  }

  outgoingUpdate(client: ClientRef, packet: StoredPacket): Promise<void> {
    this.#sessions.get(client.id)?.update(packet);
    return Promise.resolve();
  }

  outgoingClearMessageId(client: ClientRef, packet: StoredPacket): Promise<StoredPacket | undefined> {
    return Promise.resolve(this.#sessions.get(client.id)?.clear(packet.messageId));
  }

  outgoingStream(client: ClientRef): Readable {
    return Readable.from(this.#sessions.get(client.id)?.outgoing() ?? []);
  }

  incomingStorePacket(client: ClientRef, packet: StoredPacket): Promise<void> {
    const { messageId = 0 } = packet;
    // Only its presence is ever asked for: the message itself goes on at once.
    this.#open(client.id).incoming.set(messageId, { cmd: "publish", messageId });
    return Promise.resolve();
  }

  incomingGetPacket(client: ClientRef, packet: StoredPacket): Promise<StoredPacket> {
    const found = this.#sessions.get(client.id)?.incoming.get(packet.messageId ?? 0);
    return found ? Promise.resolve(found) : Promise.reject(new Error("no such packet"));
  }

  incomingDelPacket(client: ClientRef, packet: StoredPacket): Promise<void> {
    const { messageId = 0 } = packet;
    this.#events.onReleased(client.id, messageId);
    const found = this.#sessions.get(client.id)?.incoming.delete(messageId);
    return found ? Promise.resolve() : Promise.reject(new Error("no such packet"));
  }

  cleanIncoming(client: ClientRef): Promise<void> {
    this.#events.onForgotten(client.id);
    const session = this.#sessions.get(client.id);
    session?.incoming.clear();
    if (session?.isEmpty) this.#end(client.id);
    return Promise.resolve();
  }

  putWill(client: ClientRef, packet: WillPacket): Promise<void> {
    if (this.#broker) packet.brokerId = this.#broker.id;
    packet.clientId = client.id;
    this.#wills.set(client.id, packet);
    return Promise.resolve();
  }

  delWill(client: ClientRef): Promise<WillPacket | undefined> {
    const will = this.#wills.get(client.id);
    this.#wills.delete(client.id);
    return Promise.resolve(will);
  }

  /** Wills of brokers that died: there is only this one, and its wills end with its memory. */
  streamWill(): Readable {
    return Readable.from([]);
  }

  #open(clientId: string): Session {
    const known = this.#sessions.get(clientId);
    if (known) return known;
    if (this.#sessions.size >= MAX_SESSIONS) this.#evict();
    const session = new Session(this.#offline);
    this.#sessions.set(clientId, session);
    return session;
  }

  /** The session that was connected longest ago, of those without a connection. */
  #evict(): void {
    for (const clientId of this.#sessions.keys()) {
      if (this.#broker?.clients[clientId] !== undefined) continue;
      this.#end(clientId);
      this.#events.onForgotten(clientId);
      this.#events.onDropped("session", clientId);
      return;
    }
  }

  #end(clientId: string): void {
    const session = this.#sessions.get(clientId);
    if (!session) return;
    for (const filter of session.subscriptions.keys()) this.#tree.remove(filter, clientId);
    this.#sessions.delete(clientId);
    session.end();
  }
}

function isKeepable(filter: string): boolean {
  return !isSharedFilter(filter) && filterFault(filter) === undefined;
}
