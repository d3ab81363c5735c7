import { Readable } from "node:stream";
import { GuardedConnection } from "./connection.ts";
import { packetOf } from "./drain.ts";
import type { StoredPacket, SubscriptionRef } from "./session.ts";
import type { ClientRef, Publish, Receiver, SessionKeeper } from "./session-keeper.ts";
import { isKeepable } from "./session-store.ts";
import { type WillPacket, WillStore } from "./wills.ts";

interface BrokerRef {
  readonly id: string;
}
interface Owner {
  readonly clientId: string;
}

/** The port through which aedes keeps its sessions and retained messages; what it promises is that of the keeper. */
export class SessionPersistence {
  readonly #keeper: SessionKeeper;
  readonly #onReleased: (clientId: string, packetId: number) => void;
  readonly #onForgotten: (clientId: string) => void;
  readonly #wills = new WillStore();
  readonly #pending = new WeakMap<readonly SubscriptionRef[], { clientId: string; done: Promise<void> }>();
  /** Set by `setup`. */
  broker: BrokerRef | undefined;

  /** `onReleased`: PUBREL was received. `onForgotten`: the session of a client is over. */
  constructor(
    keeper: SessionKeeper,
    onReleased: (clientId: string, packetId: number) => void,
    onForgotten: (clientId: string) => void,
  ) {
    this.#keeper = keeper;
    this.#onReleased = onReleased;
    this.#onForgotten = onForgotten;
  }

  /** aedes insists on an async function here. */
  async setup(broker: BrokerRef): Promise<void> {
    this.broker = broker;
    await Promise.resolve();
  }

  destroy(): Promise<void> {
    return Promise.resolve();
  }

  /** Only of what was not admitted: the keeper has the others already. */
  async storeRetained(packet: StoredPacket): Promise<void> {
    const { topic = "", qos = 0, payload = "" } = packet;
    await this.#keeper.retain({ ...packet, topic, qos, payload: Buffer.from(payload) });
  }

  createRetainedStream(filter: string): Readable {
    return this.createRetainedStreamCombi([filter]);
  }

  createRetainedStreamCombi(filters: readonly string[]): Readable {
    return Readable.from(this.#keeper.store.retained.match(filters.filter((filter) => isKeepable(filter))));
  }

  /** Called by aedes once per filter of a SUBSCRIBE, each time with all of them, denied ones too. */
  addSubscriptions(client: Receiver, subscriptions: readonly SubscriptionRef[]): Promise<void> {
    const known = this.#pending.get(subscriptions);
    if (known?.clientId === client.id) return known.done;
    this.#keeper.open(client.id);
    const { store } = this.#keeper;
    const rights = client.conn instanceof GuardedConnection ? client.conn.rights : undefined;
    const granted = subscriptions.filter(({ topic }) => rights?.maySubscribe(topic) !== false);
    const filters = store.subscribe(client.id, granted, store.limits.maxFilters);
    const user = this.#keeper.ownerOf(client.id);
    const line = { k: "subscribed" as const, c: client.id, filters, ...(user !== undefined && { user }) };
    const done = filters.length > 0 ? this.#keeper.tell(line) : Promise.resolve();
    this.#pending.set(subscriptions, { clientId: client.id, done });
    return done;
  }

  async removeSubscriptions(client: ClientRef, filters: readonly string[]): Promise<void> {
    const known = this.#keeper.store.unsubscribe(client.id, filters);
    if (known.length > 0) await this.#keeper.tell({ k: "unsubscribed", c: client.id, filters: known });
  }

  subscriptionsByClient(client: ClientRef): Promise<SubscriptionRef[]> {
    const { sessions } = this.#keeper.store;
    const session = this.#keeper.open(client.id);
    // The last of the map was connected last.
    sessions.delete(client.id);
    sessions.set(client.id, session);
    return Promise.resolve(Array.from(session.subscriptions.values(), (subscription) => ({ ...subscription })));
  }

  subscriptionsByTopic(topic: string): Promise<(SubscriptionRef & Owner)[]> {
    const { tree, sessions } = this.#keeper.store;
    const found = tree.find(topic).map(({ owner, filter, qos }) => {
      const subscription = sessions.get(owner)?.subscriptions.get(filter);
      return { ...subscription, clientId: owner, topic: filter, qos };
    });
    return Promise.resolve(found);
  }

  getClientList(filter: string): Readable {
    const subscribed = [...this.#keeper.store.sessions].filter(([, session]) => session.subscriptions.has(filter));
    return Readable.from(subscribed.map(([clientId]) => clientId));
  }

  /** Subscriptions that messages wait for, and clients that have any. */
  countOffline(): Promise<{ subsCount: number; clientsCount: number }> {
    let subsCount = 0;
    let clientsCount = 0;
    for (const { subscriptions } of this.#keeper.store.sessions.values()) {
      if (subscriptions.size > 0) clientsCount++;
      for (const { qos } of subscriptions.values()) if (qos > 0) subsCount++;
    }
    return Promise.resolve({ subsCount, clientsCount });
  }

  /** A clean session begins: whatever there was of an old one is gone [MQTT-3.1.2-6]. */
  async cleanSubscriptions(client: ClientRef): Promise<void> {
    if (this.#keeper.end(client.id)) await this.#keeper.tell({ k: "ended", c: client.id });
  }

  outgoingEnqueue(owner: Owner, packet: Publish): Promise<void> {
    return this.outgoingEnqueueCombi([owner], packet);
  }

  outgoingEnqueueCombi(owners: readonly Owner[], packet: Publish): Promise<void> {
    return this.#keeper.enqueue(new Set(owners.map(({ clientId }) => clientId)), packet);
  }

  /** A message was given its packet identifier, or the client has it and is owed its PUBREL. */
  async outgoingUpdate(client: Receiver, packet: StoredPacket): Promise<void> {
    const session = this.#keeper.store.sessions.get(client.id);
    const { messageId } = packet;
    const owed = session?.byBroker(packet) ?? session?.byPacketId(messageId);
    if (!session || !owed || messageId === undefined) return;
    const { number } = owed.message;
    this.#keeper.sent(client, number);
    if (packet.cmd !== "pubrel") {
      if (owed.packetId === messageId) return;
      session.number(owed, messageId);
      this.#keeper.note({ k: "numbered", c: client.id, number, id: messageId });
    } else if (!owed.received) {
      session.receive(owed);
      // The client gives its identifier free with PUBREL: a PUBLISH after that would be a new message to it.
      await this.#keeper.tell({ k: "received", c: client.id, number });
    }
  }

  outgoingClearMessageId(client: ClientRef, packet: StoredPacket): Promise<StoredPacket | undefined> {
    const session = this.#keeper.store.sessions.get(client.id);
    const owed = session?.byPacketId(packet.messageId);
    if (!session || !owed) return Promise.resolve(undefined);
    const { number } = owed.message;
    session.settle(number);
    this.#keeper.note({ k: "settled", c: client.id, numbers: [number] });
    return Promise.resolve(packetOf(owed, false));
  }

  outgoingStream(client: ClientRef): Readable {
    const { sessions } = this.#keeper.store;
    const session = sessions.get(client.id);
    if (!session) return Readable.from([]);
    return Readable.from(this.#keeper.drainOf(client).hand(session, () => sessions.get(client.id) === session));
  }

  incomingStorePacket(client: ClientRef, packet: StoredPacket): Promise<void> {
    this.#keeper.incoming.set(client.id, packet);
    return Promise.resolve();
  }

  /** Rejects when the message is new. */
  incomingGetPacket(client: ClientRef, packet: StoredPacket): Promise<StoredPacket> {
    const { messageId = 0 } = packet;
    const isKnown =
      !this.#keeper.isFirst(packet) && this.#keeper.store.sessions.get(client.id)?.incoming.has(messageId);
    const found = this.#keeper.incoming.get(client.id, messageId);
    if (found || isKnown) return Promise.resolve({ cmd: "publish", messageId, ...found });
    return Promise.reject(new Error("no such packet"));
  }

  /** PUBREL. The client uses the identifier for another message as soon as it is told. */
  async incomingDelPacket(client: ClientRef, packet: StoredPacket): Promise<void> {
    const { messageId = 0 } = packet;
    this.#onReleased(client.id, messageId);
    const wasHere = this.#keeper.incoming.delete(client.id, messageId);
    const wasKept = this.#keeper.store.sessions.get(client.id)?.incoming.delete(messageId) === true;
    if (wasKept) await this.#keeper.tell({ k: "released", c: client.id, id: messageId });
    else if (!wasHere) throw new Error("no such packet");
  }

  /** A clean session is over. Also called for whoever was refused: the session may be somebody else's. */
  async cleanIncoming(client: Receiver): Promise<void> {
    if (client.conn instanceof GuardedConnection && !client.conn.isAdmitted) return;
    this.#onForgotten(client.id);
    this.#keeper.incoming.forget(client.id);
    const session = this.#keeper.store.sessions.get(client.id);
    const released = [...(session?.incoming.keys() ?? [])];
    session?.incoming.clear();
    for (const id of released) this.#keeper.note({ k: "released", c: client.id, id });
    if (session?.isEmpty) this.#keeper.end(client.id);
    await Promise.resolve();
  }

  putWill(client: ClientRef, packet: WillPacket): Promise<void> {
    if (this.broker) packet.brokerId = this.broker.id;
    packet.clientId = client.id;
    this.#wills.set(client.id, packet);
    return Promise.resolve();
  }

  getWill(client: ClientRef): Promise<WillPacket | undefined> {
    return Promise.resolve(this.#wills.get(client.id));
  }

  delWill(client: ClientRef): Promise<WillPacket | undefined> {
    return Promise.resolve(this.#wills.delete(client.id));
  }

  streamWill(living: object = {}): Readable {
    return Readable.from(this.#wills.orphans(living));
  }
}
