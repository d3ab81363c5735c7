/** What aedes hands over and takes back; it keeps more on it than this, and gets the same object again. */
export interface StoredPacket {
  cmd: string;
  topic?: string;
  payload?: Buffer | string;
  qos?: number;
  messageId?: number | undefined;
  brokerId?: string | null | undefined;
  brokerCounter?: number | undefined;
  retain?: boolean;
  dup?: boolean;
}

/** A topic filter as the client asked for it. What MQTT 5 adds is kept as it came. */
export interface SubscriptionRef {
  readonly topic: string;
  readonly qos: number;
  readonly [option: string]: unknown;
}

/** What several sessions may share. */
export interface Message {
  /** Our own, greater than that of every message before it: the broker's numbers begin anew with each of its lives. */
  readonly number: number;
  /** When it came; absent where the clock was not set. */
  readonly wallMs?: number;
  readonly topic: string;
  readonly payload: Buffer | string;
  readonly qos: number;
}

/** A message that one client has not acknowledged. */
export interface Owed {
  message: Message;
  readonly qos: number;
  packetId: number | undefined;
  /** The client has it (PUBREC) and is owed its PUBREL. */
  received: boolean;
  /** It may have been sent before this life of the broker, or on the connection this stands for. */
  sent: boolean;
  sentOn: object | undefined;
  /** Unsettled while it is not on disk yet: it must not be sent. */
  kept: Promise<unknown> | undefined;
  brokerId: string | null | undefined;
  brokerCounter: number | undefined;
}

/** Messages and bytes kept over all sessions. */
export interface Tally {
  messages: number;
  bytes: number;
}

export interface SessionBounds {
  readonly maxMessages: number;
  readonly maxBytes: number;
}

/** Memory that a message costs beside its topic and payload: its objects, and its places in three maps (487 bytes measured, Node 20). */
const OVERHEAD = 512;
const MAX_PACKET_ID = 65_535;

/** The state of one client that connected with clean session 0 [MQTT-3.1.2-4]. */
export class Session {
  /** By topic filter. */
  readonly subscriptions = new Map<string, SubscriptionRef>();
  /** Packet identifiers of QoS 2 messages that were received and are on disk, until they are released. */
  readonly incoming = new Map<number, Promise<unknown> | undefined>();
  /** Wall clock since which no client has it; undefined while one has, or while that is not known. */
  leftMs: number | undefined;
  connected = false;
  /** Whose it is; undefined where nobody logged in. */
  user: string | undefined;
  readonly #owed = new Map<number, Owed>();
  readonly #byBroker = new Map<string, number>();
  readonly #byPacketId = new Map<number, number>();
  readonly #tally: Tally;
  #bytes = 0;
  #nextPacketId = 1;

  constructor(tally: Tally) {
    this.#tally = tally;
  }

  get isEmpty(): boolean {
    return this.subscriptions.size === 0 && this.incoming.size === 0 && this.#owed.size === 0;
  }
  get messages(): number {
    return this.#owed.size;
  }
  get bytes(): number {
    return this.#bytes;
  }
  get nextPacketId(): number {
    return this.#nextPacketId;
  }

  hasRoom(message: Message, bounds: SessionBounds): boolean {
    return this.#owed.size < bounds.maxMessages && this.#bytes + sizeOf(message) <= bounds.maxBytes;
  }

  owe(message: Message, qos: number, rest: Partial<Omit<Owed, "message" | "qos">> = {}): Owed {
    const owed: Owed = {
      packetId: undefined,
      received: false,
      sent: false,
      sentOn: undefined,
      kept: undefined,
      brokerId: undefined,
      brokerCounter: undefined,
      ...rest,
      message,
      qos,
    };
    this.#owed.set(message.number, owed);
    if (owed.packetId !== undefined) this.#number(owed, owed.packetId);
    this.#count(1, sizeOf(message));
    return owed;
  }

  get(number: number): Owed | undefined {
    return this.#owed.get(number);
  }

  /** A packet identifier that no message of the session has [MQTT-2.3.1-2]. */
  takePacketId(): number {
    let id = this.#nextPacketId;
    for (let tries = 0; this.#byPacketId.has(id) && tries < MAX_PACKET_ID; tries++) id = following(id);
    this.#nextPacketId = following(id);
    return id;
  }

  /** The next packet identifier is this one, or the first free one after it. */
  skipTo(packetId: number): void {
    this.#nextPacketId = packetId > MAX_PACKET_ID ? 1 : Math.max(1, packetId);
  }

  skip(ids: number): void {
    this.skipTo(((this.#nextPacketId - 1 + ids) % MAX_PACKET_ID) + 1);
  }

  /** The broker calls the message this from now on. */
  bind(number: number, { brokerId, brokerCounter }: StoredPacket): void {
    const owed = this.#owed.get(number);
    if (!owed) return;
    owed.brokerId = brokerId;
    owed.brokerCounter = brokerCounter;
    this.#byBroker.set(brokerKey({ brokerId, brokerCounter }), number);
  }

  byBroker(packet: StoredPacket): Owed | undefined {
    const number = packet.brokerId ? this.#byBroker.get(brokerKey(packet)) : undefined;
    return number === undefined ? undefined : this.#owed.get(number);
  }

  byPacketId(packetId: number | undefined): Owed | undefined {
    const number = packetId === undefined ? undefined : this.#byPacketId.get(packetId);
    return number === undefined ? undefined : this.#owed.get(number);
  }

  number(owed: Owed, packetId: number): void {
    if (owed.packetId !== undefined && owed.packetId !== packetId) this.#byPacketId.delete(owed.packetId);
    this.#number(owed, packetId);
  }

  /** The client has it: its content is owed no more. */
  receive(owed: Owed): void {
    if (owed.received) return;
    owed.received = true;
    const rest: Message = { number: owed.message.number, topic: "", payload: "", qos: owed.message.qos };
    this.#count(0, sizeOf(rest) - sizeOf(owed.message));
    owed.message = rest;
  }

  /** It is owed no more. */
  settle(number: number): Owed | undefined {
    const owed = this.#owed.get(number);
    if (!owed) return undefined;
    this.#owed.delete(number);
    this.#byBroker.delete(brokerKey(owed));
    if (owed.packetId !== undefined && this.#byPacketId.get(owed.packetId) === number) {
      this.#byPacketId.delete(owed.packetId);
    }
    this.#count(-1, -sizeOf(owed.message));
    return owed;
  }

  /** In order; sees what is added while it is gone through. */
  owed(): IterableIterator<Owed> {
    return this.#owed.values();
  }

  /** Gives back what it counted. */
  end(): void {
    this.#count(-this.#owed.size, -this.#bytes);
    this.#owed.clear();
    this.#byBroker.clear();
    this.#byPacketId.clear();
  }

  #number(owed: Owed, packetId: number): void {
    owed.packetId = packetId;
    this.#byPacketId.set(packetId, owed.message.number);
  }

  #count(messages: number, bytes: number): void {
    this.#bytes += bytes;
    this.#tally.messages += messages;
    this.#tally.bytes += bytes;
  }
}

function following(packetId: number): number {
  return packetId >= MAX_PACKET_ID ? 1 : packetId + 1;
}

function brokerKey({ brokerId, brokerCounter }: Pick<StoredPacket, "brokerId" | "brokerCounter">): string {
  return `${brokerId ?? ""}/${brokerCounter ?? 0}`;
}

export function sizeOf({ topic, payload }: { readonly topic: string; readonly payload: { length: number } }): number {
  return OVERHEAD + topic.length + payload.length;
}
