/** What aedes hands over and takes back; it keeps more on it than this, and gets the same object again. */
export interface StoredPacket {
  cmd: string;
  topic?: string;
  payload?: Buffer | string;
  qos?: number;
  messageId?: number | undefined;
  brokerId?: string;
  brokerCounter?: number;
  retain?: boolean;
  dup?: boolean;
}

/** Bytes kept over all sessions. */
export interface Tally {
  bytes: number;
}

export const MAX_OFFLINE = 1000;
export const MAX_OFFLINE_BYTES = 1024 * 1024;

/** The state of one client that connected with clean session 0 [MQTT-3.1.2-4]. */
export class Session {
  /** Granted QoS by topic filter. */
  readonly subscriptions = new Map<string, number>();
  /** QoS 2 messages received and not released, by packet identifier. */
  readonly incoming = new Map<number, StoredPacket>();
  /** Not yet acknowledged by the client, in order, by the broker's number. */
  readonly #outgoing = new Map<number, StoredPacket>();
  readonly #numbers = new Map<number, number>();
  readonly #tally: Tally;
  #bytes = 0;

  constructor(tally: Tally) {
    this.#tally = tally;
  }

  get isEmpty(): boolean {
    return this.subscriptions.size === 0 && this.incoming.size === 0 && this.#outgoing.size === 0;
  }

  /** False when the session has no room: the message is not kept for it. */
  enqueue(packet: StoredPacket): boolean {
    const size = sizeOf(packet);
    if (this.#outgoing.size >= MAX_OFFLINE || this.#bytes + size > MAX_OFFLINE_BYTES) return false;
    this.#outgoing.set(packet.brokerCounter ?? 0, packet);
    this.#count(size);
    return true;
  }

  /**
   * Notes the packet identifier a message was sent with, or replaces the message by its PUBREL. A packet that is not
   * kept (there was no room) is none of the session's business.
   */
  update(packet: StoredPacket): void {
    const { messageId, brokerCounter } = packet;
    if (messageId === undefined) return;
    const kept = brokerCounter === undefined ? undefined : this.#outgoing.get(brokerCounter);
    if (kept && brokerCounter !== undefined) {
      kept.messageId = messageId;
      this.#numbers.set(messageId, brokerCounter);
      return;
    }
    if (packet.cmd !== "pubrel") return;
    const number = this.#numbers.get(messageId);
    const old = number === undefined ? undefined : this.#outgoing.get(number);
    if (number === undefined || !old) return;
    this.#count(sizeOf(packet) - sizeOf(old));
    this.#outgoing.set(number, packet);
  }

  /** The client acknowledged it. */
  clear(messageId: number | undefined): StoredPacket | undefined {
    const number = messageId === undefined ? undefined : this.#numbers.get(messageId);
    if (number === undefined || messageId === undefined) return undefined;
    this.#numbers.delete(messageId);
    const packet = this.#outgoing.get(number);
    if (packet) {
      this.#outgoing.delete(number);
      this.#count(-sizeOf(packet));
    }
    return packet;
  }

  /** What is owed, in order, as it is now; what was sent before is marked so [MQTT-3.3.1-1]. */
  outgoing(): StoredPacket[] {
    return Array.from(this.#outgoing.values(), (packet) =>
      packet.cmd === "publish" && packet.messageId !== undefined ? { ...packet, dup: true } : packet,
    );
  }

  /** Gives back what it counted. */
  end(): void {
    this.#count(-this.#bytes);
    this.#outgoing.clear();
    this.#numbers.clear();
  }

  #count(bytes: number): void {
    this.#bytes += bytes;
    this.#tally.bytes += bytes;
  }
}

function sizeOf(packet: StoredPacket): number {
  return 64 + (packet.topic?.length ?? 0) + (packet.payload?.length ?? 0);
}
