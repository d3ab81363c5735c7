import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { generate, type IPublishPacket, type Packet, parser } from "mqtt-packet";

interface Outgoing {
  readonly packet: IPublishPacket;
  /** The broker has it (PUBREC). */
  received: boolean;
  readonly done: () => void;
}

export interface Got {
  readonly topic: string;
  readonly text: string;
  readonly qos: number;
  readonly dup: boolean;
  readonly retain: boolean;
}

/**
 * An MQTT 3.1.1 client whose session lives as long as the object, whatever becomes of its connections: it sends again what was
 * not acknowledged, in order and with the same packet identifiers, and takes a QoS 2 message once [MQTT-4.3.3, MQTT-4.4.0-1].
 */
export class SessionPeer {
  readonly id: string;
  readonly got: Got[] = [];
  /** Subscriptions and the like that wait for their acknowledgement, by packet identifier. */
  readonly #asked = new Map<number, () => void>();
  readonly #outgoing = new Map<number, Outgoing>();
  readonly #incoming = new Set<number>();
  #socket: Socket | undefined;
  #nextId = 1;
  #isUp = false;

  constructor(id: string) {
    this.id = id;
  }

  /** Publishes that are not acknowledged to the end. */
  get unacknowledged(): number {
    return this.#outgoing.size;
  }

  /** @returns whether the broker knew the session; undefined when the connection did not come about. */
  async connect(port: number): Promise<boolean | undefined> {
    const socket = connect(port, "127.0.0.1");
    socket.setNoDelay(true);
    this.#socket = socket;
    let present: boolean | undefined;
    const gone = new Promise<void>((resolve) => {
      socket.on("error", () => {});
      socket.on("close", () => {
        if (this.#socket === socket) this.#isUp = false;
        resolve();
      });
    });
    const welcome = new Promise<void>((resolve) => {
      const parse = parser();
      parse.on("packet", (packet: Packet) => {
        if (this.#socket !== socket) return;
        if (packet.cmd === "connack") {
          present = packet.sessionPresent;
          this.#isUp = true;
          this.#resend();
          resolve();
        } else this.#take(packet);
      });
      socket.on("data", (chunk) => parse.parse(chunk));
    });
    socket.on("connect", () => this.#send({ cmd: "connect", clientId: this.id, clean: false, keepalive: 60 }));
    await Promise.race([welcome, gone]);
    return present;
  }

  /** The socket goes as it would with a cable pulled out. */
  async drop(): Promise<void> {
    const socket = this.#socket;
    if (!socket || socket.closed) return;
    const closed = once(socket, "close");
    socket.destroy();
    await closed;
  }

  async subscribe(topic: string, qos: 0 | 1 | 2): Promise<void> {
    const messageId = this.#takeId();
    await new Promise<void>((resolve) => {
      this.#asked.set(messageId, resolve);
      this.#send({ cmd: "subscribe", messageId, subscriptions: [{ topic, qos }] });
    });
  }

  /** `done` is called once it is acknowledged to the end, on whatever connection. */
  publish(topic: string, payload: string, qos: 1 | 2, retain: boolean, done: () => void): void {
    const messageId = this.#takeId();
    const packet: IPublishPacket = { cmd: "publish", topic, payload, qos, retain, dup: false, messageId };
    this.#outgoing.set(messageId, { packet, received: false, done });
    if (this.#isUp) this.#send(packet);
  }

  #resend(): void {
    for (const { packet, received } of this.#outgoing.values()) {
      if (received) this.#send({ cmd: "pubrel", ...idOf(packet) });
      else this.#send({ ...packet, dup: true });
    }
  }

  #take(packet: Packet): void {
    const { messageId = 0 } = packet;
    switch (packet.cmd) {
      case "publish":
        this.#takePublish(packet, messageId);
        break;
      case "pubrel":
        this.#incoming.delete(messageId);
        this.#send({ cmd: "pubcomp", messageId });
        break;
      case "pubrec": {
        const outgoing = this.#outgoing.get(messageId);
        if (outgoing) outgoing.received = true;
        this.#send({ cmd: "pubrel", messageId });
        break;
      }
      case "puback":
      case "pubcomp": {
        const outgoing = this.#outgoing.get(messageId);
        this.#outgoing.delete(messageId);
        outgoing?.done();
        break;
      }
      case "suback":
        this.#asked.get(messageId)?.();
        this.#asked.delete(messageId);
        break;
      default:
    }
  }

  #takePublish({ topic, payload, qos, dup, retain }: IPublishPacket, messageId: number): void {
    if (qos < 2 || !this.#incoming.has(messageId)) this.got.push({ topic, text: String(payload), qos, dup, retain });
    if (qos === 2) this.#incoming.add(messageId);
    if (qos > 0) this.#send({ cmd: qos === 1 ? "puback" : "pubrec", messageId });
  }

  #takeId(): number {
    let id = this.#nextId;
    while (this.#outgoing.has(id) || this.#asked.has(id)) id = (id % 65_535) + 1;
    this.#nextId = (id % 65_535) + 1;
    return id;
  }

  #send(packet: Packet): void {
    if (this.#socket?.writable) this.#socket.write(generate(packet));
  }
}

function idOf({ messageId = 0 }: IPublishPacket): { messageId: number } {
  return { messageId };
}
