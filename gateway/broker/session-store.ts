import { FilterTree } from "./filter-tree.ts";
import { type RetainedBounds, RetainedStore } from "./retained.ts";
import {
  type Message,
  Session,
  type SessionBounds,
  type StoredPacket,
  type SubscriptionRef,
  sizeOf,
  type Tally,
} from "./session.ts";
import { FORMAT_VERSION, type MessageLine, type Recipient, type SessionLine } from "./session-lines.ts";
import { filterFault, isSharedFilter } from "./topic-rules.ts";

/** Topic filters one client may hold at most, by any configuration. */
export const MAX_FILTERS = 500;
/** Packet identifiers of an earlier life that no line tells of are not used again soon. */
const SKIPPED_IDS = 1000;

export interface SessionLimits extends SessionBounds {
  readonly maxSessions: number;
  readonly maxTotalBytes: number;
  /** Milliseconds a message waits for its client. */
  readonly maxAge: number;
  /** Milliseconds a session waits for its client. */
  readonly expiry: number;
  /** Topic filters of one client, of those that come new; at most MAX_FILTERS. */
  readonly maxFilters?: number | undefined;
}

export interface RetainedPacket extends StoredPacket {
  topic: string;
  payload: Buffer | string;
  qos: number;
}

/** A line that is only turned into text when it is written. */
type Late = () => SessionLine;

/**
 * Sessions and retained messages as they are: what the lines of the journal come to. Every change is made here first and
 * can be told as one line; `replay` makes it again from the line.
 */
export class SessionStore {
  readonly limits: SessionLimits;
  readonly tree = new FilterTree();
  readonly retained: RetainedStore<RetainedPacket>;
  readonly sessions = new Map<string, Session>();
  readonly tally: Tally = { messages: 0, bytes: 0 };
  #number = 0;

  constructor(limits: SessionLimits, retained: RetainedBounds) {
    this.limits = limits;
    this.retained = new RetainedStore(retained);
  }

  /** The number for the next message. */
  nextNumber(): number {
    this.#number += 1;
    return this.#number;
  }

  open(clientId: string): Session {
    const known = this.sessions.get(clientId);
    if (known) return known;
    const session = new Session(this.tally);
    this.sessions.set(clientId, session);
    return session;
  }

  end(clientId: string): Session | undefined {
    const session = this.sessions.get(clientId);
    if (!session) return undefined;
    for (const filter of session.subscriptions.keys()) this.tree.remove(filter, clientId);
    this.sessions.delete(clientId);
    session.end();
    return session;
  }

  /** Denied and needless ones too: what was new among them. */
  subscribe(clientId: string, subscriptions: readonly SubscriptionRef[], most = MAX_FILTERS): SubscriptionRef[] {
    const session = this.open(clientId);
    const news: SubscriptionRef[] = [];
    for (const subscription of subscriptions) {
      const { topic, qos } = subscription;
      const known = session.subscriptions.get(topic);
      if (!isKeepable(topic) || (!known && session.subscriptions.size >= most)) continue;
      if (known && isSame(known, subscription)) continue;
      const kept = { ...subscription };
      session.subscriptions.set(topic, kept);
      news.push(kept);
      if (qos > 0) this.tree.add(topic, clientId, qos);
      else this.tree.remove(topic, clientId);
    }
    return news;
  }

  unsubscribe(clientId: string, filters: readonly string[]): string[] {
    const session = this.sessions.get(clientId);
    const known = filters.filter((filter) => session?.subscriptions.delete(filter));
    for (const filter of known) this.tree.remove(filter, clientId);
    return known;
  }

  /** Why a session cannot keep a message; undefined when it can. */
  refusal(session: Session, message: Message): "session-full" | "sessions-full" | undefined {
    if (!session.hasRoom(message, this.limits)) return "session-full";
    return this.tally.bytes + sizeOf(message) > this.limits.maxTotalBytes ? "sessions-full" : undefined;
  }

  /** Makes the change that a line of the journal tells of. What is known already, or unknown, changes nothing. */
  replay(line: SessionLine): void {
    switch (line.k) {
      case "head":
        this.#number = Math.max(this.#number, line.number);
        break;
      case "session": {
        const session = this.open(line.c);
        session.skipTo(line.nextPacketId);
        session.connected = line.connected;
        session.leftMs = line.leftMs;
        session.user = line.user;
        for (const id of line.incoming) session.incoming.set(id, undefined);
        break;
      }
      case "message":
        this.#replayMessage(line);
        break;
      case "subscribed":
        this.subscribe(line.c, line.filters);
        if (line.user !== undefined) this.open(line.c).user = line.user;
        break;
      case "unsubscribed":
        this.unsubscribe(line.c, line.filters);
        break;
      case "ended":
        this.end(line.c);
        break;
      default:
        this.#replayOf(this.sessions.get(line.c), line);
    }
  }

  /** After the last line: whoever was connected is not any more. */
  replayed(wallMs: number | undefined): void {
    for (const [clientId, session] of this.sessions) {
      if (session.connected || session.leftMs === undefined) session.leftMs = wallMs;
      session.connected = false;
      session.skip(SKIPPED_IDS);
      for (const owed of session.owed()) {
        if (owed.packetId === undefined) session.number(owed, session.takePacketId());
      }
      if (session.isEmpty) this.end(clientId);
    }
  }

  /** What all lines so far come to: fixed now, turned into lines when gone through. */
  snapshot(): { readonly size: number; lines(): Generator<SessionLine> } {
    const late: Late[] = [() => ({ k: "head", version: FORMAT_VERSION, number: this.#number })];
    const messages = new Map<number, { message: Message; to: Recipient[] }>();
    for (const [c, session] of this.sessions) {
      if (session.isEmpty) continue;
      late.push(...sessionLines(c, session));
      for (const owed of session.owed()) {
        const { message, packetId = 0, qos, received, sent } = owed;
        const known = messages.get(message.number) ?? { message, to: [] };
        // One that was received needs its content no more.
        if (!received) known.message = message;
        known.to.push([c, packetId, qos, received ? "received" : sent ? "sent" : ""]);
        messages.set(message.number, known);
      }
    }
    for (const packet of this.retained.all()) late.push(() => messageLine({ number: 0, ...packet }, { retain: true }));
    const inOrder = [...messages.values()].sort((a, b) => a.message.number - b.message.number);
    for (const { message, to } of inOrder) late.push(() => messageLine(message, { to }));
    return {
      size: late.length,
      *lines() {
        for (const one of late) yield one();
      },
    };
  }

  #replayMessage(line: MessageLine): void {
    const { number, wallMs, topic, qos, to = [], by } = line;
    this.#number = Math.max(this.#number, number);
    const payload = Buffer.from(line.payload, "base64");
    if (line.retain) this.retained.set({ cmd: "publish", topic, payload, qos, retain: true });
    const message = { number, topic, payload, qos, ...(wallMs === undefined ? {} : { wallMs }) };
    for (const [clientId, id, granted, state] of to) {
      const session = this.open(clientId);
      if (session.get(number)) continue;
      const older = id === 0 ? undefined : session.byPacketId(id);
      // Its identifier was given again, so it was acknowledged.
      if (older) session.settle(older.message.number);
      const sent = session.connected || state !== "";
      const owed = session.owe(message, granted, { packetId: id === 0 ? undefined : id, sent });
      if (state === "received") session.receive(owed);
      if (id !== 0) session.skipTo(id + 1);
    }
    if (by) this.open(by[0]).incoming.set(by[1], undefined);
  }

  #replayOf(session: Session | undefined, line: Exclude<SessionLine, { k: "head" | "message" }>): void {
    if (line.k === "connected") {
      const known = session ?? this.open(line.c);
      known.connected = true;
      known.user = line.user;
      for (const owed of known.owed()) owed.sent = true;
    }
    if (!session) return;
    if (line.k === "left") {
      session.connected = false;
      session.leftMs = line.wallMs;
    } else if (line.k === "released") {
      session.incoming.delete(line.id);
    } else if (line.k === "settled") {
      for (const number of line.numbers) session.settle(number);
    } else if (line.k === "received" || line.k === "numbered") {
      const owed = session.get(line.number);
      if (!owed) return;
      if (line.k === "received") session.receive(owed);
      else session.number(owed, line.id);
    }
  }
}

export function isKeepable(filter: string): boolean {
  return !isSharedFilter(filter) && filterFault(filter) === undefined;
}

export function messageLine(message: Message, rest: Pick<MessageLine, "retain" | "to" | "by">): MessageLine {
  const { number, wallMs, topic, payload, qos } = message;
  const bytes = typeof payload === "string" ? Buffer.from(payload) : payload;
  return {
    k: "message",
    number,
    ...(wallMs === undefined ? {} : { wallMs }),
    topic,
    payload: bytes.toString("base64"),
    qos,
    ...rest,
  };
}

function sessionLines(c: string, session: Session): Late[] {
  const { nextPacketId, connected, leftMs, user } = session;
  const incoming = [...session.incoming.keys()];
  const filters = [...session.subscriptions.values()];
  const left = { ...(leftMs !== undefined && { leftMs }), ...(user !== undefined && { user }) };
  const late: Late[] = [() => ({ k: "session", c, nextPacketId, connected, incoming, ...left })];
  if (filters.length > 0) late.push(() => ({ k: "subscribed", c, filters }));
  return late;
}

function isSame(a: SubscriptionRef, b: SubscriptionRef): boolean {
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key]);
}
