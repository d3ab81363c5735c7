import { once } from "node:events";
import type { Duplex } from "node:stream";
import { type Packet, writeToStream } from "mqtt-packet";
import type { Owed, Session, StoredPacket } from "./session.ts";

/**
 * How far one connection of a kept session is. What was kept for it comes first, in order: at the start of the connection, and
 * again after it was too slow; until then what comes in is kept behind that and not sent past it.
 */
export class Drain {
  /** Stands for the connection in what was sent on it. */
  readonly token = {};
  /** Handed to the broker, and not sent by it yet. */
  readonly #handed = new Set<number>();
  #state: "fresh" | "handing" | "handed" | "pumping" | "live" = "fresh";
  #behind = false;

  /** Whether what comes in may be sent at once. */
  get isLive(): boolean {
    return !this.#behind && this.#hasSentAll;
  }

  /** Something was not sent although it could have been next: it has to be fetched from the session. */
  leave(): void {
    this.#behind = true;
  }

  /** True when what was left behind may be pumped now; then it has to be. */
  beginPump(): boolean {
    if (!this.#behind || !this.#hasSentAll) return false;
    this.#state = "pumping";
    return true;
  }

  /** The broker sent one of those that were handed to it. */
  sent(number: number): void {
    this.#handed.delete(number);
  }

  get #hasSentAll(): boolean {
    return this.#state === "live" || (this.#state === "handed" && this.#handed.size === 0);
  }

  /** What the session holds, in order, for the broker to send; ends when there is no more. */
  async *hand(session: Session, isCurrent: () => boolean): AsyncGenerator<StoredPacket> {
    this.#state = "handing";
    for (const owed of session.owed()) {
      const ready = await isReady(session, owed);
      if (!isCurrent()) return;
      if (!ready) continue;
      this.#handed.add(owed.message.number);
      yield packetOf(owed, this.#mark(owed));
    }
    this.#state = "handed";
  }

  /** Writes what was left behind, in order, as fast as the client takes it, and leaves out what it may not read. Never rejects. */
  async pump(session: Session, connection: Duplex, mayRead: (owed: Owed) => boolean): Promise<void> {
    try {
      for (let found = true; found && !connection.destroyed; ) {
        this.#behind = false;
        found = false;
        for (const owed of session.owed()) {
          if (owed.sentOn === this.token || !(await isReady(session, owed))) continue;
          found = true;
          if (!mayRead(owed)) continue;
          if (connection.writableNeedDrain) await drained(connection);
          if (connection.destroyed) return;
          owed.packetId ??= session.takePacketId();
          session.number(owed, owed.packetId);
          writeToStream(wireOf(owed, owed.packetId, this.#mark(owed)), connection);
        }
      }
    } finally {
      this.#state = "live";
    }
  }

  /** @returns whether it may have been sent before [MQTT-3.3.1-1]. */
  #mark(owed: Owed): boolean {
    const dup = owed.sent && owed.sentOn !== this.token;
    owed.sent = true;
    owed.sentOn = this.token;
    return dup;
  }
}

/** False when it went while it was being written to disk. */
async function isReady(session: Session, owed: Owed): Promise<boolean> {
  await owed.kept?.catch(() => {});
  return session.get(owed.message.number) === owed;
}

/** As the broker wants it. */
export function packetOf(owed: Owed, dup: boolean): StoredPacket {
  const { message, qos, packetId, received, brokerId, brokerCounter } = owed;
  if (received) return { cmd: "pubrel", messageId: packetId };
  return {
    cmd: "publish",
    brokerId,
    brokerCounter,
    topic: message.topic,
    payload: message.payload,
    qos,
    retain: false,
    dup,
    messageId: packetId,
  };
}

function wireOf({ message, qos, received }: Owed, messageId: number, dup: boolean): Packet {
  if (received) return { cmd: "pubrel", messageId };
  const { topic, payload } = message;
  return { cmd: "publish", topic, payload, qos: qos === 2 ? 2 : 1, retain: false, dup, messageId };
}

async function drained(connection: Duplex): Promise<void> {
  const gone = new AbortController();
  const { signal } = gone;
  try {
    await Promise.race([once(connection, "drain", { signal }), once(connection, "close", { signal })]);
  } catch {
    // It failed, and closes.
  } finally {
    gone.abort();
  }
}
