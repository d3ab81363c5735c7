import { createServer, type Server, type Socket } from "node:net";
import { generate, type IConnectPacket, type IPublishPacket, type Packet, parser } from "mqtt-packet";

export type ConnackProperties = Readonly<Record<string, number | string | boolean>>;

/** What the server does about one PUBLISH. */
export type PubackPlan =
  | { readonly ack: true; readonly code?: number; readonly afterMs?: number }
  /** Never answers. */
  | { readonly ack: false };

export interface Script {
  /** CONNACK reason code (5) or return code (3.1.1); 0 when absent. "close": no answer; "silent": neither. */
  connack?: number | "close" | "silent" | ((connect: IConnectPacket) => number | "close" | "silent");
  properties?: ConnackProperties;
  /** Only this version is spoken: another one is refused as a server of that version does. */
  only?: 4 | 5;
  puback?: (publish: IPublishPacket, session: Session) => PubackPlan;
  /** Answers in reverse, once so many are waiting. */
  reverse?: number;
  /** No PINGRESP. */
  deaf?: boolean;
  /** Called after CONNACK. */
  connected?: (session: Session) => void;
}

/** One connection of a client, as the server sees it. */
export class Session {
  readonly publishes: IPublishPacket[] = [];
  /** When each arrived, in milliseconds of the process. */
  connect: IConnectPacket | undefined;
  disconnect: { readonly reasonCode: number } | undefined;
  pings = 0;
  closed = false;
  readonly socket: Socket;
  readonly #unacked = new Map<number, IPublishPacket>();

  constructor(socket: Socket) {
    this.socket = socket;
  }
  get version(): 4 | 5 {
    return this.connect?.protocolVersion === 5 ? 5 : 4;
  }
  get unacked(): Map<number, IPublishPacket> {
    return this.#unacked;
  }
  write(packet: Packet): void {
    if (!this.socket.destroyed) this.socket.write(generate(packet, { protocolVersion: this.version }));
  }
  puback(messageId: number, reasonCode = 0): void {
    this.#unacked.delete(messageId);
    this.write({ cmd: "puback", messageId, ...(this.version === 5 ? { reasonCode } : {}) });
  }
  /** DISCONNECT with a reason, then the end. */
  kick(reasonCode: number): void {
    this.write({ cmd: "disconnect", reasonCode });
    this.socket.end();
  }
}

/**
 * An MQTT 3.1.1 and 5 server for tests that does what a script says, and remembers what a client must not do: sending
 * more than Receive Maximum, packets over Maximum Packet Size, an identifier that is in flight, DUP on a new packet.
 */
export class StrictBroker {
  readonly sessions: Session[] = [];
  readonly violations: string[] = [];
  script: Script;
  maxUnacked = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(script: Script = {}) {
    this.script = script;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  async listen(port = 0): Promise<this> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(port, "127.0.0.1", () => resolve());
    });
    return this;
  }

  get port(): number {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("not listening");
    return address.port;
  }
  get url(): string {
    return `mqtt://127.0.0.1:${this.port}`;
  }
  get session(): Session {
    const last = this.sessions.at(-1);
    if (last === undefined) throw new Error("nobody connected");
    return last;
  }
  /** Everything published over all connections, in order of arrival. */
  get publishes(): IPublishPacket[] {
    return this.sessions.flatMap((session) => session.publishes);
  }
  /** Publishes that are neither status, gap nor clock. */
  get records(): IPublishPacket[] {
    return this.publishes.filter(({ topic }) => !/\/(status|gap|clock)$/.test(topic));
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #accept(socket: Socket): void {
    const session = new Session(socket);
    this.#sockets.add(socket);
    socket.setNoDelay(true);
    socket.on("error", () => {});
    socket.on("close", () => {
      session.closed = true;
      this.#sockets.delete(socket);
    });
    let reader = parser({ protocolVersion: 4 });
    const listen = () => {
      reader.on("packet", (packet) => this.#onPacket(session, packet));
      reader.on("error", (error: unknown) => this.violations.push(`malformed: ${String(error)}`));
    };
    listen();
    socket.on("data", (chunk: Buffer) => {
      // The version is in the first packet; the parser has to be told it for those that follow.
      if (session.connect === undefined && chunk[8] === 5) {
        reader = parser({ protocolVersion: 5 });
        listen();
      }
      reader.parse(chunk);
    });
  }

  #onPacket(session: Session, packet: Packet): void {
    if (packet.cmd === "connect") this.#onConnect(session, packet);
    else if (packet.cmd === "publish") this.#onPublish(session, packet);
    else if (packet.cmd === "pingreq") {
      session.pings++;
      if (!this.script.deaf) session.write({ cmd: "pingresp" });
    } else if (packet.cmd === "disconnect") {
      session.disconnect = { reasonCode: packet.reasonCode ?? 0 };
      session.socket.end();
    } else this.violations.push(`unexpected ${packet.cmd}`);
  }

  #onConnect(session: Session, packet: IConnectPacket): void {
    if (session.connect) this.violations.push("second CONNECT");
    session.connect = packet;
    this.sessions.push(session);
    const { connack = 0, properties, only, connected } = this.script;
    if (only !== undefined && session.version !== only) {
      const refusal = only === 4 ? Buffer.from([0x20, 2, 0, 1]) : Buffer.from([0x20, 3, 0, 0x84, 0]);
      session.socket.end(refusal);
      return;
    }
    const code = typeof connack === "function" ? connack(packet) : connack;
    if (code === "silent") return;
    if (code === "close") {
      session.socket.end();
      return;
    }
    if (session.version === 5) {
      session.write({ cmd: "connack", sessionPresent: false, reasonCode: code, ...(properties ? { properties } : {}) });
    } else session.write({ cmd: "connack", sessionPresent: false, returnCode: code });
    if (code !== 0) session.socket.end();
    else connected?.(session);
  }

  #onPublish(session: Session, packet: IPublishPacket): void {
    session.publishes.push(packet);
    const { properties = {}, puback, reverse } = this.script;
    const id = packet.messageId ?? 0;
    if (packet.qos !== 1) this.violations.push(`QoS ${packet.qos}`);
    if (packet.dup) this.violations.push("DUP on a new connection");
    if (session.unacked.has(id)) this.violations.push(`identifier ${id} is in flight`);
    session.unacked.set(id, packet);
    this.maxUnacked = Math.max(this.maxUnacked, session.unacked.size);
    const { receiveMaximum, maximumPacketSize } = properties;
    if (typeof receiveMaximum === "number" && session.unacked.size > receiveMaximum) {
      this.violations.push(`${session.unacked.size} in flight`);
    }
    const length = packet.length ?? 0;
    const size = length + (length < 128 ? 2 : length < 16_384 ? 3 : 4);
    if (typeof maximumPacketSize === "number" && size > maximumPacketSize) this.violations.push(`${size} bytes`);
    if (packet.retain && properties["retainAvailable"] === false) this.violations.push("retained");
    if (reverse !== undefined) {
      if (session.unacked.size >= reverse)
        for (const waiting of [...session.unacked.keys()].reverse()) session.puback(waiting);
      return;
    }
    const plan = puback?.(packet, session) ?? { ack: true };
    if (!plan.ack) return;
    if (plan.afterMs === undefined) session.puback(id, plan.code ?? 0);
    else setTimeout(() => session.puback(id, plan.code ?? 0), plan.afterMs);
  }
}
