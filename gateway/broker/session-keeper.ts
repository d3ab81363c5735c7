import type { Duplex } from "node:stream";
import { topicMatches } from "../core/selector.ts";
import { GuardedConnection } from "./connection.ts";
import { Drain } from "./drain.ts";
import { IncomingStore } from "./incoming.ts";
import { type Owed, type Session, type StoredPacket, sizeOf } from "./session.ts";
import type { Journal } from "./session-journal.ts";
import type { MessageLine, Recipient, SessionLine } from "./session-lines.ts";
import type { Drop } from "./session-losses.ts";
import { messageLine, type RetainedPacket, type SessionStore } from "./session-store.ts";

export interface ClientRef {
  readonly id: string;
  readonly clean?: boolean;
}
/** A client with the connection that messages are sent on. */
export interface Receiver extends ClientRef {
  readonly closed?: boolean;
  readonly conn?: Duplex;
}
/** How the connection of a client is. */
export interface Gate {
  /** Whether it is too slow to be sent anything. */
  isSlow(): boolean;
  /** It missed a message that is not kept for it. */
  missed(): void;
}
export interface Publish extends StoredPacket {
  topic: string;
  payload: Buffer | string;
}

export interface KeeperParts {
  readonly store: SessionStore;
  readonly journal: Journal;
  /** Undefined while the clock is not set. */
  readonly wallMs: () => number | undefined;
  readonly onDropped: (drop: Drop) => void;
  /** The session of a client is over. */
  readonly onForgotten: (clientId: string) => void;
}

/** A message on its way through the broker, known by its payload: the one thing the broker hands on as it is. */
interface Token {
  readonly number: number;
  readonly clients: readonly string[];
}

/**
 * Decides what is kept for whom, and when it is sent. What is to be acknowledged is on disk first: the broker itself
 * acknowledges a message before it asks who is to have it, so that is settled in `admit`, and only looked up afterwards.
 */
export class SessionKeeper {
  readonly store: SessionStore;
  readonly incoming = new IncomingStore();
  readonly #parts: KeeperParts;
  readonly #journal: Journal;
  readonly #tokens = new WeakMap<object, Token>();
  readonly #admitted = new WeakSet<StoredPacket>();
  readonly #drains = new WeakMap<object, Drain>();

  constructor(parts: KeeperParts) {
    this.#parts = parts;
    this.store = parts.store;
    this.#journal = parts.journal;
  }

  /** A durable line. @throws StorageError */
  tell(line: SessionLine): Promise<void> {
    return this.#journal.append(line, true);
  }

  /** A line that may get lost with the power. */
  note(line: SessionLine): void {
    this.#journal.append(line, false).catch(() => {
      // The journal says so itself, and is written anew from the store.
    });
  }

  open(clientId: string): Session {
    const known = this.store.sessions.get(clientId);
    if (known) return known;
    if (this.store.sessions.size >= this.store.limits.maxSessions) this.#evict();
    return this.store.open(clientId);
  }

  /** The session is over, with all it holds. @returns false when there was nothing in it. */
  end(clientId: string): boolean {
    const session = this.store.sessions.get(clientId);
    if (!session) return false;
    const had = !session.isEmpty;
    this.store.end(clientId);
    return had;
  }

  joined(clientId: string, user?: string): void {
    const session = this.open(clientId);
    session.connected = true;
    session.leftMs = undefined;
    session.user = user;
    if (!session.isEmpty) this.note({ k: "connected", c: clientId, ...(user !== undefined && { user }) });
  }

  /** The user whose kept session it is; undefined where nobody's. */
  ownerOf(clientId: string): string | undefined {
    return this.store.sessions.get(clientId)?.user;
  }

  holds(clientId: string, filter: string): boolean {
    return this.store.sessions.get(clientId)?.subscriptions.has(filter) === true;
  }

  /** A message the client may not have any more is owed no more. */
  deny(client: ClientRef, packet: StoredPacket): void {
    const session = client.clean === false ? this.store.sessions.get(client.id) : undefined;
    const owed = session?.byBroker(packet);
    if (!session || !owed) return;
    this.#giveUp(client.id, session, owed.message.number);
  }

  #giveUp(clientId: string, session: Session, number: number): void {
    session.settle(number);
    this.note({ k: "settled", c: clientId, numbers: [number] });
  }

  left(clientId: string): void {
    const session = this.store.sessions.get(clientId);
    if (!session) return;
    session.connected = false;
    session.leftMs = this.#parts.wallMs();
    if (session.isEmpty) return;
    this.note({ k: "left", c: clientId, ...(session.leftMs !== undefined && { wallMs: session.leftMs }) });
  }

  /**
   * Keeps a message for the sessions that are to have it, and as the retained message of its topic. With a promise it may be
   * acknowledged when that resolves, and must not be when it rejects (StorageError); otherwise at once. Changes the packet:
   * it is not to be retained again.
   */
  admit(publisher: ClientRef | undefined, packet: Publish): Promise<unknown> | undefined {
    const { qos = 0, messageId = 0 } = packet;
    if (qos === 2 && publisher) {
      const session = this.store.sessions.get(publisher.id);
      if (session?.incoming.has(messageId)) return session.incoming.get(messageId);
      if (this.incoming.get(publisher.id, messageId)) return undefined;
    }
    const retain = packet.retain === true;
    const granted = qos > 0 ? this.store.tree.granted(packet.topic) : new Map<string, number>();
    if (qos === 0 && !retain) return undefined;
    if (granted.size > 0 || retain || packet.payload.length === 0) packet.payload = Buffer.from(packet.payload);
    packet.retain = false;
    const kept = this.#keep(packet, qos, [...granted], retain);
    if (qos > 0 && typeof packet.payload !== "string") {
      this.#tokens.set(packet.payload, { number: kept.number, clients: kept.to.map(({ clientId }) => clientId) });
    }
    if (!kept.line) return undefined;
    const { line } = kept;
    const isNew = qos === 2 && publisher?.clean === false && kept.to.length > 0 ? publisher : undefined;
    const done = this.#journal.append(isNew ? { ...line, by: [isNew.id, messageId] } : line, qos > 0);
    if (isNew) {
      this.open(isNew.id).incoming.set(messageId, done);
      this.#admitted.add(packet);
    }
    for (const { owed } of kept.to) owed.kept = done;
    done.then(
      () => {
        for (const { owed } of kept.to) owed.kept = undefined;
        const session = isNew && this.store.sessions.get(isNew.id);
        if (session?.incoming.get(messageId) === done) session.incoming.set(messageId, undefined);
      },
      () => {
        for (const { clientId } of kept.to) this.store.sessions.get(clientId)?.settle(kept.number);
        if (isNew) this.store.sessions.get(isNew.id)?.incoming.delete(messageId);
      },
    );
    return qos > 0 ? done : undefined;
  }

  /** A retained message that did not come through `admit`. @throws StorageError */
  async retain(packet: RetainedPacket): Promise<void> {
    const { topic, payload, qos } = packet;
    if (!this.store.retained.set(packet)) {
      this.#parts.onDropped({ reason: "retained-full", messages: 1, bytes: sizeOf(packet), topic });
    }
    await this.tell(messageLine({ number: this.store.nextNumber(), topic, payload, qos }, { retain: true }));
  }

  /** Whether this very packet was the first with its identifier. */
  isFirst(packet: StoredPacket): boolean {
    return this.#admitted.delete(packet);
  }

  /** The broker hands the message to these now; of one that was admitted it is known already who is to have it. */
  async enqueue(clientIds: ReadonlySet<string>, packet: Publish): Promise<void> {
    const token = typeof packet.payload === "string" ? undefined : this.#tokens.get(packet.payload);
    if (token) {
      for (const clientId of token.clients) this.store.sessions.get(clientId)?.bind(token.number, packet);
      return;
    }
    if (clientIds.size === 0) return;
    const payload = typeof packet.payload === "string" ? packet.payload : Buffer.from(packet.payload);
    const qos = packet.qos ?? 0;
    const { number, line, to } = this.#keep(
      { ...packet, payload },
      qos,
      [...clientIds].map((id) => [id, qos]),
      false,
      false,
    );
    for (const { clientId } of to) this.store.sessions.get(clientId)?.bind(number, packet);
    if (line) await this.tell(line);
  }

  /** What is to be sent of a message that the broker is about to send; null when it is not to be sent now. */
  forward<T extends StoredPacket & { topic: string }>(client: Receiver, packet: T, gate: Gate): T | null {
    // One that was handed to the broker with its identifier is what the client waits for.
    if (packet.messageId !== undefined && packet.messageId !== null) return packet;
    const session = client.clean === false && (packet.qos ?? 0) > 0 ? this.store.sessions.get(client.id) : undefined;
    const owed = session?.byBroker(packet);
    if (!session || !owed) {
      if (gate.isSlow()) {
        gate.missed();
        return null;
      }
      // With an identifier that does not acknowledge another message.
      return session ? { ...packet, messageId: session.takePacketId() } : packet;
    }
    const drain = this.drainOf(client);
    if (owed.sentOn === drain.token) return null;
    if (!drain.isLive || gate.isSlow() || hasLooseFilter(session, packet.topic)) {
      drain.leave();
      this.#pump(client, session, drain);
      return null;
    }
    const messageId = owed.packetId ?? session.takePacketId();
    session.number(owed, messageId);
    owed.sent = true;
    owed.sentOn = drain.token;
    return { ...packet, qos: owed.qos, messageId };
  }

  /** The broker is writing a message that was handed to it. */
  sent(client: Receiver, number: number): void {
    const session = this.store.sessions.get(client.id);
    const drain = this.#drains.get(client);
    if (!session || !drain) return;
    drain.sent(number);
    this.#pump(client, session, drain);
  }

  drainOf(client: object): Drain {
    const known = this.#drains.get(client) ?? new Drain();
    this.#drains.set(client, known);
    return known;
  }

  /** Gives up what has waited too long. */
  expire(): void {
    const now = this.#parts.wallMs();
    if (now === undefined) return;
    const { expiry } = this.store.limits;
    for (const [clientId, session] of this.store.sessions) {
      if (session.connected) continue;
      session.leftMs ??= now;
      if (now - session.leftMs > expiry) this.#drop(clientId, session, "session-expired");
      else this.#expireMessages(clientId, session, now);
    }
  }

  /** Sends what was left behind, if it is time. */
  #pump({ id, closed, conn }: Receiver, session: Session, drain: Drain): void {
    if (closed || !conn || !drain.beginPump()) return;
    const mayRead = (owed: Owed): boolean => {
      const isGranted =
        !(conn instanceof GuardedConnection) || owed.received || conn.rights.mayRead(owed.message.topic);
      if (!isGranted) this.#giveUp(id, session, owed.message.number);
      return isGranted;
    };
    // What the broker is writing now comes first.
    setImmediate(() => {
      void drain.pump(session, conn, mayRead);
    });
  }

  #expireMessages(clientId: string, session: Session, now: number): void {
    const old = [...session.owed()].filter(
      ({ message: { wallMs }, sent }) => !sent && wallMs !== undefined && now - wallMs > this.store.limits.maxAge,
    );
    if (old.length === 0) return;
    const bytes = old.reduce((sum, { message }) => sum + sizeOf(message), 0);
    const numbers = old.map(({ message }) => message.number);
    for (const number of numbers) session.settle(number);
    this.note({ k: "settled", c: clientId, numbers });
    this.#parts.onDropped({ reason: "too-old", clientId, messages: old.length, bytes });
  }

  #keep(
    packet: Publish,
    qos: number,
    owners: readonly (readonly [string, number])[],
    retain: boolean,
    isNumbered = true,
  ): { number: number; line: MessageLine | undefined; to: { clientId: string; owed: Owed }[] } {
    const { topic, payload } = packet;
    const wallMs = this.#parts.wallMs();
    const number = this.store.nextNumber();
    const message = { number, topic, payload, qos, ...(wallMs === undefined ? {} : { wallMs }) };
    const to: { clientId: string; owed: Owed }[] = [];
    const recipients: Recipient[] = [];
    for (const [clientId, granted] of owners) {
      const session = this.open(clientId);
      const refusal = this.store.refusal(session, message);
      if (refusal) {
        this.#parts.onDropped({ reason: refusal, clientId, messages: 1, bytes: sizeOf(message), topic });
        continue;
      }
      const packetId = isNumbered ? session.takePacketId() : undefined;
      const owed = session.owe(message, Math.min(qos, granted), { packetId });
      to.push({ clientId, owed });
      recipients.push([clientId, packetId ?? 0, owed.qos, ""]);
    }
    if (retain && !this.store.retained.set({ cmd: "publish", topic, payload, qos, retain: true })) {
      this.#parts.onDropped({ reason: "retained-full", messages: 1, bytes: sizeOf(message), topic });
    }
    const isTold = to.length > 0 || retain;
    const rest = { ...(retain && { retain }), ...(to.length > 0 && { to: recipients }) };
    return { number, to, line: isTold ? messageLine(message, rest) : undefined };
  }

  /** The session that was connected longest ago, of those without a connection. */
  #evict(): void {
    for (const [clientId, session] of this.store.sessions) {
      if (session.connected) continue;
      this.#drop(clientId, session, "session-evicted");
      return;
    }
  }

  #drop(clientId: string, session: Session, reason: Drop["reason"]): void {
    const { messages, bytes } = session;
    const had = this.end(clientId);
    this.incoming.forget(clientId);
    this.#parts.onForgotten(clientId);
    if (!had) return;
    this.note({ k: "ended", c: clientId });
    this.#parts.onDropped({ reason, clientId, messages, bytes });
  }
}

/** One that was granted QoS 0 beside: the broker might send the message by that, and never hear of it again. */
function hasLooseFilter(session: Session, topic: string): boolean {
  for (const { topic: filter, qos } of session.subscriptions.values()) {
    if (qos === 0 && topicMatches(filter, topic)) return true;
  }
  return false;
}
